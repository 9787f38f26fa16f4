"""Segmentations (SEG) as labels: on the grid of their images they are what was drawn, whoever wrote them."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mvg.errors import FileError, GeometryError
from mvg.imaging import LabelMap, Volume, read_labels, write
from mvg.imaging.dicom.labels import segment_names
from mvg.imaging.dicom.reference import Reference
from mvg.imaging.dicom.segmentation import write_segmentation
from mvg.imaging.dicom.structure_set import write_structure_set
from mvg.imaging.dicom.terms import terms_of
from mvg.imaging.lattice import onto_whole
from mvg.imaging.segments import has_segments, names_of
from mvg.imaging.volume import IGNORED
from mvg.prediction.prompts.target_grid import on_grid
from tests.imaging.dicom_files import SLICES, write_series
from tests.imaging.test_dicom_output import GEOMETRIES, NAMES, make

few = settings(max_examples=12, deadline=None)
slices = st.sets(st.integers(0, SLICES - 1), min_size=1)


def kept(labels: LabelMap, numbers: set[int]) -> LabelMap:
    """The labels of some slices alone."""
    where = np.isin(np.arange(SLICES), sorted(numbers))
    return LabelMap(labels.voxels * where, labels.affine)


def case_in(folder: Path, geometry: str) -> tuple[Volume, LabelMap, Reference]:
    """A series, and labels on all of its slices."""
    volume, labels, reference = make(write_series(folder / "series", GEOMETRIES[geometry]))
    voxels = np.array(labels.voxels)
    voxels[1:4, 2:6] = 3
    return volume, LabelMap(voxels, labels.affine), reference


@few
@given(st.sampled_from(sorted(GEOMETRIES)), slices, st.sampled_from(["BINARY", "LABELMAP"]), st.booleans())
def test_labels_are_what_was_written(
    geometry: str, drawn: set[int], kind: Literal["BINARY", "LABELMAP"], are_reversed: bool
) -> None:
    """On the slices that have labels; the others are background, or unknown where only a few were drawn."""
    with TemporaryDirectory() as temporary:
        volume, labels, reference = case_in(Path(temporary), geometry)
        labels, path = kept(labels, drawn), Path(temporary) / "seg.dcm"
        write_segmentation(labels, terms_of(labels.values, NAMES), reference, path, kind)
        if are_reversed and kind == "LABELMAP":
            reverse_frames(path)
        read = on_grid(read_labels(path), volume, "1")
    values = labels.values if kind == "LABELMAP" else range(1, len(labels.values) + 1)
    expected = np.zeros_like(labels.voxels)
    for number, value in zip(values, labels.values, strict=True):
        expected[labels.voxels == value] = number
    assert read.same_grid(volume)
    known = read.voxels != IGNORED
    np.testing.assert_array_equal(read.voxels[known], expected[known])
    assert known[:, :, sorted(drawn)].all()


def reverse_frames(path: Path) -> None:
    """Stores the frames of a label map in the other order, as some programs do."""
    dataset = pydicom.dcmread(path)
    frames = dataset.pixel_array if dataset.NumberOfFrames > 1 else dataset.pixel_array[None]
    dataset.PerFrameFunctionalGroupsSequence = pydicom.Sequence(list(dataset.PerFrameFunctionalGroupsSequence)[::-1])
    dataset.PixelData = np.ascontiguousarray(frames[::-1]).tobytes()
    dataset.save_as(path)


@pytest.mark.parametrize("geometry", ["axial", "oblique", "negated columns", "reversed order"])
def test_segments_of_dcmqi(geometry: str, tmp_path: Path) -> None:
    volume, labels, _ = case_in(tmp_path, geometry)
    code = {"CodeValue": "123037004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Anatomical Structure"}
    segments = [
        {
            "labelID": value,
            "SegmentLabel": name,
            "SegmentDescription": name,
            "SegmentAlgorithmType": "MANUAL",
            "SegmentedPropertyCategoryCodeSequence": code,
            "SegmentedPropertyTypeCodeSequence": code,
        }
        for value, name in NAMES.items()
    ]
    about = {"SeriesDescription": "by hand", "SeriesNumber": "300", "InstanceNumber": "1", "ContentCreatorName": "me",
             "BodyPartExamined": "ABDOMEN", "segmentAttributes": [segments]}  # fmt: skip
    (tmp_path / "about.json").write_text(json.dumps(about))
    write(labels, tmp_path / "labels.nii.gz")
    program = [str(Path(sys.executable).with_name("itkimage2segimage")), "--skip", "1"]
    files = ["--inputImageList", tmp_path / "labels.nii.gz", "--inputDICOMDirectory", tmp_path / "series"]
    made = ["--inputMetadata", tmp_path / "about.json", "--outputDICOM", tmp_path / "seg.dcm"]
    subprocess.run([*program, *map(str, files + made)], check=True, capture_output=True)
    read = on_grid(read_labels(tmp_path / "seg.dcm"), volume, "1")
    names = segment_names(tmp_path / "seg.dcm")
    for value, name in NAMES.items():
        (number,) = (number for number, other in names.items() if other == name)
        np.testing.assert_array_equal(read.voxels == number, labels.voxels == value)


def change(path: Path, **values: Any) -> None:
    dataset = pydicom.dcmread(path)
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.save_as(path)


@pytest.fixture
def segmented(tmp_path: Path) -> tuple[Path, Volume, NDArray[np.integer]]:
    """A SEG of two segments, its image, and the numbers of segments on its grid."""
    volume, labels, reference = case_in(tmp_path, "axial")
    write_segmentation(labels, terms_of(labels.values, NAMES), reference, tmp_path / "seg.dcm")
    return tmp_path / "seg.dcm", volume, np.select([labels.voxels == 3, labels.voxels == 7], [1, 2], 0)


def test_names_are_those_of_the_segments(segmented: tuple[Path, Volume, NDArray[np.integer]]) -> None:
    path, _, _ = segmented
    labels = read_labels(path)
    assert has_segments(labels)
    assert names_of(labels) == segment_names(path) == {1: "left kidney", 2: "Something else"}
    assert segment_names(path.parent / "series") == {}


def test_voxels_of_several_segments_are_named(
    segmented: tuple[Path, Volume, NDArray[np.integer]], caplog: pytest.LogCaptureFixture
) -> None:
    path, volume, _ = segmented
    dataset = pydicom.dcmread(path)
    frames = dataset.pixel_array
    frames[:, 20:24, 20:24] = 1  # in both segments
    dataset.PixelData = pydicom.pixels.pack_bits(frames.reshape(-1))
    dataset.save_as(path)
    with caplog.at_level(logging.WARNING, "mvg"):
        read = on_grid(read_labels(path), volume, "1")
    both = [f"{16 * (SLICES - 2)} voxels belong to several segments, of which the last one counts"]
    assert [message.partition(": ")[2] for message in caplog.messages] == both
    assert (read.voxels[20:24, 20:24, 1:-1] == 2).all()


def test_fractions_count_from_a_half_on(segmented: tuple[Path, Volume, NDArray[np.integer]]) -> None:
    path, volume, numbers = segmented
    dataset = pydicom.dcmread(path)
    frames = dataset.pixel_array.astype(np.uint8)
    weak = np.random.default_rng(0).integers(0, 127, frames.shape).astype(np.uint8)
    dataset.PixelData = np.where(frames > 0, 128, weak).astype(np.uint8).tobytes()
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.SegmentationType, dataset.MaximumFractionalValue = 7, "FRACTIONAL", 255
    dataset.save_as(path)
    np.testing.assert_array_equal(on_grid(read_labels(path), volume, "1").voxels, numbers)


def test_labels_elsewhere_are_refused(segmented: tuple[Path, Volume, NDArray[np.integer]], tmp_path: Path) -> None:
    path, volume, _ = segmented
    for shift in (0.3 * volume.spacing[0], 40 * volume.spacing[0]):
        moved = np.array(volume.affine)
        moved[0, 3] += shift
        with pytest.raises(GeometryError, match="another grid"):
            on_grid(read_labels(path), Volume(volume.voxels, moved), "1")


@few
@given(st.permutations(range(3)), st.tuples(*3 * [st.sampled_from([-1, 1])]), st.tuples(*3 * [st.integers(1, 3)]))
def test_parts_of_a_grid_in_any_order(order: list[int], signs: tuple[int, ...], steps: tuple[int, ...]) -> None:
    whole = LabelMap(np.random.default_rng(0).integers(1, 9, (9, 8, 7)), np.diag([2.0, 3, 4, 1]))
    picked = tuple(
        np.arange(length)[1::step][::sign] for length, step, sign in zip(whole.shape, steps, signs, strict=True)
    )
    to_whole = np.eye(4)
    to_whole[:3, :3] = np.diag([step * sign for step, sign in zip(steps, signs, strict=True)])[:, order]
    to_whole[:3, 3] = [indices[0] for indices in picked]
    part = LabelMap(whole.voxels[np.ix_(*picked)].transpose(order), whole.affine @ to_whole)
    expected = np.full(whole.shape, 0)
    expected[np.ix_(*picked)] = whole.voxels[np.ix_(*picked)]
    again = onto_whole(part, whole, 0.1, 0)
    assert again is not None
    np.testing.assert_array_equal(again.voxels, expected)


def test_outlines_are_no_labels_and_a_line_says_what_to_do(tmp_path: Path) -> None:
    _, labels, reference = case_in(tmp_path, "axial")
    write_structure_set(labels, terms_of(labels.values, NAMES), reference, tmp_path / "rt.dcm")
    with pytest.raises(FileError, match=r"holds outlines \(RTSTRUCT\) and no image.*convert the outlines"):
        read_labels(tmp_path / "rt.dcm")


def test_a_damaged_segmentation_is_one_line(segmented: tuple[Path, Volume, NDArray[np.integer]]) -> None:
    path, _, _ = segmented
    for name in ("PixelData", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        whole = path.read_bytes()
        dataset = pydicom.dcmread(path)
        delattr(dataset, name)
        dataset.save_as(path)
        with pytest.raises(FileError) as caught:
            read_labels(path)
        assert "\n" not in str(caught.value)
        path.write_bytes(whole)
