"""Names that do not fit: whichever they are, a line says which files it is about and what to do."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvg.errors import FileError, PromptError
from mvg.imaging import read
from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.prompts.folder import open_prompts

few = settings(max_examples=12, deadline=None)

IMAGE = Volume(np.arange(48, dtype=np.float32).reshape(4, 4, 3), np.eye(4))
LABELS = LabelMap(np.eye(4, dtype=np.uint8)[..., None].repeat(3, axis=2), np.eye(4))

bases = st.from_regex(r"[A-Z][a-z]{1,8}[-_ ]?[0-9]{1,4}", fullmatch=True)
additions = st.sampled_from(["mask", "seg", "label", "gt", "T2", "roi", "segmentation", "annotation"])


def put(folder: Path, images: dict[str, Volume], labels: dict[str, LabelMap]) -> Path:
    """Writes images and labels to the folders that the keys begin with."""
    for name, volume in (images | labels).items():
        (folder / name).parent.mkdir(exist_ok=True)
        write(volume, folder / f"{name}.nii")
    return folder


@few
@given(st.lists(bases, min_size=1, max_size=3, unique_by=str.casefold), additions, additions, st.sampled_from("._-"))
def test_names_with_additions_of_their_own_are_a_hint(names: list[str], ours: str, theirs: str, mark: str) -> None:
    """As "Pat-000.mask" beside "Pat-000.T2"."""
    images = {f"images/{name}{mark}{ours}": IMAGE for name in names}
    labels = {f"targets/{name}{mark}{theirs}": LABELS for name in names}
    with TemporaryDirectory() as temporary:
        folder = put(Path(temporary), images, labels)
        if ours == theirs:
            assert len(open_prompts(folder).names) == len(names)
            return
        with pytest.raises(PromptError, match=r"rename one of '(.+)' and '(.+)' if they belong together") as caught:
            open_prompts(folder)
    message, first = str(caught.value), min(names)
    assert f"rename one of '{first}{mark}{ours}' and '{first}{mark}{theirs}'" in message


@few
@given(st.lists(bases, min_size=1, max_size=3, unique_by=str.casefold), additions, st.sampled_from("._-"))
def test_masks_with_an_addition_in_the_layout_of_nnunet(names: list[str], theirs: str, mark: str) -> None:
    images = {f"imagesTr/{name}_0000": IMAGE for name in names}
    labels = {f"labelsTr/{name}{mark}{theirs}": LABELS for name in names}
    with TemporaryDirectory() as temporary, pytest.raises(FileError) as caught:
        open_prompts(put(Path(temporary), images, labels))
    assert "labelsTr has the name of a case of imagesTr" in str(caught.value)
    assert f"names such as {min(names)}" in str(caught.value)


@pytest.mark.parametrize(
    ("image", "target", "is_hint"),
    [
        ("scan1", "scan2", False), ("img_007", "mask_7", True), ("liver", "Liver_", True), ("liver", "brain", False),
        ("T2_Pat-000", "Pat-000.mask", True), ("a b 12", "12", True), ("2020-01-02", "2021-03-04", False),
    ],
)  # fmt: skip
def test_names_with_other_numbers_are_no_hint(image: str, target: str, is_hint: bool, tmp_path: Path) -> None:
    with pytest.raises(PromptError) as caught:
        open_prompts(put(tmp_path, {f"images/{image}": IMAGE}, {f"targets/{target}": LABELS}))
    assert (f"rename one of '{image}' and '{target}'" in str(caught.value)) == is_hint


@few
@given(st.sets(st.integers(0, 5), min_size=1), st.sets(st.integers(0, 5)))
def test_channels_that_are_missing_are_named(channels: set[int], others: set[int]) -> None:
    """As 0000 and 0002 alone."""
    images = {f"imagesTr/a_{number:04d}": IMAGE for number in channels}
    images |= {f"imagesTr/b_{number:04d}": IMAGE for number in others}
    labels = {"labelsTr/a": LABELS} | ({"labelsTr/b": LABELS} if others else {})
    wanted = set(range(max(len(channels), len(others))))
    with TemporaryDirectory() as temporary:
        folder = put(Path(temporary), images, labels)
        if channels == wanted and others in (wanted, set()):
            assert open_prompts(folder).names == ("a", "b")[: len(labels)]
            return
        with pytest.raises(FileError, match="numbered without gaps") as caught:
            open_prompts(folder)
    message = str(caught.value)
    case = channels if "case a" in message else others
    gaps = [f"{number:04d}" for number in range(max(case)) if number not in case]
    assert ", ".join(f"{number:04d}" for number in sorted(case)) in message
    assert all(gap in message.partition("lacks")[2] for gap in gaps)


@few
@given(st.integers(1, 5), st.sampled_from([".nii", ".nii.gz", ".nrrd", ".mha", ".png", ".tif"]))
def test_a_folder_of_images_as_a_query_says_what_to_name(count: int, suffix: str) -> None:
    with TemporaryDirectory() as temporary:
        for number in range(count):
            (Path(temporary) / f"scan{number}{suffix}").write_bytes(b"x")
        with pytest.raises(FileError, match=rf"{count} other images \(scan0{suffix}, .*name the images, .*scan0"):
            read(Path(temporary))
