"""Writes the prepared slices of data sets to disk, in the layout that `mvg.data.store` describes and reads."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0
from numpy.typing import NDArray

from mvg._atomic import atomic_file
from mvg.data.case import Card, Case, DataSet
from mvg.data.cut import FULL_SCALE, Cut, cut
from mvg.data.held_out import HeldOut, check_held_out
from mvg.data.sets import sets_in
from mvg.data.store import FORMAT, INDEX
from mvg.errors import FileError

Progress = Callable[[str, int, int], None]
_LAYERS = ("images", "labels", "targets")
_Entry = dict[str, Any]  # what the index says of a case; JSON


def prepare(
    folders: Sequence[Path], output: Path, progress: Progress | None = None, held_out: Sequence[HeldOut] | None = None
) -> tuple[str, ...]:
    """Writes the slices of every data set in `folders` to `output`, one folder per set, named as its card.

    A set that is complete and whose files have not changed since is left alone; an interrupted run goes on with the
    case it stopped at and ends with the same bytes as an uninterrupted one. `progress(set, done, total)` counts cases.
    Raises FileError or GeometryError, naming the file, and leaves no half-written file under its final name;
    FileError also, before anything is written, where a case is one of `held_out`. Returns what `check_held_out` has
    to tell.
    """
    sets = [(Path(folder), found) for folder in folders for found in sets_in(Path(folder))]
    told = tuple(line for folder, found in sets for line in check_held_out(found, folder, held_out or ()))
    names = [found.card.name for _, found in sets]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise FileError(
            f"several folders are called {', '.join(doubled)}", "one name per data set", "rename or leave out a folder"
        )
    for folder, found in sets:
        target = Path(output) / found.card.name
        if target.resolve() == folder.resolve():
            raise FileError(
                f"{target} is the data set itself", "an output apart from the data", "choose another output"
            )
    prepare_sets([found for _, found in sets], output, progress)
    return told


def prepare_sets(sets: Sequence[DataSet], output: Path, progress: Progress | None = None) -> None:
    """The same for sets that were opened before."""
    for found in sets:
        target = Path(output) / found.card.name
        try:
            _prepare_set(found, target, progress or _silent)
        except OSError as problem:
            raise FileError(
                f"{problem.strerror or problem} at {problem.filename or target}",
                f"room and permission to write to {output}",
                "free space or choose another output",
            ) from problem


def _silent(_set: str, _done: int, _total: int) -> None:
    pass


def _prepare_set(found: DataSet, folder: Path, progress: Progress) -> None:
    total, parts = len(found.cases), folder / "parts"
    if not _is_complete(found, folder):
        parts.mkdir(parents=True, exist_ok=True)
        # An old index must not describe new arrays, not even for the moment of their exchange.
        (folder / INDEX).unlink(missing_ok=True)
        for done, case in enumerate(found.cases):
            progress(found.card.name, done, total)
            part, source = _part_path(parts, case), source_of(case, found.card)
            if not part.is_file() or _read_entry(part)["source"] != source:
                _write_part(part, cut(case, found.card), source, case)
        _assemble(found, folder)
    shutil.rmtree(parts, ignore_errors=True)
    progress(found.card.name, total, total)


def _is_complete(found: DataSet, folder: Path) -> bool:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        known = (index["format"], index["card"], [case["source"] for case in index["cases"]])
    except (OSError, ValueError, KeyError):
        return False
    card = json.loads(json.dumps(asdict(found.card)))  # tuples as lists and keys as strings, as the index has them
    wanted = (FORMAT, card, [source_of(case, found.card) for case in found.cases])
    return wanted == known and all((folder / name).is_file() for name in index["arrays"])


def source_of(case: Case, card: Card) -> list[str]:
    """What a part is made from: patient, units, files with size and time of change; when it differs, it is remade."""
    files = [f"{p.parent.name}/{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in case.files]
    values = [f"as {value}" for _, value in case.labels] if isinstance(case.labels, tuple) else []
    return [f"{FORMAT} {case.patient} {card.units}", *files, *values, *([case.owner_split] if case.owner_split else [])]


def _part_path(parts: Path, case: Case) -> Path:
    return parts / f"{case.name}.npz"


def _read_entry(part: Path) -> _Entry:
    with np.load(part, allow_pickle=False) as arrays:
        entry: _Entry = json.loads(str(arrays["entry"]))
    return entry


def _write_part(path: Path, piece: Cut, source: list[str], case: Case) -> None:
    count = len(piece.images)
    entry: _Entry = {
        "name": case.name,
        "patient": case.patient,
        "split": case.split,
        "source": source,
        "count": count,
        "side": piece.images.shape[-1],
        "plane": piece.plane,
        "windows": [[window.low, window.high] for window in piece.windows],
        "target_window": [piece.target_window.low, piece.target_window.high] if piece.target_window else None,
        "spacing": list(piece.spacing),
        "box": [piece.box.top, piece.box.left, piece.box.rows, piece.box.cols],
        "labelled": piece.labels is not None,
        "present": [[]] * count if piece.labels is None else [np.unique(p[p > 0]).tolist() for p in piece.labels],
        "filled": [round(float(share), 4) for share in _filled(piece)],
    }
    layers = zip(_LAYERS, (piece.images, piece.labels, piece.target), strict=True)
    arrays: dict[str, NDArray[Any]] = {name: array for name, array in layers if array is not None}
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, entry=np.array(json.dumps(entry)), **arrays)


def _filled(piece: Cut) -> NDArray[np.float64]:
    """Per slice, the share of its picture above an eighth of the window: -500 HU, and background elsewhere."""
    shown = piece.images[:, 0][piece.box.index] > FULL_SCALE // 8
    return np.asarray(shown.mean(axis=(1, 2)), np.float64)


def _assemble(found: DataSet, folder: Path) -> None:
    """Joins the parts of all cases, each centred in the square of the set, and writes the index last."""
    paths = [_part_path(folder / "parts", case) for case in found.cases]
    parts = [(path, _read_entry(path)) for path in paths]
    entries = [entry for _, entry in parts]
    side = 16 * -(-max(entry["side"] for entry in entries) // 16)
    wanted = {
        "images": True,
        "labels": any(entry["labelled"] for entry in entries),
        "targets": any(entry["target_window"] for entry in entries),
    }
    for name in _LAYERS:
        (folder / f"{name}.npy").unlink(missing_ok=True)
        if wanted[name]:
            dtype: type[np.generic] = np.uint8 if name == "labels" else np.uint16
            inner = (len(found.card.channels),) if name == "images" else ()
            _join(folder / f"{name}.npy", name, np.dtype(dtype), (*inner, side, side), parts)
    index = {
        "format": FORMAT,
        "side": side,
        "arrays": [f"{name}.npy" for name in _LAYERS if wanted[name]],
        "card": asdict(found.card),
        "cases": [_moved(entry, side) for entry in entries],
    }
    with atomic_file(folder / INDEX) as temporary:
        temporary.write_bytes(json.dumps(index, indent=1).encode())


def _moved(entry: _Entry, side: int) -> _Entry:
    """The entry of a part once its squares lie in the middle of squares of `side`."""
    shift = (side - entry["side"]) // 2
    top, left, rows, cols = entry["box"]
    kept = {key: value for key, value in entry.items() if key != "side"}
    return {**kept, "box": [top + shift, left + shift, rows, cols]}


def _join(
    path: Path, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], parts: Sequence[tuple[Path, _Entry]]
) -> None:
    """Writes one layer of all parts as an array (n, *shape), case by case, so that memory stays flat."""
    count = sum(entry["count"] for _, entry in parts)
    header = header_data_from_array_1_0(np.empty((0, *shape), dtype)) | {"shape": (count, *shape)}
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        write_array_header_1_0(file, header)
        for part_path, entry in parts:
            block = np.zeros((entry["count"], *shape), dtype)
            shift = (shape[-1] - entry["side"]) // 2
            inside = slice(shift, shift + entry["side"])
            with np.load(part_path, allow_pickle=False) as part:
                if name in part:
                    block[..., inside, inside] = part[name]
            file.write(block.data)
