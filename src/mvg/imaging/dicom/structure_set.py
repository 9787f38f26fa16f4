"""Radiotherapy structure sets (RTSTRUCT): the outlines of labels, slice by slice, in the patient's millimeters."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import FileError
from mvg.imaging.dicom.contours import outlines
from mvg.imaging.dicom.reference import MANUFACTURER, RESEARCH_ONLY, Reference, description, series_number
from mvg.imaging.dicom.terms import Term
from mvg.imaging.overlay import color_of
from mvg.imaging.volume import LabelMap

_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
_KIND = 2  # of object in series numbers
_COPIED = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "PatientID",
    "PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName", "FrameOfReferenceUID",
    "PositionReferenceIndicator", "SpecificCharacterSet",
)  # fmt: skip
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_structure_set(labels: LabelMap, terms: Mapping[int, Term], reference: Reference, path: Path) -> None:
    """Write an RTSTRUCT with one region of interest per label that occurs.

    terms: of all labels. Every pixel center lies on its side of the lines. Raises FileError for images without a
    position in the patient.
    """
    from pydicom import Sequence

    if "ImagePositionPatient" not in reference.first and not _has_positions(reference):
        raise FileError(
            f"images without a position in the patient for '{path.name}'",
            "a volume for an RTSTRUCT",
            "write --format dicom-seg or nifti",
        )
    dataset = _empty(reference)
    values = list(labels.values)
    dataset.StructureSetROISequence = Sequence(
        [_region(number, terms[value], reference) for number, value in enumerate(values, 1)]
    )
    dataset.ROIContourSequence = Sequence(
        [_contours(number, labels, value, reference) for number, value in enumerate(values, 1)]
    )
    dataset.RTROIObservationsSequence = Sequence(
        [_observation(number, terms[value]) for number, value in enumerate(values, 1)]
    )
    dataset.save_as(path, enforce_file_format=True)


def _has_positions(reference: Reference) -> bool:
    frames = reference.first.get("PerFrameFunctionalGroupsSequence")
    return bool(frames) and "PlanePositionSequence" in frames[0]


def _empty(reference: Reference) -> Any:
    """The structure set without regions."""
    from pydicom import Dataset, Sequence
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    from mvg import __version__

    dataset, now = Dataset(), datetime.now()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(_CLASS)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for name in _COPIED:
        if name in reference.first:
            setattr(dataset, name, getattr(reference.first, name))
    dataset.Modality, dataset.Manufacturer = "RTSTRUCT", MANUFACTURER
    dataset.ManufacturerModelName, dataset.SoftwareVersions = MANUFACTURER, __version__
    dataset.SeriesInstanceUID, dataset.SeriesNumber = generate_uid(), series_number(reference, _KIND)
    dataset.SeriesDescription = description("contours", reference)
    dataset.InstanceNumber, dataset.OperatorsName = 1, None
    dataset.StructureSetLabel, dataset.StructureSetName = "MVG", RESEARCH_ONLY
    dataset.StructureSetDate = dataset.InstanceCreationDate = now.strftime("%Y%m%d")
    dataset.StructureSetTime = dataset.InstanceCreationTime = now.strftime("%H%M%S")
    dataset.ApprovalStatus = "UNAPPROVED"
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = reference.first.SeriesInstanceUID
    series.ContourImageSequence = Sequence([_image(reference, k) for k in range(reference.slice_count)])
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY_CLASS, reference.first.StudyInstanceUID
    study.RTReferencedSeriesSequence = Sequence([series])
    frame.FrameOfReferenceUID = reference.first.FrameOfReferenceUID
    frame.RTReferencedStudySequence = Sequence([study])
    dataset.ReferencedFrameOfReferenceSequence = Sequence([frame])
    return dataset


def _image(reference: Reference, slice_number: int) -> Any:
    from pydicom import Dataset

    header = reference.first if reference.frames else reference.headers[slice_number]
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    if reference.frames:
        image.ReferencedFrameNumber = reference.frames[slice_number] + 1
    return image


def _region(number: int, term: Term, reference: Reference) -> Any:
    from pydicom import Dataset

    region = Dataset()
    region.ROINumber, region.ROIName = number, term.name[:64]
    region.ReferencedFrameOfReferenceUID = reference.first.FrameOfReferenceUID
    region.ROIGenerationAlgorithm = "AUTOMATIC"
    region.ROIGenerationDescription = f"mvg in-context segmentation, {RESEARCH_ONLY}"
    return region


def _contours(number: int, labels: LabelMap, value: int, reference: Reference) -> Any:
    from pydicom import Dataset, Sequence

    contours = list[Any]()
    for slice_number, points in _lines(labels, value):
        contour = Dataset()
        contour.ContourImageSequence = Sequence([_image(reference, slice_number)])
        contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
        contour.ContourNumber = len(contours) + 1
        contour.ContourData = [f"{number:.5f}".rstrip("0").rstrip(".") for number in points.ravel()]
        contours.append(contour)
    region = Dataset()
    region.ReferencedROINumber, region.ROIDisplayColor = number, list(color_of(number))
    region.ContourSequence = Sequence(contours)
    return region


def _lines(labels: LabelMap, value: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The number of a slice and the points (n, 3) of a line in it, in LPS mm, for every line of a label."""
    to_patient = _LPS @ labels.affine
    for number in np.flatnonzero((labels.voxels == value).any(axis=(0, 1))).tolist():
        for line in outlines(labels.voxels[:, :, number] == value):
            index = np.column_stack([line, np.full(len(line), number), np.ones(len(line))])
            yield number, (index @ to_patient.T)[:, :3]


def _observation(number: int, term: Term) -> Any:
    from pydicom import Dataset, Sequence

    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = number
    observation.ROIObservationLabel = term.name[:16]
    observation.RTROIInterpretedType, observation.ROIInterpreter = None, None
    observation.RTROIIdentificationCodeSequence = Sequence([term.concept.item()])
    return observation
