"""DICOM objects of labels in every geometry: programs of others read the very same voxels."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from mvg.errors import FileError
from mvg.imaging import LabelMap, Volume, read
from mvg.imaging.dicom.derived import write_captures, write_derived_series
from mvg.imaging.dicom.reference import RESEARCH_ONLY, Reference, reference_of
from mvg.imaging.dicom.segmentation import write_parametric_map, write_segmentation
from mvg.imaging.dicom.structure_set import write_structure_set
from mvg.imaging.dicom.terms import terms_of
from tests.imaging.dicom_files import SLICES, change_files, pydicom_file, write_enhanced, write_series
from tests.imaging.dicom_readers import (
    errors_of_dciodvfy,
    parametric_map_by_dcmqi,
    regions_by_dcmrtstruct2nii,
    segments_by_dcmqi,
)
from tests.imaging.grids import affine_of

AXIAL = np.diag([-1.0, -1.0, 1.0])
SAGITTAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
CORONAL = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
REMOVED = ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID", "SliceThickness", "Modality")
NAMES = {3: "left kidney", 7: "Something else"}


def tilted_gantry() -> NDArray[np.float64]:
    affine = affine_of(AXIAL)
    affine[1, 2] = 0.8
    return affine


GEOMETRIES: dict[str, NDArray[np.float64]] = {
    "axial": affine_of(AXIAL),
    "sagittal": affine_of(SAGITTAL),
    "coronal": affine_of(CORONAL),
    "oblique": affine_of(AXIAL, tilt=(0.3, -0.2, 0.15)),
    "very oblique": affine_of(CORONAL, tilt=(0.7, 0.5, -0.6)),
    "negated rows": affine_of(AXIAL @ np.diag([-1.0, 1, 1])),
    "negated columns": affine_of(AXIAL @ np.diag([1.0, -1, 1])),
    "negated rows and columns": affine_of(AXIAL @ np.diag([-1.0, -1, 1])),
    "reversed order": affine_of(AXIAL @ np.diag([1.0, 1, -1])),
}


def blobs(volume: Volume, seed: int = 0) -> LabelMap:
    """Two labels without symmetry, with holes and islands; the outer slices have none of them."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=volume.shape), (2, 2, 0.5))
    labels = np.where(noise > 0.08, 3, np.where(noise < -0.1, 7, 0)).astype(np.int16)
    labels[:, :, [0, -1]] *= len(labels[0, 0]) < 3
    return LabelMap(labels, volume.affine)


def make(source: Path) -> tuple[Volume, LabelMap, Reference]:
    volume = read(source)
    return volume, blobs(volume), reference_of(source, "", volume.shape)


def check_all_readers(source: Path, folder: Path) -> None:
    """Labels of a DICOM source come back from all objects and readers."""
    volume, labels, reference = make(source)
    terms = terms_of(labels.values, NAMES)
    write_segmentation(labels, terms, reference, folder / "seg.dcm")
    numbers = np.select([labels.voxels == 3, labels.voxels == 7], [1, 2], 0)
    np.testing.assert_array_equal(segments_by_dcmqi(folder / "seg.dcm", volume), numbers)
    write_segmentation(labels, terms, reference, folder / "map.dcm", "LABELMAP")
    np.testing.assert_array_equal(segments_by_dcmqi(folder / "map.dcm", volume), labels.voxels)
    write_structure_set(labels, terms, reference, folder / "rt.dcm")
    if source.is_dir() and len(reference.headers) > 1:  # the reader opens folders of single images
        masks = regions_by_dcmrtstruct2nii(folder / "rt.dcm", source, volume)
        np.testing.assert_array_equal(masks["left-kidney"], labels.voxels == 3)
        np.testing.assert_array_equal(masks["Something-else"], labels.voxels == 7)
    for name in ("seg.dcm", "rt.dcm"):
        assert errors_of_dciodvfy(folder / name) == []


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_labels_come_back_from_every_object(geometry: str, tmp_path: Path) -> None:
    check_all_readers(write_series(tmp_path / "series", GEOMETRIES[geometry]), tmp_path)


def test_labels_of_one_slice_come_back(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", GEOMETRIES["oblique"])
    for file in sorted(folder.glob("*.dcm"))[1:]:
        file.unlink()
    check_all_readers(folder, tmp_path)


def test_labels_of_a_multi_frame_file_come_back(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "ct.dcm", GEOMETRIES["oblique"])
    check_all_readers(tmp_path / "ct.dcm", tmp_path)


def test_a_tilted_gantry_keeps_the_position_of_every_slice(tmp_path: Path) -> None:
    volume, labels, reference = make(write_series(tmp_path / "series", tilted_gantry()))
    write_segmentation(labels, terms_of(labels.values, NAMES), reference, tmp_path / "seg.dcm")
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    frames = dataset.pixel_array
    for frame, groups in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float) * [-1, -1, 1]
        (number,) = (k for k in range(SLICES) if np.allclose(position, volume.affine[:3] @ [0, 0, k, 1], atol=1e-4))
        value = (3, 7)[groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber - 1]
        np.testing.assert_array_equal(frame.T, labels.voxels[:, :, number] == value)


@pytest.fixture
def case(tmp_path: Path) -> tuple[Volume, LabelMap, Reference]:
    """A series in a simple geometry, labels of it, and the reference to it."""
    return make(write_series(tmp_path / "series", GEOMETRIES["axial"]))


def test_labels_are_coded(case: tuple[Volume, LabelMap, Reference], tmp_path: Path) -> None:
    _, labels, reference = case
    write_segmentation(labels, terms_of(labels.values, NAMES), reference, tmp_path / "seg.dcm")
    kidney, other = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence
    concept = kidney.SegmentedPropertyTypeCodeSequence[0]
    assert (concept.CodingSchemeDesignator, concept.CodeValue) == ("SCT", "64033007")
    assert concept.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert other.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "99MVG"
    assert (kidney.SegmentLabel, other.SegmentLabel) == ("left kidney", "Something else")
    assert kidney.SegmentAlgorithmType == "AUTOMATIC"
    assert kidney.SegmentationAlgorithmIdentificationSequence[0].AlgorithmFamilyCodeSequence[0].CodeValue == "123110"


def test_a_segmentation_refers_to_its_images(case: tuple[Volume, LabelMap, Reference], tmp_path: Path) -> None:
    _, labels, reference = case
    write_segmentation(labels, terms_of(labels.values, NAMES), reference, tmp_path / "seg.dcm")
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    series = dataset.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == reference.first.SeriesInstanceUID
    assert dataset.FrameOfReferenceUID == reference.first.FrameOfReferenceUID
    assert dataset.StudyInstanceUID == reference.first.StudyInstanceUID
    assert len(series.ReferencedInstanceSequence) == SLICES
    assert len(dataset.pixel_array) < 2 * SLICES, "frames without labels are left out"


def test_a_prediction_without_labels_is_written(case: tuple[Volume, LabelMap, Reference], tmp_path: Path) -> None:
    volume, _, reference = case
    empty = LabelMap(np.zeros(volume.shape, np.uint8), volume.affine)
    write_segmentation(empty, terms_of([3], NAMES), reference, tmp_path / "seg.dcm")
    write_structure_set(empty, {}, reference, tmp_path / "rt.dcm")
    assert not segments_by_dcmqi(tmp_path / "seg.dcm", volume).any()
    assert not pydicom.dcmread(tmp_path / "rt.dcm").ROIContourSequence


@pytest.mark.parametrize("geometry", ["axial", "very oblique", "negated columns", "reversed order"])
def test_uncertainty_comes_back_from_a_parametric_map(geometry: str, tmp_path: Path) -> None:
    volume, _, reference = make(write_series(tmp_path / "series", GEOMETRIES[geometry]))
    values = Volume(np.random.default_rng(0).random(volume.shape, np.float32), volume.affine)
    write_parametric_map(values, reference, tmp_path / "map.dcm")
    np.testing.assert_allclose(parametric_map_by_dcmqi(tmp_path / "map.dcm", volume), values.voxels, atol=1e-6)
    assert errors_of_dciodvfy(tmp_path / "map.dcm") == []
    assert pydicom.dcmread(tmp_path / "map.dcm").SeriesDescription.endswith(RESEARCH_ONLY)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1000, 2000), (0, 60000), (-0.25, 0.5)])
@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_a_derived_series_has_the_pictures_of_the_prediction(
    modality: str, low: float, high: float, tmp_path: Path
) -> None:
    folder = write_series(tmp_path / "series", GEOMETRIES["oblique"])
    change_files(folder, Modality=modality)
    volume, _, reference = make(folder)
    voxels = np.random.default_rng(0).uniform(low, high, volume.shape).astype(np.float32)
    (tmp_path / "derived").mkdir()
    write_derived_series(Volume(voxels, volume.affine), reference, tmp_path / "derived")
    again = read(tmp_path / "derived")
    np.testing.assert_allclose(again.voxels, voxels, atol=max(0.51 if high - low > 1000 else 0, (high - low) / 30000))
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-5)
    dataset = pydicom.dcmread(tmp_path / "derived" / "0001.dcm")
    assert dataset.SeriesInstanceUID != reference.first.SeriesInstanceUID
    assert dataset.StudyInstanceUID == reference.first.StudyInstanceUID
    assert dataset.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert dataset.SeriesDescription.endswith(RESEARCH_ONLY)
    assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == reference.first.SOPInstanceUID
    if modality == "CT":
        assert errors_of_dciodvfy(tmp_path / "derived" / "0001.dcm") == []


def test_a_picture_of_a_multi_frame_file_is_one_file(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "ct.dcm", GEOMETRIES["oblique"])
    volume, _, reference = make(tmp_path / "ct.dcm")
    (tmp_path / "derived").mkdir()
    write_derived_series(Volume(volume.voxels / 2, volume.affine), reference, tmp_path / "derived")
    (file,) = (tmp_path / "derived").iterdir()
    np.testing.assert_allclose(read(file).voxels, volume.voxels / 2, atol=0.51)
    np.testing.assert_allclose(read(file).affine, volume.affine, atol=1e-5)


def test_outlines_are_drawn_on_the_slices_with_labels(case: tuple[Volume, LabelMap, Reference], tmp_path: Path) -> None:
    volume, labels, reference = case
    (tmp_path / "outlines").mkdir()
    count = write_captures(labels, volume, reference, tmp_path / "outlines")
    assert count == SLICES - 2 == len([*(tmp_path / "outlines").iterdir()])
    dataset = pydicom.dcmread(tmp_path / "outlines" / "0001.dcm")
    colored = np.ptp(dataset.pixel_array.astype(int), axis=2) > 0
    region = labels.voxels[:, :, 1].T > 0
    assert not (colored & ndimage.binary_erosion(region, iterations=2))[12:].any()
    assert (colored & ~region)[12:].sum() > 20
    assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == reference.headers[1].SOPInstanceUID
    assert errors_of_dciodvfy(tmp_path / "outlines" / "0001.dcm") == []


def test_an_image_without_a_position_has_a_segmentation_but_no_contours(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(pydicom_file("CT_small.dcm"))
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        delattr(dataset, name)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.Modality = "CR"
    dataset.save_as(tmp_path / "xray.dcm")
    _, labels, reference = make(tmp_path / "xray.dcm")
    write_segmentation(labels, terms_of(labels.values, NAMES), reference, tmp_path / "seg.dcm")
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "seg.dcm").pixel_array[0].T, labels.voxels[:, :, 0] == 3)
    with pytest.raises(FileError, match="without a position in the patient"):
        write_structure_set(labels, terms_of(labels.values, NAMES), reference, tmp_path / "rt.dcm")


@pytest.mark.parametrize("uid", ["anonymized", "1.2.3"])
def test_images_without_their_identifier_cannot_be_referred_to(uid: str, tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", GEOMETRIES["axial"])
    change_files(folder, SOPInstanceUID=uid)
    with pytest.raises(FileError, match=r"without a valid SOPInstanceUID of their own.*--format nifti"):
        make(folder)


def test_what_anonymizers_remove_is_completed(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", GEOMETRIES["axial"])
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        for name in (
            "PatientID",
            "PatientName",
            "StudyInstanceUID",
            "FrameOfReferenceUID",
            "SliceThickness",
            "Modality",
        ):
            delattr(dataset, name)
        dataset.save_as(file)
    check_all_readers(folder, tmp_path)


def test_a_source_that_changed_is_refused(case: tuple[Volume, LabelMap, Reference], tmp_path: Path) -> None:
    (tmp_path / "series" / "9.dcm").unlink()
    with pytest.raises(FileError, match="those of the prediction"):
        reference_of(tmp_path / "series", "", case[0].shape)
