"""Images in files: read any format as a Volume or LabelMap, write any format completely or not at all."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from mvg._atomic import atomic_file, unwritable
from mvg._plugins import contributions
from mvg.errors import FileError, MvgError, last_line
from mvg.imaging import formats
from mvg.imaging.dicom.files import starts_without_preamble
from mvg.imaging.dicom.labels import segment_names as names_of_segments
from mvg.imaging.dicom.series import choose, segmentation_in
from mvg.imaging.dicom.time_points import volume_count as dicom_volume_count
from mvg.imaging.formats import LOSSY, Format, Stored
from mvg.imaging.stored_images import labels_of, time_point, volume_of, volumes_in
from mvg.imaging.volume import LabelMap, Volume, luminance

_PAIR = (
    "convert the pair of .hdr and .img to one NIfTI file, as by nibabel.save(nibabel.load('NAME.hdr'), 'NAME.nii.gz'), "
    "and check its sides: Analyze does not say which is the left one"
)
_CONVERSIONS = {
    ".hdr": _PAIR, ".img": _PAIR, ".mnc": "convert it to NIfTI (mnc2nii)", ".par": "convert it to NIfTI (dcm2niix)",
    ".rec": "convert it to NIfTI (dcm2niix)", ".npy": "save voxels and affine together (numpy.savez)",
}  # fmt: skip
_VOLUME = re.compile(r"(?:.+ )?volume (\d+)")


def read(path: Path | str, series: str = "") -> Volume:
    """Reads a file, or a folder of one DICOM series, as float32 (CT in HU) with its affine to RAS+ mm.

    series: the UID (or its end) of a series in a DICOM folder, zip archive or DICOMDIR; "" for the only or the largest
    one, "largest" for the largest one even where another fault would be refused; "volume N" alone or behind these, from
    0 on, for one of several volumes in one file or series, such as time points.
    A color picture has three channels (red, green, blue); if they are equal, it is read as gray. FileError
    for files that are missing, empty, truncated, 4D or color volumes, or hold NaN or infinity; GeometryError for an
    affine that cannot be inverted.
    """
    number = _VOLUME.fullmatch(series)
    chooses = is_dicom(path)  # which of the volumes of a series; frames of a film are left to choose from
    path, stored = _load(path, series if chooses or not number else "")
    if number and (not chooses or volumes_in(stored) > 1):
        stored = time_point(stored, int(number[1]), f"'{path}'")
    return volume_of(stored, f"'{path}'")


def volume_count(path: Path | str, series: str = "") -> int:
    """How many volumes a file or a DICOM series holds, such as time points; series: as `read` has it.

    Raises what `read` raises.
    """
    if is_dicom(path):
        with _failures_as_errors(Path(path)):
            return dicom_volume_count(choose(Path(path), series))
    return volumes_in(_load(path)[1])


def read_labels(path: Path | str) -> LabelMap:
    """Reads labels with every value exactly as stored; floats are accepted when all are whole numbers.

    Pictures with a palette give their indices; of a DICOM study with one segmentation (SEG), that is read. Errors are
    those of `read`, and FileError for JPEG or color pictures.
    """
    series = ""
    if is_dicom(path):
        with _failures_as_errors(Path(path)):
            series = segmentation_in(Path(path))
    path, stored = _load(path, series)
    if path.suffix.lower() in LOSSY:
        raise FileError(
            f"labels in a JPEG file ('{path}'), which changes their values",
            "PNG, TIFF, NIfTI or another format that keeps them",
            "export the labels again; another suffix does not repair them",
        )
    return labels_of(stored, f"'{path}'")


def segment_names(path: Path | str) -> dict[int, str]:
    """Label value -> name, of a path with one DICOM segmentation (SEG); empty for others. Raises what `read` raises."""
    if not is_dicom(path):
        return {}
    with _failures_as_errors(Path(path)):
        return names_of_segments(Path(path))


def read_gray(path: Path | str, series: str = "") -> Volume:
    """Reads an image as one channel: as `read`, but color pictures become luminance.

    The logger "mvg" reports this once for each folder.
    """
    volume = read(path, series)
    if volume.channels > 1:
        _note_colors(Path(path).resolve().parent, Path(path).name)
    return luminance(volume)


@cache
def _noted_pictures(folder: Path) -> list[str]:
    """The color pictures of a folder that were read so far."""
    return []


def _note_colors(folder: Path, name: str) -> None:
    if not _noted_pictures(folder):
        logging.getLogger("mvg").warning("pictures in '%s' have colors (%s); their luminance is used", folder, name)
    _noted_pictures(folder).append(name)


def write(volume: Volume | LabelMap, path: Path | str) -> None:
    """Writes in the format of the suffix, completely or not at all (see `mvg._atomic`).

    Affines are kept bit for bit if the format can hold them, and always if the volume was read from this format.
    FileError when the format is unknown or cannot hold the values, or the folder is missing, read-only or full;
    GeometryError when the format cannot hold the affine.
    """
    path = Path(path)
    file_format = _formats().get(suffix_of(path))
    if file_format is None:
        raise FileError(f"'{path.name}' to be written", f"a name that ends in {_suffix_list()}", "choose one of these")
    if isinstance(volume, Volume) and volume.channels > 1 and not file_format.holds_colors:
        raise FileError(
            f"an image of {volume.channels} channels for '{path.name}'", "one channel", "write .png, or its luminance"
        )
    if not path.parent.is_dir():
        raise FileError(f"no folder '{path.parent}'", f"a folder to write '{path.name}' in", "make the folder first")
    with atomic_file(path, partial(_unwritable, path), (Exception,)) as temporary:
        written = temporary.with_name(stem_of(path) + suffix_of(path))  # libraries know suffixes in lower case
        file_format.save(volume, written)
        written.rename(temporary)


def suffix_of(path: Path | str) -> str:
    """The suffix that names a known format, in lower case ("scan.nii.gz" -> ".nii.gz"); "" when there is none."""
    name = Path(path).name.lower()
    suffixes = [suffix for suffix in _formats() if name.endswith(suffix) and len(name) > len(suffix)]
    return max(suffixes, key=len, default="")


def stem_of(path: Path | str) -> str:
    """The file name without that suffix ("scan.nii.gz" -> "scan")."""
    return Path(path).name[: len(Path(path).name) - len(suffix_of(path))]


def is_dicom(path: Path | str) -> bool:
    """Whether an existing path is read as DICOM: a folder, a zip archive, or a file of this format."""
    return _format_for(Path(path)) == _formats()[".dcm"]


def known_suffixes() -> list[str]:
    """The suffixes of all formats, in lower case."""
    return sorted(_formats())


@cache
def _formats() -> dict[str, Format]:
    modules = contributions(formats).values()
    return {
        suffix: Format(
            module.load, module.save, getattr(module, "HOLDS_COLORS", False), getattr(module, "load_series", None)
        )
        for module in modules
        for suffix in module.SUFFIXES
    }


def _suffix_list() -> str:
    return ", ".join(known_suffixes())


def _load(path: Path | str, series: str = "") -> tuple[Path, Stored]:
    path = Path(path)
    file_format = _format_for(path)
    with _failures_as_errors(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn about harmless oddities; problems they raise
        return path, file_format.load_series(path, series) if file_format.load_series else file_format.load(path)


@contextmanager
def _failures_as_errors(path: Path) -> Iterator[None]:
    """Makes a FileError of what libraries raise for a file that they cannot read."""
    try:
        yield
    except MvgError:
        raise
    except PermissionError as error:
        raise FileError(f"'{path}' may not be read", "a readable file", "change its permissions") from error
    except Exception as error:
        raise FileError(
            f"'{path}' cannot be read ({_reason(error)})",
            f"a complete, undamaged {suffix_of(path) or 'DICOM'} image",
            "copy, download or convert it again",
        ) from error


def _format_for(path: Path) -> Format:
    if not path.exists():
        raise FileError(f"no file or folder '{path}'", "an image", "check the path")
    if path.is_dir():
        return _formats()[".dcm"]
    if path.stat().st_size == 0:
        raise FileError(f"'{path}' is empty", "an image", "copy or download it again")
    suffix = suffix_of(path)
    if suffix in _formats():
        return _formats()[suffix]
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM" or starts_without_preamble(start):
        return _formats()[".dcm"]
    action = _CONVERSIONS.get(path.suffix.lower(), "convert or rename it")
    raise FileError(f"'{path}' has no known suffix", f"{_suffix_list()} or a DICOM folder", action)


def _unwritable(path: Path, error: Exception) -> FileError:
    if not isinstance(error, OSError | RuntimeError):  # ITK reports a full disk as a RuntimeError
        return FileError(
            f"'{path}' could not be written ({_reason(error)})",
            f"an image that {suffix_of(path)} can hold",
            "choose another format, or check what is written",
        )
    return unwritable(path, error)


def _reason(error: Exception) -> str:
    line = last_line(error)
    return f"{type(error).__name__}: {line}"[:200] if isinstance(error, LookupError | TypeError) else line
