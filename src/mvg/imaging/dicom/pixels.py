"""The frames of a DICOM image in physical units: decoded, rescaled, with bright for high values."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.formats.itk import dicom_pixels
from mvg.imaging.volume import rgb_luminance

_JPEG = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.(5\d|70|8[01])$")  # transfer syntaxes of JPEG and JPEG-LS
_DARKEST = 0.1  # of the range of the pixels that are no padding
_END_OF_JPEG = b"\xff\xd9"


def name_transfer_syntax(dataset: Any) -> None:
    """Sets the transfer syntax of a dataset that was read without one, from a file without a preamble."""
    from pydicom import uid

    if "TransferSyntaxUID" in dataset.file_meta:
        return
    implicit, little = dataset.original_encoding
    syntax = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax if little else uid.ExplicitVRBigEndian


def frames_of(dataset: Any) -> list[NDArray[Any]]:
    """Every frame (rows, cols[, 3]) of an image, in HU or the units of the file; several frames in color become gray.

    Raises the errors of the decoders.
    """
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    name_transfer_syntax(dataset)
    count = int(dataset.get("NumberOfFrames") or 1)
    jpeg = _JPEG.match(str(dataset.file_meta.TransferSyntaxUID)) is not None
    if jpeg and _END_OF_JPEG not in dataset.PixelData[-64:]:
        raise EOFError("its compressed pixels end too early")  # decoders would invent the rest
    try:
        pixels = pixel_array(dataset)
    except RuntimeError:
        if not jpeg or count > 1 or not Path(getattr(dataset, "filename", None) or "").is_file():
            raise
        return [dicom_pixels(Path(dataset.filename))]  # a second decoder accepts flaws that the first ones refuse
    pixels = _without_padding(pixels, dataset)
    kind = str(dataset.get("PhotometricInterpretation", ""))
    if kind == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    elif kind == "MONOCHROME1":  # low values are white: inverted, so that high values are bright in every picture
        pixels = (-1 if dataset.PixelRepresentation else 2**dataset.BitsStored - 1) - pixels.astype(np.int64)
    frames = pixels if count > 1 else pixels[None]
    if count > 1 and frames.ndim == 4:  # a film in color, as of ultrasound
        frames = np.stack([rgb_luminance(frame) for frame in frames])
    return [_rescaled(frame, dataset, number) for number, frame in enumerate(frames)]


def _without_padding(pixels: NDArray[Any], dataset: Any) -> NDArray[Any]:
    """The stored pixels with the darkest value of the image in place of the padding that the header names.

    Padding in the darkest tenth of the range stays: its value may mean air, and lossy compression has values below it.
    """
    first = _number(dataset, "PixelPaddingValue")
    if first is None or pixels.dtype.kind not in "iu" or int(dataset.get("SamplesPerPixel") or 1) > 1:
        return pixels
    last = _number(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    padded = (pixels >= low) & (pixels <= high)
    if not padded.any() or padded.all():
        return pixels
    rest, is_inverted = pixels[~padded], dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    least, most = np.percentile(rest, (1, 99))
    margin = _DARKEST * (most - least)
    if (low > most - margin) if is_inverted else (high < least + margin):
        return pixels
    return np.where(padded, rest.max() if is_inverted else rest.min(), pixels)


def rescale_faults(dataset: Any) -> list[str]:
    """What is wrong with the rescale slope and intercept of an image, in words; such values are not used."""
    faults = []
    for name, other, default in (("RescaleSlope", "RescaleIntercept", 1), ("RescaleIntercept", "RescaleSlope", 0)):
        number = _number(dataset, name)
        if name in dataset and number is None:
            faults.append(f"{name} is {_text(dataset, name) or 'empty'}, and {default} is used")
        elif name not in dataset and other in dataset:
            faults.append(f"{name} is missing, and {default} is used")
        elif name == "RescaleSlope" and number == 0:
            faults.append(f"{name} is 0, and {default} is used")
    if dataset.get("Modality") == "CT" and not _has_rescale(dataset):
        faults.append("it is CT without RescaleSlope and RescaleIntercept, and values are used as they are stored")
    return faults


def functional_group(dataset: Any, number: int, name: str) -> Any:
    """A functional group of an enhanced image: that of the frame, else the shared one, else None."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for groups in (*per_frame[number : number + 1], *shared[:1]):
        if groups.get(name):
            return groups[name][0]
    return None


def rescale_of(dataset: Any, number: int = 0) -> tuple[float, float]:
    """Slope and intercept of a frame; 1 and 0 for values that are missing, empty or impossible."""
    transform = functional_group(dataset, number, "PixelValueTransformationSequence") or dataset
    slope, intercept = _number(transform, "RescaleSlope"), _number(transform, "RescaleIntercept")
    return slope or 1.0, intercept or 0.0


def _rescaled(frame: NDArray[Any], dataset: Any, number: int) -> NDArray[Any]:
    from pydicom.pixels.processing import apply_modality_lut

    if dataset.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(frame, dataset))
    slope, intercept = rescale_of(dataset, number)
    return frame if (slope, intercept) == (1, 0) else (frame * slope + intercept).astype(np.float32)


def _has_rescale(dataset: Any) -> bool:
    groups = functional_group(dataset, 0, "PixelValueTransformationSequence")
    return any(name in dataset for name in ("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence")) or bool(groups)


def _text(dataset: Any, name: str) -> str:
    try:
        value = dataset.get(name)
    except (ValueError, TypeError):
        return "not a number"
    return "" if value is None else str(value)


def _number(dataset: Any, name: str) -> float | None:
    """A finite number, or None for what is none."""
    try:
        value = float(dataset.get(name))
    except (ValueError, TypeError):
        return None
    return value if np.isfinite(value) else None
