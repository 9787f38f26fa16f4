"""The DICOM files of a folder, a zip archive or a DICOMDIR."""

import logging
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mvg.errors import FileError, first_line

SUFFIXES = (".dcm", ".dicom", ".ima")
"""Suffixes of single files, in lower case."""
ARCHIVE = ".zip"
"""The suffix of archives."""

_DIRECTORY = "1.2.840.10008.1.3.10"  # the SOP class of a DICOMDIR
_OTHER_SUFFIX = re.compile(
    r"\.(nii|nii\.gz|mgh|mgz|hdr|nrrd|nhdr|mha|mhd|png|jpe?g|tiff?|bmp|npz|h5|zip)$", re.IGNORECASE
)
_MOST_NAMES = 5  # in a message
_VALUE_TYPES = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OW PN SH SL SQ SS ST TM UC UI UL UN UR US UT".split()
)


@dataclass(frozen=True)
class DicomFile:
    """A DICOM file; member: its name in the archive `path`, "" for a file on disk."""

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """What messages call the file."""
        return Path(self.member).name if self.member else self.path.name

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The content as a stream that can seek."""
        if not self.member:
            with self.path.open("rb") as stream:
                yield stream
            return
        with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
            yield stream

    def header(self) -> Any:
        """All elements before the pixels. Raises the errors of pydicom."""
        import pydicom

        with self.open() as stream:
            return pydicom.dcmread(stream, stop_before_pixels=True, force=True)

    def dataset(self) -> Any:
        """All elements. Raises the errors of pydicom."""
        import pydicom

        with self.open() as stream:
            return pydicom.dcmread(stream, force=True)


@dataclass(frozen=True)
class Instance:
    """A DICOM image and its elements before the pixels."""

    file: DicomFile
    header: Any


Note = Callable[[str], None]
"""Called with a line about what is left out or mended."""


def warn(message: str) -> None:
    """A note to the logger "mvg"."""
    logging.getLogger("mvg").warning("%s", message)


def image_instances(path: Path, note: Note) -> list[Instance]:
    """The images of a folder and its subfolders, of a zip archive, of a DICOMDIR, or of one file.

    Files of other kinds are left out. A note names DICOM files that are damaged. Raises FileError where there is no
    image.
    """
    instances, others, damaged = list[Instance](), list[Instance](), list[str]()
    for file in _files(path, note):
        try:
            header = file.header()
        except Exception as error:  # pydicom raises errors of many kinds for damaged files
            damaged.append(f"{file.name} ({first_line(error)})")
            continue
        if not header:
            damaged.append(f"{file.name} (it is empty)")
        (instances if "Rows" in header else others).append(Instance(file, header))
    kinds = {_kind(instance) for instance in instances}
    damaged += [f"{other.file.name} (it ends too early)" for other in others if _kind(other) in kinds]
    if damaged:
        note(f"'{path}' holds {len(damaged)} damaged DICOM files, which are left out: {_listed(damaged)}")
    if not instances:
        raise _outlines_alone(path) if any(_is_outlines(other.header) for other in others) else _no_image(path)
    return instances


def _kind(instance: Instance) -> str:
    meta = getattr(instance.header, "file_meta", {})
    return str(meta.get("MediaStorageSOPClassUID", "") or instance.header.get("SOPClassUID", ""))


def _is_outlines(header: Any) -> bool:
    return str(header.get("Modality", "")) == "RTSTRUCT"


def _outlines_alone(path: Path) -> FileError:
    return FileError(
        f"'{path}' holds outlines (RTSTRUCT) and no image",
        "an image, or labels as SEG, NIfTI, NRRD or pictures",
        "convert the outlines to a label map, as dcmrtstruct2nii and plastimatch do",
    )


def _other_images(path: Path) -> list[str]:
    """The names of the images and archives in a folder or an archive that are no DICOM."""
    if path.is_dir():
        names = [one.name for one in path.iterdir()]
    else:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    return sorted(name for name in names if _OTHER_SUFFIX.search(name))


def _no_image(path: Path) -> FileError:
    if path.is_dir() or path.suffix.lower() == ARCHIVE:
        kind = "folder" if path.is_dir() else "archive"
        others = _other_images(path)
        if others:
            return FileError(
                f"no DICOM image in the {kind} '{path}', but {len(others)} other images ({others[0]}, ...)",
                "a DICOM series, or the images themselves",
                f"name the images, for example {path / others[0]}"
                if path.is_dir()
                else "unpack it and name the images",
            )
        return FileError(f"no DICOM image in the {kind} '{path}'", "the files of one series", "check the path")
    return FileError(f"'{path}' holds no image", "a DICOM image", "choose a file with pixel data")


def _files(path: Path, note: Note) -> list[DicomFile]:
    if path.is_dir():
        return _in_folder(path)
    if path.suffix.lower() == ARCHIVE:
        return _in_archive(path)
    file = DicomFile(path)
    header = file.header()
    is_directory = str(header.file_meta.get("MediaStorageSOPClassUID", "")) == _DIRECTORY
    return _in_directory(path, header, note) if is_directory else [file]


def _in_folder(folder: Path) -> list[DicomFile]:
    files = [DicomFile(path) for path in sorted(folder.rglob("*")) if path.is_file() and path.name[0] != "."]
    return [file for file in files if _is_dicom(file)]


def _in_archive(path: Path) -> list[DicomFile]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir() and member.file_size]
    if any(member.flag_bits & 1 for member in members):
        raise FileError(f"'{path}' is encrypted", "an archive without a password", "unpack it first")
    files = [DicomFile(path, member.filename) for member in sorted(members, key=lambda member: member.filename)]
    return [file for file in files if file.name[:1] not in ("", ".") and _is_dicom(file)]


def _in_directory(path: Path, directory: Any, note: Note) -> list[DicomFile]:
    """The files that a DICOMDIR names; their names may have another case on this disk."""
    paths, missing = list[Path](), list[str]()
    for record in directory.get("DirectoryRecordSequence") or []:
        parts = record.get("ReferencedFileID")
        if not parts:
            continue
        parts = [parts] if isinstance(parts, str) else list(parts)
        variants = [path.parent.joinpath(*parts), path.parent.joinpath(*(part.lower() for part in parts))]
        existing = [variant for variant in variants if variant.is_file()]
        paths += existing[:1]
        missing += [] if existing else ["/".join(parts)]
    if missing:
        note(f"'{path}' names {len(missing)} files that are missing: {_listed(missing)}")
    return [file for file in (DicomFile(path) for path in sorted(paths)) if _is_dicom(file)]


def _is_dicom(file: DicomFile) -> bool:
    """Whether a file has the suffix, the preamble or the first element of DICOM; a DICOMDIR does not count."""
    if file.name.upper() == "DICOMDIR":
        return False
    with file.open() as stream:
        start = stream.read(132)
    return start[128:] == b"DICM" or Path(file.name).suffix.lower() in SUFFIXES or starts_without_preamble(start)


def starts_without_preamble(start: bytes) -> bool:
    """Whether bytes begin with an element of group 2 or 8, as DICOM without a preamble does."""
    if start[:2] not in (b"\x02\x00", b"\x08\x00") or start[3:4] not in (b"\x00", b"\x01"):
        return False
    return start[4:6] in _VALUE_TYPES or 0 < int.from_bytes(start[4:8], "little") <= 1024


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
