"""What a study's file says besides its voxels. It may name the patient, so it is read only when it is requested."""

from pathlib import Path
from typing import Any

from mvg.imaging.files import suffix_of

_MOST_ENTRIES = 500
_LONGEST = 200
_DICOM = ("", ".dcm", ".dicom", ".ima")


def header_entries(path: Path) -> list[dict[str, str]]:
    """Names and values of the entries of a header; none for formats without one."""
    if path.is_dir() or suffix_of(path) in _DICOM:
        return _dicom(path)
    if suffix_of(path) in (".nii", ".nii.gz"):
        return _nifti(path)
    return []


def _dicom(path: Path) -> list[dict[str, str]]:
    import pydicom

    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        try:
            dataset: Any = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        except (OSError, EOFError, ValueError, pydicom.errors.InvalidDicomError):
            continue
        entries = [element for element in dataset if element.VR not in ("SQ", "OB", "OW", "UN")]
        return [_entry(element.keyword or str(element.tag), str(element.value)) for element in entries[:_MOST_ENTRIES]]
    return []


def _nifti(path: Path) -> list[dict[str, str]]:
    import nibabel

    header: Any = nibabel.nifti1.load(path).header
    return [_entry(name, str(header[name])) for name in header]


def _entry(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": " ".join(value.split())[:_LONGEST]}
