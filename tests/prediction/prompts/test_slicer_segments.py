"""Segmentations of 3D Slicer (.seg.nrrd) as targets: cut to what is labeled, with names, in any order."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvg.errors import GeometryError
from mvg.imaging.files import read_labels, write
from mvg.imaging.segments import names_of
from mvg.imaging.volume import LabelMap
from mvg.prediction.prompts.folder import open_prompts
from mvg.prediction.prompts.target_grid import on_grid
from tests.prediction.bodies import body

few = settings(max_examples=10, deadline=None)


def write_segments(labels: LabelMap, path: Path, low: tuple[int, ...], names: dict[int, str]) -> None:
    """A part of a label map from `low` on, with the pairs of keys and values that 3D Slicer writes."""
    affine = np.array(labels.affine)
    affine[:3, 3] = (labels.affine @ (*low, 1))[:3]
    voxels = labels.voxels[low[0] :, low[1] :, low[2] :]
    write(LabelMap(voxels, affine), path)
    head, rest = path.read_bytes().split(b"\n\n", 1)
    pairs = ["Segmentation_ReferenceImageExtentOffset:=" + " ".join(map(str, low))]
    for number, (value, name) in enumerate(names.items()):
        pairs += [f"Segment{number}_LabelValue:={value}", f"Segment{number}_Name:={name}"]
    path.write_bytes(head + b"\n" + "\n".join(pairs).encode() + b"\n\n" + rest)


@few
@given(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 1)))
def test_a_part_lies_on_the_grid_of_its_image(low: tuple[int, int, int]) -> None:
    image, labels = body(3)
    voxels = np.array(labels.voxels)
    voxels[: low[0]] = voxels[:, : low[1]] = voxels[:, :, : low[2]] = 0
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for part in ("images", "targets"):
            (folder / part).mkdir()
        write(image, folder / "images" / "case.nrrd")
        write_segments(LabelMap(voxels, labels.affine), folder / "targets" / "case.seg.nrrd", low, {1: "a", 2: "b"})
        prompts = open_prompts(folder)
        assert prompts.names == ("case",)
        target = read_labels(prompts.targets.paths[0])
        assert names_of(target) == {1: "a", 2: "b"}
        whole = on_grid(target, image, "1")
    np.testing.assert_array_equal(np.where(whole.voxels > 0, whole.voxels, 0), voxels)


def test_other_files_on_a_part_of_the_grid_are_refused(tmp_path: Path) -> None:
    """Nothing says of them that the rest is background."""
    image, labels = body(3)
    write(LabelMap(labels.voxels[2:], labels.affine), tmp_path / "case.nrrd")
    with pytest.raises(GeometryError, match="another grid"):
        on_grid(read_labels(tmp_path / "case.nrrd"), image, "1")
