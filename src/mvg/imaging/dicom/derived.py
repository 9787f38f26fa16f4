"""Pictures as DICOM: a predicted image as a new series of its study, and screens that show outlines on the image."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import GeometryError
from mvg.imaging.dicom.reference import MANUFACTURER, RESEARCH_ONLY, Reference, description, series_number
from mvg.imaging.dicom.suv import UNITS, suv_factor
from mvg.imaging.overlay import outline
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window

_PICTURE, _CAPTURE = 4, 5  # kinds of objects in series numbers
_CAPTURE_CLASS = "1.2.840.10008.5.1.4.1.1.7"
_LEVELS = 65535
_ENOUGH_LEVELS = 1000  # a range of so many whole numbers is stored as it is, without a slope
_NOT_COPIED = (  # what describes the pixels of the source, or its file
    "PixelData", "NumberOfFrames", "SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "ModalityLUTSequence", "VOILUTSequence", "WindowCenterWidthExplanation",
    "IconImageSequence", "PlanarConfiguration", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData", "SmallestPixelValueInSeries", "LargestPixelValueInSeries",
)  # fmt: skip
_OVERLAYS = range(0x6000, 0x6100)
_OF_STUDY = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "PatientID",
    "PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName", "SpecificCharacterSet",
)  # fmt: skip


def write_derived_series(picture: Volume, reference: Reference, folder: Path) -> None:
    """Write a predicted image into an existing folder as a series of the source's kind, one file per source file.

    Intensities are rounded to whole numbers where their range allows it, else they have a slope.
    """
    from pydicom.uid import generate_uid

    pictures = reference.pictures(picture.voxels)
    modality = str(reference.first.Modality)
    slope, intercept = _scale(pictures, modality)
    stored = np.rint((pictures - intercept) / slope).astype(np.uint16 if intercept or pictures.min() >= 0 else np.int16)
    uid, has_suv = generate_uid(), suv_factor(reference.headers)[0] is not None
    for number, header in enumerate(reference.headers):
        dataset = _copied(header)
        dataset.SeriesInstanceUID, dataset.SeriesNumber = uid, series_number(reference, _PICTURE)
        dataset.SeriesDescription = description("image", reference)
        dataset.InstanceNumber = number + 1
        kinds = header.get("ImageType") or []
        dataset.ImageType = ["DERIVED", "SECONDARY", *([kinds] if isinstance(kinds, str) else list(kinds))[2:]]
        dataset.DerivationDescription = f"Predicted by mvg from example pairs, {RESEARCH_ONLY}"
        dataset.SourceImageSequence = [_source(header)]
        _set_scale(dataset, slope, intercept)
        dataset.WindowCenter = round(float(pictures.min() + pictures.max()) / 2, 3)
        dataset.WindowWidth = max(1.0, round(float(np.ptp(pictures)), 3))
        if has_suv:
            dataset.Units = UNITS
        frames = stored if reference.frames else stored[number : number + 1]
        _set_pixels(dataset, frames, len(reference.frames))
        dataset.save_as(folder / f"{number + 1:04d}.dcm", enforce_file_format=True)


def write_captures(labels: LabelMap, image: Volume, reference: Reference, folder: Path) -> int:
    """Write the slices with labels as color pictures with outlines (secondary captures) into an existing folder.

    Returns their number. The window is that of the source, or its percentiles.
    """
    from pydicom.uid import generate_uid

    gray = reference.pictures(_windowed(image, reference))
    regions, uid, written = reference.pictures(labels.voxels), generate_uid(), 0
    for number in np.flatnonzero(regions.any(axis=(1, 2))).tolist():
        written += 1
        header = reference.first if reference.frames else reference.headers[number]
        dataset = _capture(_captioned(outline(gray[number], regions[number])), header)
        dataset.SeriesInstanceUID, dataset.SeriesNumber = uid, series_number(reference, _CAPTURE)
        dataset.SeriesDescription, dataset.InstanceNumber = description("outlines", reference), written
        dataset.SourceImageSequence = [_source(header)]
        if reference.frames:
            dataset.SourceImageSequence[0].ReferencedFrameNumber = number + 1
        dataset.save_as(folder / f"{written:04d}.dcm", enforce_file_format=True)
    return written


def _scale(pictures: NDArray[Any], modality: str) -> tuple[float, float]:
    """The slope and intercept that take stored numbers of 16 bits to intensities."""
    low, high = float(pictures.min()), float(pictures.max())
    if modality == "PT":  # its intercept has to be 0
        return max(high, -low, 1e-6) / (_LEVELS // 2), 0.0
    if high - low >= _ENOUGH_LEVELS and low >= -(2**15) and high < (2**16 if low >= 0 else 2**15):
        return 1.0, 0.0
    return max(high - low, 1e-6) / _LEVELS, low


def _set_scale(dataset: Any, slope: float, intercept: float) -> None:
    from pydicom import Dataset, Sequence

    needs = (slope, intercept) != (1, 0) or dataset.Modality in ("CT", "PT")
    numbers = f"{slope:.10g}", f"{intercept:.10g}"
    for name in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
        if name in dataset:
            delattr(dataset, name)
    if "SharedFunctionalGroupsSequence" not in dataset:
        if needs:
            dataset.RescaleSlope, dataset.RescaleIntercept = numbers
        return
    for groups in dataset.get("PerFrameFunctionalGroupsSequence") or []:
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            if name in groups:
                delattr(groups, name)
    transform = Dataset()
    transform.RescaleSlope, transform.RescaleIntercept = numbers
    transform.RescaleType = "HU" if dataset.Modality == "CT" else "US"
    dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = Sequence([transform])


def _set_pixels(dataset: Any, frames: NDArray[Any], frame_count: int) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = frames.shape[1:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(frames.dtype == np.int16)
    if frame_count:
        dataset.NumberOfFrames = frame_count
    dataset.PixelData = frames.astype(frames.dtype.newbyteorder("<")).tobytes()


def _copied(header: Any) -> Any:
    """The elements of an image that hold for a picture derived from it, under new identifiers."""
    import copy

    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    for element in header:
        is_overlay = element.tag.group in _OVERLAYS
        if not (element.tag.is_private or is_overlay or element.keyword in _NOT_COPIED or element.tag.group == 2):
            dataset.add(copy.deepcopy(element))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return dataset


def _source(header: Any) -> Any:
    from pydicom import Dataset

    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return source


def _windowed(image: Volume, reference: Reference) -> NDArray[np.float32]:
    """The image in [0, 1] in the window that its header names, or in its percentiles."""
    try:
        center, width = (float(np.atleast_1d(reference.first.get(name))[0]) for name in ("WindowCenter", "WindowWidth"))
        window = Window(center - width / 2, center + width / 2)
    except (TypeError, ValueError, IndexError, GeometryError):
        window = Window.fit(image.voxels, "other")
    return window.apply(image.voxels)


def _captioned(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture with the purpose in its upper left corner."""
    from PIL import Image, ImageDraw

    drawn = Image.fromarray(picture)
    ImageDraw.Draw(drawn).text((2, 0), f"mvg, {RESEARCH_ONLY}", fill=(255, 255, 0))
    return np.asarray(drawn)


def _capture(picture: NDArray[np.uint8], header: Any) -> Any:
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless, generate_uid

    from mvg import __version__

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(_CAPTURE_CLASS)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for name in _OF_STUDY:
        if name in header:
            setattr(dataset, name, getattr(header, name))
    dataset.Modality, dataset.ConversionType = "OT", "WSD"
    dataset.Manufacturer, dataset.SecondaryCaptureDeviceManufacturer = MANUFACTURER, MANUFACTURER
    dataset.SecondaryCaptureDeviceSoftwareVersions = __version__
    dataset.ImageType, dataset.BurnedInAnnotation = ["DERIVED", "SECONDARY"], "NO"
    dataset.DerivationDescription = f"Outlines of labels predicted by mvg, {RESEARCH_ONLY}"
    dataset.PatientOrientation, dataset.Laterality = None, None
    dataset.Rows, dataset.Columns = picture.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = picture.tobytes()
    dataset.compress(RLELossless, generate_instance_uid=False)
    return dataset
