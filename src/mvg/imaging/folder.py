"""Images of a folder by their names, to find what belongs together."""

from collections.abc import Sequence
from pathlib import Path
from unicodedata import normalize

from mvg.errors import FileError
from mvg.imaging.files import stem_of

_VOXEL_SUFFIXES = (".raw", ".zraw", ".raw.gz")  # voxels of an .mhd or .nhdr file with the same name
_NO_IMAGES = (".json", ".bval", ".bvec", ".txt", ".csv", ".tsv", ".md", ".xml", ".html", ".pdf", ".db", ".ini", ".log")
_FIRST_CHANNEL = "_0000"
_SEGMENTS = ".seg.nrrd"


def files_by_name(folder: Path) -> dict[str, Path]:
    """Files, and folders of DICOM series, by name without suffix (and without the channel number 0000).

    What programs write beside images (.json, .bval, Thumbs.db, ...) is left out. Letters with accents have one spelling
    in Unicode here, whichever the disk has. Raises FileError where two files have one name.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower().endswith((*_VOXEL_SUFFIXES, *_NO_IMAGES)):
            continue
        name = name_of(path)
        if name in files:
            raise FileError(
                f"'{folder}' has both {files[name].name} and {path.name}", "one file per name", "remove or rename one"
            )
        files[name] = path
    return files


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, for messages."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def name_of(path: Path) -> str:
    """The name of a file or folder without suffix, the channel number 0000 and what 3D Slicer adds (.seg.nrrd)."""
    stem = path.name[: -len(_SEGMENTS)] if path.name.lower().endswith(_SEGMENTS) else stem_of(path)
    return normalize("NFC", stem).removesuffix(_FIRST_CHANNEL)
