"""Finds the studies in a folder, and the label files that lie beside them. Only names and sizes are read."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mvg.imaging.files import stem_of, suffix_of

_IMAGE_FOLDERS = re.compile(r"(images?|img|scans?)(tr|ts|va)?", re.IGNORECASE)
_LABEL_FOLDERS = re.compile(
    r"(labels?|masks?|segmentations?|seg|targets?|annotations?|ground_?truth|gt)(tr|ts|va)?", re.IGNORECASE
)
_LABEL_ENDING = re.compile(r"[-_. ](labels?|labelmap|masks?|seg|segmentation|gt|groundtruth)$", re.IGNORECASE)
_CHANNEL = re.compile(r"_\d{4}$")
_DICOM = (".dcm", ".dicom", ".ima", "")
_VOXELS = (".raw", ".zraw", ".raw.gz")  # of an .mhd or .nhdr file
_OTHER = (".json", ".csv", ".txt", ".md", ".xml", ".tsv", ".html", ".pdf", ".log", ".toml", ".yaml", ".yml")
_MAGIC = slice(128, 132)


@dataclass(frozen=True)
class StudyFile:
    """A study as it lies in the folder.

    path: relative to the folder, with slashes, of a file or of a folder with one DICOM series; labels: of the file
    beside it, or None; size in bytes; modified: seconds since 1970; error: why it cannot be used, or None.
    """

    path: str
    format: str
    size: int
    modified: float
    labels: str | None = None
    error: str | None = None
    origin: str = "folder"

    @property
    def id(self) -> str:
        """Names the study; the same path has the same id after a restart."""
        return hashlib.sha256(f"{self.origin}:{self.path}".encode()).hexdigest()[:16]


def scan(folder: Path, skip: frozenset[str] = frozenset({"mvg"})) -> list[StudyFile]:
    """The studies below a folder by path, each with the label file beside it. `skip`: top folders that hold none.

    Links that lead out of the folder are listed with an error and never followed.
    """
    root = folder.resolve()
    return _with_labels(sorted(_walk(root, root, skip), key=lambda file: file.path))


def _walk(folder: Path, root: Path, skip: frozenset[str]) -> Iterator[StudyFile]:
    """The files that may be studies or labels, and folders of DICOM files."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return  # a folder that may not be read holds nothing for us
    files: list[os.DirEntry[str]] = []
    for entry in entries:
        if entry.name.startswith(".") or (folder == root and entry.name in skip):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), root, frozenset())
        elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
            files.append(entry)
    slices = [entry for entry in files if _is_dicom(entry)]
    if slices and folder != root and _is_one_series(slices):
        yield _series(folder, slices, root)
        files = [entry for entry in files if entry not in slices]
    for entry in files:
        suffix = suffix_of(entry.name)
        if (suffix or _is_dicom(entry)) and not entry.name.lower().endswith(_VOXELS):
            yield _file(entry, suffix or ".dcm", root)


def _is_dicom(entry: os.DirEntry[str]) -> bool:
    suffix = suffix_of(entry.name)
    if suffix:
        return suffix in _DICOM
    if entry.is_symlink() or entry.name.lower().endswith((*_OTHER, *_VOXELS)):
        return False
    try:
        with open(entry.path, "rb") as file:
            return file.read(132)[_MAGIC] == b"DICM"
    except OSError:
        return False


def _is_one_series(slices: list[os.DirEntry[str]]) -> bool:
    """Whether the first, the second and the last file name the same series; else each is a study of its own."""
    import pydicom

    names = set()
    for entry in (*slices[:2], slices[-1]):
        try:
            header = pydicom.dcmread(entry.path, True, True, force=True, specific_tags=["SeriesInstanceUID"])
            names.add(str(header.get("SeriesInstanceUID", entry.name)))
        except (OSError, EOFError, ValueError, AttributeError, pydicom.errors.InvalidDicomError):
            names.add(entry.name)
    return len(names) == 1


def _series(folder: Path, slices: list[os.DirEntry[str]], root: Path) -> StudyFile:
    facts = [entry.stat() for entry in slices if not entry.is_symlink()]
    error = None
    if len(facts) < len(slices):
        error = _outside(folder.name)
    size, modified = sum(fact.st_size for fact in facts), max((fact.st_mtime for fact in facts), default=0.0)
    return StudyFile(folder.relative_to(root).as_posix(), "dicom", size, modified, None, error)


def _file(entry: os.DirEntry[str], suffix: str, root: Path) -> StudyFile:
    path = Path(entry.path).relative_to(root).as_posix()
    try:
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
            return StudyFile(path, suffix, 0, 0.0, None, _outside(entry.name))
        facts = entry.stat()
    except OSError as error:
        return StudyFile(path, suffix, 0, 0.0, None, f"'{entry.name}' cannot be read ({error.strerror}).")
    return StudyFile(path, suffix, facts.st_size, facts.st_mtime)


def _outside(name: str) -> str:
    return f"'{name}' links to a file outside of the folder; expected files inside; copy it into the folder."


def _with_labels(files: list[StudyFile]) -> list[StudyFile]:
    """The studies among files; those that are labels of another one are attached to it."""
    by_path = {_key(file.path): file for file in files if file.format != "dicom"}
    labels: dict[str, str] = {}
    for file in files:
        for candidate in _label_paths(file.path):
            partner = by_path.get(candidate)
            if partner is not None and partner.path != file.path:
                labels[file.path] = partner.path
                break
    used = set(labels.values())
    return [replace(file, labels=labels.get(file.path)) for file in files if file.path not in used]


def _key(path: str) -> tuple[str, str]:
    pure = PurePosixPath(path)
    return str(pure.parent), stem_of(Path(pure.name)).lower()


def _label_paths(path: str) -> Iterable[tuple[str, str]]:
    """Where labels of a study may lie, as (folder, stem in lower case)."""
    pure = PurePosixPath(path)
    stem = stem_of(Path(pure.name)).lower()
    stems = dict.fromkeys((_CHANNEL.sub("", stem), stem))
    return _Candidates(pure, list(stems))


@dataclass(frozen=True)
class _Candidates:
    path: PurePosixPath
    stems: list[str]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        folder = self.path.parent
        match = _IMAGE_FOLDERS.fullmatch(folder.name)
        if match:
            ending = match.group(2) or ""
            for name in ("labels", "label", "masks", "mask", "targets", "target", "segmentations", "seg", "gt"):
                for stem in self.stems:
                    yield str(folder.parent / f"{name}{ending}"), stem
                    yield str(folder.parent / f"{name.capitalize()}{ending}"), stem
        if _LABEL_FOLDERS.fullmatch(folder.name) or _LABEL_ENDING.search(self.stems[-1]):
            return
        for stem in self.stems:
            for ending in ("label", "labels", "labelmap", "mask", "masks", "seg", "segmentation", "gt", "groundtruth"):
                for separator in "_-. ":
                    yield str(folder), f"{stem}{separator}{ending}"
