"""Which prediction belongs to which truth: two files, or the files of two folders by their names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mvg.errors import FileError
from mvg.imaging.files import stem_of, suffix_of
from mvg.imaging.folder import files_by_name

_EXTRAS = ("_uncertainty", "_probabilities")  # files that `mvg predict` writes beside a prediction
_MOST_NAMES = 5  # in a message


@dataclass(frozen=True)
class FilePair:
    """The files of one case; image: what was predicted from, for display, None where it is not known."""

    name: str
    prediction: Path
    truth: Path
    image: Path | None = None


@dataclass(frozen=True)
class Matching:
    """The cases that have both files, by name, and one line for each file that has no partner."""

    pairs: tuple[FilePair, ...]
    unmatched: tuple[str, ...]


def match_files(predictions: Path, truths: Path, images: Path | None = None) -> Matching:
    """Pair two files, or the files of two folders that have the same name, whatever their suffix.

    A name does not include the suffix or nnU-Net's channel number 0000. Files of other kinds, such as tables, are not
    counted. Raises FileError for a path that is missing, a file beside a folder, or folders without a common name.
    """
    for path in (predictions, truths, *([images] if images else [])):
        if not path.exists():
            raise FileError(f"no file or folder '{path}'", "files to evaluate", "check the path")
    if not predictions.is_dir() and not truths.is_dir():
        image = None if images is None or images.is_dir() else images
        return Matching((FilePair(stem_of(predictions), predictions, truths, image),), ())
    for path in (predictions, truths):
        if not path.is_dir():
            raise FileError(f"'{path}' is a file beside a folder", "two folders or two files", "name two of one kind")
    return _match_folders(predictions, truths, images)


def _match_folders(predictions: Path, truths: Path, images: Path | None) -> Matching:
    predicted, true = _candidates(predictions), _candidates(truths)
    names = sorted(set(predicted) & set(true))
    if not names:
        raise FileError(
            f"no name is in both '{predictions}' ({_listed(predicted)}) and '{truths}' ({_listed(true)})",
            "predictions that are called like their truth, apart from the suffix",
            "rename the files",
        )
    image_of = files_by_name(images) if images is not None and images.is_dir() else {}
    pairs = tuple(FilePair(name, predicted[name], true[name], image_of.get(name)) for name in names)
    unmatched = [
        *(_alone(true[name], predictions, "prediction") for name in sorted(set(true) - set(predicted))),
        *(_alone(predicted[name], truths, "truth") for name in sorted(set(predicted) - set(true))),
    ]
    return Matching(pairs, tuple(unmatched))


def _candidates(folder: Path) -> dict[str, Path]:
    """The images of a folder by name: files of a known format, files without a suffix, and folders of files."""
    files = {name: path for name, path in files_by_name(folder).items() if _may_be_image(path)}
    return {name: path for name, path in files.items() if not _is_extra(name, files)}


def _may_be_image(path: Path) -> bool:
    if path.is_dir():
        return any(file.is_file() for file in path.iterdir())
    return bool(suffix_of(path)) or not path.suffix


def _is_extra(name: str, files: Mapping[str, Path]) -> bool:
    return any(name.endswith(extra) and name.removesuffix(extra) in files for extra in _EXTRAS)


def _listed(files: Mapping[str, Path]) -> str:
    names = [path.name for path in files.values()][:_MOST_NAMES]
    return ", ".join([*names, "..."] if len(files) > _MOST_NAMES else names) or "no images"


def _alone(path: Path, other: Path, partner: str) -> str:
    error = FileError(f"'{path}' has no {partner}", f"a file of this name in '{other}'", "add it or remove this one")
    return str(error)
