"""Files of predictions: what each format can hold, probabilities and qualities, and the folder they go to."""

import gzip
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np

from mvg._atomic import atomic_file, unwritable
from mvg.errors import FileError
from mvg.imaging.files import suffix_of, write
from mvg.imaging.formats import nifti
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import FULL_SCALE, Window
from mvg.prediction.result import ClassProbabilities

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_MAXIMA = (255, FULL_SCALE)  # of 8 and of 16 bits
_MIN_GRAYS = 16  # a scale with fewer whole numbers loses the picture


def fits_picture(suffix: str, scale: Window) -> bool:
    """Whether the whole numbers of a picture format can hold intensities on this scale."""
    maximum = _MAXIMA[-1] if suffix == ".png" else _MAXIMA[0]
    return scale.low >= 0 and scale.high <= maximum and scale.high - scale.low >= _MIN_GRAYS


def write_volume(volume: Volume | LabelMap, path: Path, query: Volume, scale: Window | None) -> None:
    """Write a predicted volume in the format of `path`; see `mvg.imaging.files.write` for errors.

    Pictures of 8 or 16 bits hold the range of the query, or of the `scale`; intensities beyond it are clipped.
    """
    if isinstance(volume, Volume) and suffix_of(path) in PICTURE_SUFFIXES:
        highest = query.voxels.max() if scale is None else scale.high
        maximum = next((maximum for maximum in _MAXIMA if highest <= maximum), _MAXIMA[-1])
        volume = Volume(np.clip(volume.voxels, 0, maximum), volume.affine, volume.header)
    write(volume, path)


def write_probabilities(probabilities: ClassProbabilities, path: Path) -> None:
    """Write a 4D NIfTI file (X, Y, Z, classes) of 16 bits, and the order of the classes as a JSON file beside it.

    Only one class at a time is in memory. Raises FileError where the files cannot be written.
    """
    with atomic_file(path, partial(unwritable, path), (Exception,)) as temporary:
        with gzip.open(temporary, "wb", compresslevel=1) as file:
            for number, value in enumerate(probabilities.values):
                volume = probabilities.of(value)
                if number == 0:
                    shape = (*volume.shape, len(probabilities.values))
                    header = nifti.header_for(volume, shape, np.dtype(np.uint16))
                    header.set_slope_inter(1 / FULL_SCALE, 0)
                    header.write_to(file)
                file.write(np.round(volume.voxels * FULL_SCALE).astype("<u2").tobytes(order="F"))
        classes = json.dumps({"classes": [int(value) for value in probabilities.values]})
        temporary.with_name(classes_file(path).name).write_text(classes + "\n", encoding="utf-8")


def classes_file(probabilities: Path) -> Path:
    """The JSON file with the label values, in the order of the last axis of a file of probabilities."""
    return probabilities.with_name(probabilities.name.removesuffix(".nii.gz") + ".json")


def write_qualities(output: Path, qualities: Mapping[str, float]) -> tuple[Path, ...]:
    """Write OUTPUT/quality.csv with a row per file name; rows of other names that the file holds already stay.

    Returns the file, or nothing where there are no qualities. Raises FileError where it cannot be written.
    """
    path = output / "quality.csv"
    if not qualities:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else []
        rows = dict(line.rsplit(",", 1) for line in lines if "," in line)
        rows |= {name: f"{quality:.3f}" for name, quality in qualities.items()}
        with atomic_file(path) as temporary:
            text = "".join(f"{name},{quality}\n" for name, quality in [("answer", "quality"), *rows.items()])
            temporary.write_text(text, "utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(
            f"'{path}' cannot be updated ({getattr(error, 'strerror', None) or error})",
            "a table with the columns answer and quality",
            "close, move or remove it",
        ) from error
    return (path,)


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """Make the output folder and check that files can be written there; new folders that stay empty are removed.

    Raises FileError where nothing can be written.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        _check_writable(folder)
        yield
    finally:
        with suppress(OSError):  # stops at the first folder that is not empty
            for path in missing:
                path.rmdir()


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise FileError(
            f"nothing can be written to '{folder}' ({error.strerror or error})",
            "a writable folder with space left",
            "choose another output folder, free space or change its permissions",
        ) from error
