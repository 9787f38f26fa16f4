"""What images of a series show, as their headers say: doses and mosaics are no slices, phase is no magnitude."""

from collections import Counter
from collections.abc import Iterator, Sequence
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
    """Lines about phase instead of magnitude (MR), and about images of several kinds in one volume."""
    phase = sum(_is_phase(header) for header in headers)
    if phase:
        yield f"{phase} of {len(headers)} images hold phase, not magnitude"
    kinds = Counter("\\".join(_kind(header)) for header in headers)
    if len(kinds) > 1:
        counted = ", ".join(f"{count} {kind or 'without one'}" for kind, count in kinds.most_common(_MOST_KINDS))
        more = ", ..." if len(kinds) > _MOST_KINDS else ""
        yield f"images of several kinds lie in one volume (ImageType): {counted}{more}"


def _is_phase(header: Any) -> bool:
    component = str(header.get("ComplexImageComponent", ""))
    return str(header.get("Modality", "")) == "MR" and (component == "PHASE" or bool(_PHASE & {*_kind(header)[2:]}))


def _kind(header: Any) -> tuple[str, ...]:
    """The values of ImageType, the first two of which say who made the pixels."""
    values = header.get("ImageType") or ()
    return (values,) if isinstance(values, str) else tuple(map(str, values))
