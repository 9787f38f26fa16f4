"""What the images of a volume show, as their headers say: doses and mosaics are no slices, phase is no magnitude."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from mvg.errors import FileError

_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
_MOSAIC = "MOSAIC"
_PHASE = {"P", "PHASE", "PHASE MAP"}
_MOST_KINDS = 3  # in a message


def check_kinds(path: Path, headers: Sequence[Any]) -> None:
    """Raises FileError for a dose, and for a mosaic: slices of a volume side by side in one picture (Siemens)."""
    for header in headers:
        if str(header.get("SOPClassUID", "")) == _DOSE:
            raise FileError(f"'{path}' is a dose (RTDOSE)", "an image", "convert it to NIfTI, as plastimatch does")
        if _MOSAIC in _kind(header):
            raise FileError(
                f"'{path}' holds mosaics: the slices of a volume side by side in one picture",
                "a picture for each slice",
                "convert it to NIfTI, as dcm2niix does",
            )


def notes_on_kinds(headers: Sequence[Any]) -> Iterator[str]:
    """Lines about phase instead of magnitude (MR), and about images of several kinds or patients in one volume."""
    patients = {str(header.get("PatientID") or "") for header in headers} - {""}
    if len(patients) > 1:
        yield f"its images are of {len(patients)} patients, by their PatientID"
    phase = sum(_is_phase(header) for header in headers)
    if phase:
        yield f"{phase} of {len(headers)} images hold phase, not magnitude"
    kinds = Counter("\\".join(_kind(header)) for header in headers)
    if len(kinds) > 1:
        counted = ", ".join(f"{count} {kind or 'without one'}" for kind, count in kinds.most_common(_MOST_KINDS))
        more = ", ..." if len(kinds) > _MOST_KINDS else ""
        yield f"images of several kinds lie in one volume (ImageType): {counted}{more}"


def note_on_order(headers: Sequence[Any]) -> str:
    """A line about slices, in their order in space, that alternate between acquisitions; "" where none do."""
    numbers = [str(header.get("AcquisitionNumber") or "") for header in headers]
    changes = sum(one != other for one, other in pairwise(numbers))
    count = len(set(numbers))
    if "" in numbers or changes < count:  # each acquisition is a run of slices
        return ""
    return f"slices of {count} acquisitions alternate (AcquisitionNumber): they may differ in contrast"


def _is_phase(header: Any) -> bool:
    component = str(header.get("ComplexImageComponent", ""))
    return str(header.get("Modality", "")) == "MR" and (component == "PHASE" or bool(_PHASE & {*_kind(header)[2:]}))


def _kind(header: Any) -> tuple[str, ...]:
    """The values of ImageType, the first two of which say who made the pixels."""
    values = header.get("ImageType") or ()
    return (values,) if isinstance(values, str) else tuple(map(str, values))
