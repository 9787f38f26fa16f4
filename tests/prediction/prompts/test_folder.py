"""Prompt folders: both layouts, the task that they show, the channel that is used, and errors."""

import json
import logging
import unicodedata
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mvg.errors import FileError, MvgError, PromptError, UnknownNameError
from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.prompts.folder import open_prompts
from tests.data.folders import make_mri, write_description
from tests.prediction.scans import scan


def put(volume: Volume | LabelMap, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(volume, path)


def nnunet(
    folder: Path, channels: int = 1, labels: bool = True, targets: bool = False, about: dict[str, object] | None = None
) -> Path:
    """Two cases in the nnU-Net raw layout."""
    for number in range(2):
        image, label_map = scan((24, 24, 3), seed=number)
        for channel in range(channels):
            put(image, folder / "imagesTr" / f"case{number}_{channel:04d}.nii.gz")
        if labels:
            put(label_map, folder / "labelsTr" / f"case{number}.nii.gz")
        if targets:
            put(image, folder / "targetsTr" / f"case{number}.nii.gz")
    if about is not None:
        (folder / "dataset.json").write_text(json.dumps(about))
    return folder


def pairs(folder: Path, target: str = "labels") -> Path:
    """Two pairs with equal names."""
    for number in range(2):
        image, label_map = scan((24, 24, 3), seed=number)
        put(image, folder / "images" / f"scan{number}.nii.gz")
        put(label_map if target == "labels" else image, folder / "targets" / f"scan{number}.mha")
    return folder


def test_nnunet_labels_are_a_segmentation(tmp_path: Path) -> None:
    prompts = open_prompts(nnunet(tmp_path))
    assert (prompts.task, prompts.names, len(prompts.images)) == ("segmentation", ("case0", "case1"), 2)
    assert isinstance(prompts.targets[0], LabelMap)
    assert np.array_equal(prompts.images[1].affine, prompts.targets[1].affine)


def test_pairs_with_integer_labels_are_a_segmentation(tmp_path: Path) -> None:
    prompts = open_prompts(pairs(tmp_path))
    assert (prompts.task, prompts.names) == ("segmentation", ("scan0", "scan1"))
    assert isinstance(prompts.targets[0], LabelMap)


@pytest.mark.parametrize("layout", ["pairs", "nnunet"])
def test_pictures_as_targets_need_a_named_task(layout: str, tmp_path: Path) -> None:
    folder = pairs(tmp_path, "pictures") if layout == "pairs" else nnunet(tmp_path, labels=False, targets=True)
    with pytest.raises(PromptError, match=r"expected a named task; name the task: .*inpainting, .*synthesis"):
        open_prompts(folder)
    prompts = open_prompts(folder, "inpainting")
    assert (prompts.task, type(prompts.targets[0])) == ("inpainting", Volume)


def test_ignored_values_are_no_labels(tmp_path: Path) -> None:
    about = {"labels": {"background": 0, "organ": 3, "ignore": 700}, "channel_names": {"0": "MRI"}}
    prompts = open_prompts(nnunet(tmp_path, about=about))
    assert isinstance(prompts.targets[0], LabelMap)
    assert prompts.targets[0].values == (3,)


def test_hu_are_those_of_the_first_channel_alone(tmp_path: Path) -> None:
    about = {"labels": {"background": 0, "organ": 3}, "channel_names": {"0": "CT", "1": "PET"}, "units": "HU"}
    folder = nnunet(tmp_path, channels=2, about=about)
    assert open_prompts(folder, "segmentation:CT").modality == "CT"
    assert open_prompts(folder, "segmentation:PET").modality is None


@pytest.mark.parametrize(("stated", "modality"), [("MRI", ["MRI", "MRI"]), ("", [None, None]), ("CT", ["CT", None])])
def test_the_modality_that_the_folder_states(stated: str, modality: list[str | None], tmp_path: Path) -> None:
    about = {"labels": {"background": 0, "organ": 3}, "channel_names": {"0": "A", "1": "B"}, "modality": stated}
    folder = nnunet(tmp_path, channels=2, about=about)
    assert [open_prompts(folder, f"segmentation:{channel}").modality for channel in "AB"] == modality


def test_a_channel_called_ct_is_ct_whatever_its_values(tmp_path: Path) -> None:
    about = {"labels": {"background": 0, "organ": 3}, "channel_names": {"0": "CT", "1": "PET"}}
    folder = nnunet(tmp_path, channels=2, about=about)
    assert [open_prompts(folder, f"segmentation:{channel}").modality for channel in ("CT", "PET")] == ["CT", None]


def test_pairs_have_one_channel(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"has one channel, so none can be named"):
        open_prompts(pairs(tmp_path), "segmentation:T2")
    assert open_prompts(tmp_path, "synthesis:T1->T2").task == "synthesis"


def test_labels_in_jpeg_are_refused(tmp_path: Path) -> None:
    for number in range(2):
        for part in ("images", "targets"):
            path = tmp_path / part / f"film{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            disk = np.hypot(*np.ogrid[-40:40, -40:40]) < 20
            Image.fromarray((255 * disk).astype(np.uint8)).save(path)
    with pytest.raises(FileError, match="JPEG"):
        open_prompts(tmp_path, "segmentation").targets[0]


def test_voxels_beside_their_header_are_no_prompts(tmp_path: Path) -> None:
    folder = pairs(tmp_path)
    for number in range(2):
        for suffix in (".zraw", ".raw.gz"):
            (folder / "targets" / f"scan{number}{suffix}").write_bytes(b"voxels")
    assert open_prompts(folder).names == ("scan0", "scan1")


def test_8_bit_pictures_are_not_mistaken_for_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = Volume(rng.integers(0, 256, (30, 40, 1)).astype(np.float32), np.diag([-1.0, -1, 1, 1]))
    put(picture, tmp_path / "images" / "a.png")
    put(picture, tmp_path / "targets" / "a.png")
    with pytest.raises(PromptError, match="expected a named task"):
        open_prompts(tmp_path)


def test_flat_pictures_of_many_values_are_not_mistaken_for_labels(tmp_path: Path) -> None:
    voxels = np.full((40, 40, 20), 1000, np.int32)
    voxels[0, 0, :] = np.arange(20)
    voxels[1, :, 0] = np.arange(100, 140)
    voxels[5:40:8, 5, :] = np.arange(2000, 2100).reshape(5, 20)
    voxels[5:40:8, 9, :] = np.arange(3000, 3100).reshape(5, 20)
    put(LabelMap(voxels, np.eye(4)), tmp_path / "images" / "a.nii.gz")
    put(LabelMap(voxels, np.eye(4)), tmp_path / "targets" / "a.nii.gz")
    with pytest.raises(PromptError, match="expected a named task"):
        open_prompts(tmp_path)


def test_few_whole_numbers_are_labels_even_if_they_are_scattered(tmp_path: Path) -> None:
    labels = LabelMap(np.random.default_rng(0).integers(0, 20, (30, 30, 2)), np.eye(4))
    put(labels, tmp_path / "images" / "a.nii.gz")
    put(labels, tmp_path / "targets" / "a.nii.gz")
    assert open_prompts(tmp_path).task == "segmentation"


def test_white_masks_and_many_labels_are_labels(tmp_path: Path) -> None:
    mask = np.zeros((70, 70, 1), np.uint8)
    mask[5:65, 5:65, 0] = np.kron(np.arange(36, dtype=np.uint8).reshape(6, 6) * 7, np.ones((10, 10), np.uint8))
    put(Volume(mask.astype(np.float32), np.diag([-1.0, -1, 1, 1])), tmp_path / "images" / "a.png")
    put(LabelMap(mask, np.diag([-1.0, -1, 1, 1])), tmp_path / "targets" / "a.png")
    assert open_prompts(tmp_path).task == "segmentation"


def test_the_data_set_may_name_the_task_and_the_units(tmp_path: Path) -> None:
    about = {"channel_names": {"0": "CT, low dose"}, "modality": "CT", "units": "HU", "target_task": "denoising"}
    prompts = open_prompts(nnunet(tmp_path, labels=False, targets=True, about=about))
    assert (prompts.task, prompts.modality) == ("denoising", "CT")


def test_synthesis_between_channels(tmp_path: Path) -> None:
    folder = nnunet(
        tmp_path, channels=3, about={"channel_names": {"0": "T1", "1": "T2", "2": "FLAIR"}, "labels": {"x": 1}}
    )
    prompts = open_prompts(folder, "synthesis:T1->FLAIR")
    assert [path.name for path in prompts.images.paths] == ["case0_0000.nii.gz", "case1_0000.nii.gz"]
    assert [path.name for path in prompts.targets.paths] == ["case0_0002.nii.gz", "case1_0002.nii.gz"]
    assert open_prompts(folder, "synthesis:1->0").channel == "T2"
    with pytest.raises(UnknownNameError, match="FLAIR, T1, T2"):
        open_prompts(folder, "synthesis:T1->PET")
    with pytest.raises(PromptError, match="synthesis:T1->FLAIR"):
        open_prompts(folder, "synthesis")


def test_the_channel_that_the_queries_are_named_after(tmp_path: Path) -> None:
    folder = nnunet(tmp_path, channels=3)
    assert open_prompts(folder, queries=[Path("a_0001.nii.gz"), Path("b_0001.nii.gz")]).channel == "channel 1"
    assert open_prompts(folder, queries=[Path("a_0001.nii.gz"), Path("b.nii.gz")]).channel == "channel 0"
    assert open_prompts(folder, queries=[Path("a_0001.nii.gz"), Path("b_0002.nii.gz")]).channel == "channel 0"
    assert open_prompts(folder, queries=[Path("a_0007.nii.gz")]).channel == "channel 0"
    assert open_prompts(folder, "segmentation:1").channel == "channel 1"
    with pytest.raises(UnknownNameError, match="channel 0, channel 1, channel 2"):
        open_prompts(folder, "segmentation:3")


def test_files_are_read_one_at_a_time_with_progress(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    images = open_prompts(nnunet(tmp_path)).images.with_progress(lambda done, total: calls.append((done, total)))
    assert not calls
    assert len([images[at] for at in range(len(images))]) == 2
    assert calls == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize(
    "wrong", ["missing", "file", "bare", "empty", "no labels", "no partner", "twice", "nnunet empty"]
)
def test_broken_folders(wrong: str, tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    task = None
    if wrong == "file":
        folder.write_text("x")
    elif wrong == "bare":
        folder.mkdir()
    elif wrong == "empty":
        (folder / "images").mkdir(parents=True)
        (folder / "targets").mkdir()
    elif wrong == "no labels":
        nnunet(folder, labels=False)
        task = "segmentation"
    elif wrong == "no partner":
        (pairs(folder) / "targets" / "scan1.mha").unlink()
    elif wrong == "twice":
        put(scan((24, 24, 3))[0], pairs(folder) / "images" / "scan1.nii")
    elif wrong == "nnunet empty":
        (folder / "imagesTr").mkdir(parents=True)
    with pytest.raises(MvgError) as error:
        open_prompts(folder, task)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, FileError | PromptError)


def test_a_line_names_cases_that_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = nnunet(tmp_path)
    (folder / "labelsTr" / "case0.nii.gz").rename(folder / "labelsTr" / "Case0.nii.gz")
    with caplog.at_level(logging.WARNING, "mvg"):
        open_prompts(folder)
    assert "are left out, without labelsTr/CASE.*: case0" in caplog.text
    assert "files of no case: Case0" in caplog.text


def test_names_that_are_alike_are_a_hint(tmp_path: Path) -> None:
    for part, name in (("images", "Pat-000.T2"), ("targets", "Pat-000.mask")):
        (tmp_path / part).mkdir()
        write(Volume(np.ones((4, 4, 1)), np.eye(4)), tmp_path / part / f"{name}.nii.gz")
    with pytest.raises(PromptError, match=r"rename one of 'Pat-000\.T2' and 'Pat-000\.mask'"):
        open_prompts(tmp_path)


@pytest.mark.parametrize("name", ["case é", "Größe ñ", "Åse"])
def test_accents_have_one_spelling(name: str, tmp_path: Path) -> None:
    """Disks of some systems take letters with accents apart, archives of others do not."""
    folder = pairs(tmp_path)
    for part, suffix, form in (("images", ".nii.gz", "NFC"), ("targets", ".mha", "NFD")):
        (folder / part / f"scan0{suffix}").rename(folder / part / (unicodedata.normalize(form, name) + suffix))
    assert set(open_prompts(folder).names) == {unicodedata.normalize("NFC", name), "scan1"}


@pytest.mark.parametrize("beside", ["scan0.json", "scan0.bval", "Thumbs.db", "desktop.ini", "README.txt", "._scan0"])
def test_what_programs_write_beside_images_is_left_out(beside: str, tmp_path: Path) -> None:
    folder = pairs(tmp_path)
    (folder / "images" / beside).write_bytes(b"x")
    assert open_prompts(folder).names == ("scan0", "scan1")


def test_names_that_differ_in_their_case_alone_are_named_together(tmp_path: Path) -> None:
    folder = pairs(tmp_path)
    (folder / "images" / "scan0.nii.gz").rename(folder / "images" / "SCAN0.nii.gz")
    with pytest.raises(PromptError, match="rename one of 'SCAN0' and 'scan0'"):
        open_prompts(folder)


@pytest.mark.parametrize(("suffix", "reason"), [(".jpg", "JPEG"), (".png", "color")])
def test_masks_that_are_no_label_maps_are_refused_with_the_reason(suffix: str, reason: str, tmp_path: Path) -> None:
    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[4:9, 4:9, 0] = 255
    for part, content in (("images", pixels[..., 0]), ("targets", pixels)):
        (tmp_path / part).mkdir()
        Image.fromarray(content).save(tmp_path / part / f"a{suffix}")
    with pytest.raises(PromptError, match=rf"not integer labels \(.*{reason}"):
        open_prompts(tmp_path)


@settings(max_examples=12, deadline=None)
@given(st.sets(st.integers(0, 3), min_size=1, max_size=3), st.booleans())
def test_cases_without_a_partner_are_named(lost: set[int], in_nnunet_layout: bool) -> None:
    """In nnU-Net's layout they are left out with a line that counts and names them, else they are refused."""
    image, label_map = scan((24, 24, 3), seed=0)
    images, targets = ("imagesTr", "labelsTr") if in_nnunet_layout else ("images", "targets")
    messages = Messages()
    with TemporaryDirectory() as temporary:
        for number in range(4):
            put(image, Path(temporary) / images / f"case{number}{'_0000' * in_nnunet_layout}.nii.gz")
            if number not in lost:
                put(label_map, Path(temporary) / targets / f"case{number}.nii.gz")
        if in_nnunet_layout:
            logging.getLogger("mvg").addHandler(messages)
            prompts = open_prompts(Path(temporary))
            logging.getLogger("mvg").removeHandler(messages)
            assert len(prompts.names) == 4 - len(lost)
            (message,) = messages.lines
            assert message.startswith(f"{len(lost)} of 4 cases")
        else:
            with pytest.raises(PromptError, match="has no partner for") as caught:
                open_prompts(Path(temporary))
            message = str(caught.value)
    assert all(f"case{number}" in message for number in lost)


class Messages(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        self.lines.append(record.getMessage())


@pytest.mark.parametrize(
    ("labels", "unnamed"),
    [
        ({"background": 0, "left": 1}, "2"),
        ({"background": 0, "ignore": 2}, "1"),
        ({"background": 0, "both": [1, 3]}, "2"),
        ({"background": 0, "left": 1, "right": 2, "third": 3}, ""),
        ({}, ""),
    ],
)
def test_labels_that_the_description_does_not_name_are_told_once(
    labels: dict[str, object], unnamed: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_description(
        make_mri(tmp_path / "heads", dict.fromkeys(("pat1", "pat2"), (20, 24, 4))), labels=labels
    )
    prompts = open_prompts(folder)
    for number in (0, 1):
        assert prompts.targets[number] is not None
    lines = [record.getMessage() for record in caplog.records if "does not name" in record.getMessage()]
    assert [line.partition("name: ")[2].partition(";")[0] for line in lines] == ([unnamed] if unnamed else [])
