"""Writes the prepared slices of data sets to disk, in the layout that `mvg.data.store` describes and reads."""

import json
import logging
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
from mvg.data.held_out import HeldOut, check_held_out
from mvg.data.sets import sets_in
from mvg.data.slicing import CaseSlices, slice_case
from mvg.data.store import STORED_BACKGROUND
from mvg.data.store_index import FORMAT, INDEX
from mvg.errors import FileError

Progress = Callable[[str, int, int], None]
_LAYERS = ("images", "labels", "targets")
_Entry = dict[str, Any]  # the JSON of a case in the index


def prepare(
    folders: Sequence[Path], output: Path, progress: Progress | None = None, held_out: Sequence[HeldOut] | None = None
) -> tuple[str, ...]:
    """Writes the slices of every data set in `folders` to `output`, one folder per set, named by its card.

    A complete set whose files have not changed stays untouched. An interrupted run continues with the case at which it
    stopped and gives the same bytes as an uninterrupted run. `progress(set, done, total)` counts cases. Raises
    FileError or GeometryError, which name the file; no file is left half-written. Raises FileError before anything is
    written when a case is in `held_out`. Returns the lines of `check_held_out`.
    """
    sets = [(Path(folder), data_set) for folder in folders for data_set in sets_in(Path(folder))]
    notes = tuple(line for folder, data_set in sets for line in check_held_out(data_set, folder, held_out or ()))
    names = [data_set.card.name for _, data_set in sets]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise FileError(
            f"several data sets are called {', '.join(repeated)}",
            "one name per set",
            "rename or leave out a folder",
        )
    for folder, data_set in sets:
        target = Path(output) / data_set.card.name
        if target.resolve() == folder.resolve():
            raise FileError(
                f"{target} is the data set itself", "an output apart from the data", "choose another output"
            )
    prepare_sets([data_set for _, data_set in sets], output, progress)
    return notes


def prepare_sets(sets: Sequence[DataSet], output: Path, progress: Progress | None = None) -> None:
    """Does what `prepare` does, for data sets that are already open."""
    for data_set in sets:
        target = Path(output) / data_set.card.name
        try:
            _prepare_set(data_set, target, progress or _silent)
        except OSError as error:
            raise FileError(
                f"{error.strerror or error} at {error.filename or target}",
                f"space and permission to write to {output}",
                "free space or choose another output",
            ) from error


def _silent(_set: str, _done: int, _total: int) -> None:
    pass


def _prepare_set(data_set: DataSet, folder: Path, progress: Progress) -> None:
    total, parts = len(data_set.cases), folder / "parts"
    if not _is_complete(data_set, folder):
        parts.mkdir(parents=True, exist_ok=True)
        # An old index must never describe new arrays, not even while they are replaced.
        (folder / INDEX).unlink(missing_ok=True)
        for done, case in enumerate(data_set.cases):
            progress(data_set.card.name, done, total)
            part, source = _part_path(parts, case), source_of(case, data_set.card)
            if not part.is_file() or _read_entry(part)["source"] != source:
                _write_part(part, slice_case(case, data_set.card), source, case)
        _assemble(data_set, folder)
    shutil.rmtree(parts, ignore_errors=True)
    progress(data_set.card.name, total, total)


def _is_complete(data_set: DataSet, folder: Path) -> bool:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        stored = (index["format"], index["card"], [case["source"] for case in index["cases"]])
    except (OSError, ValueError, KeyError):
        return False
    card = json.loads(json.dumps(asdict(data_set.card)))  # tuples become lists and keys strings, as in the index
    needed = (FORMAT, card, [source_of(case, data_set.card) for case in data_set.cases])
    return needed == stored and all((folder / name).is_file() for name in index["arrays"])


def source_of(case: Case, card: Card) -> list[str]:
    """Identifies the input of a part: patient, units, files with size and time. If it changes, the part is remade."""
    files = [f"{p.parent.name}/{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in case.files]
    values = [f"as {value}" for _, value in case.labels] if isinstance(case.labels, tuple) else []
    values += [f"{old} as {new}" for old, new in case.written]
    values += [] if case.annotated is None else [f"annotated {','.join(map(str, case.annotated))}"]
    return [f"{FORMAT} {case.patient} {card.units}", *files, *values, *([case.owner_split] if case.owner_split else [])]


def _part_path(parts: Path, case: Case) -> Path:
    return parts / f"{case.name}.npz"


def _read_entry(part: Path) -> _Entry:
    with np.load(part, allow_pickle=False) as arrays:
        entry: _Entry = json.loads(str(arrays["entry"]))
    return entry


def _write_part(path: Path, slices: CaseSlices, source: list[str], case: Case) -> None:
    count = len(slices.images)
    entry: _Entry = {
        "name": case.name,
        "patient": case.patient,
        "split": case.split,
        "source": source,
        "count": count,
        "side": slices.images.shape[-1],
        "plane": slices.plane,
        "windows": [[window.low, window.high] for window in slices.windows],
        "target_window": [slices.target_window.low, slices.target_window.high] if slices.target_window else None,
        "spacing": list(slices.spacing),
        "box": [slices.box.top, slices.box.left, slices.box.rows, slices.box.cols],
        "labelled": slices.labels is not None,
        "unannotated": np.flatnonzero(~slices.annotated).tolist(),
        "present": [[]] * count if slices.labels is None else [np.unique(p[p > 0]).tolist() for p in slices.labels],
        "filled": [round(float(fraction), 4) for fraction in _foreground_fractions(slices)],
    }
    layers = zip(_LAYERS, (slices.images, slices.labels, slices.target), strict=True)
    arrays: dict[str, NDArray[Any]] = {name: array for name, array in layers if array is not None}
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, entry=np.array(json.dumps(entry)), **arrays)


def _foreground_fractions(slices: CaseSlices) -> NDArray[np.float64]:
    """The fraction of each slice that is brighter than an eighth of the window, which is -500 HU in CT."""
    is_bright = slices.images[:, 0][slices.box.index] > STORED_BACKGROUND
    return np.asarray(is_bright.mean(axis=(1, 2)), np.float64)


def _assemble(data_set: DataSet, folder: Path) -> None:
    """Joins the parts of all cases, each centered in the square of the set, and writes the index last."""
    paths = [_part_path(folder / "parts", case) for case in data_set.cases]
    parts = [(path, _read_entry(path)) for path in paths]
    entries = [entry for _, entry in parts]
    _report_unannotated(data_set.card.name, entries)
    side = 16 * -(-max(entry["side"] for entry in entries) // 16)
    needed = {
        "images": True,
        "labels": any(entry["labelled"] for entry in entries),
        "targets": any(entry["target_window"] for entry in entries),
    }
    for name in _LAYERS:
        (folder / f"{name}.npy").unlink(missing_ok=True)
        if needed[name]:
            dtype: type[np.generic] = np.uint8 if name == "labels" else np.uint16
            inner = (len(data_set.card.channels),) if name == "images" else ()
            _join(folder / f"{name}.npy", name, np.dtype(dtype), (*inner, side, side), parts)
    index = {
        "format": FORMAT,
        "side": side,
        "arrays": [f"{name}.npy" for name in _LAYERS if needed[name]],
        "card": asdict(data_set.card),
        "cases": [_with_shifted_box(entry, side) for entry in entries],
    }
    with atomic_file(folder / INDEX) as temporary:
        temporary.write_bytes(json.dumps(index, indent=1).encode())


def _report_unannotated(name: str, entries: Sequence[_Entry]) -> None:
    """Write a line to the logger "mvg" about slices that teach no labels."""
    unannotated = sum(len(entry.get("unannotated", ())) for entry in entries)
    if unannotated:
        total = sum(entry["count"] for entry in entries if entry["labelled"])
        logging.getLogger("mvg").warning(
            "%d of %d slices of %s were not annotated as a whole: they teach no labels", unannotated, total, name
        )


def _with_shifted_box(entry: _Entry, side: int) -> _Entry:
    """The entry of a part after its squares are centered in squares of `side` pixels."""
    shift = (side - entry["side"]) // 2
    top, left, rows, cols = entry["box"]
    others = {key: value for key, value in entry.items() if key != "side"}
    return {**others, "box": [top + shift, left + shift, rows, cols]}


def _join(
    path: Path, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], parts: Sequence[tuple[Path, _Entry]]
) -> None:
    """Writes one layer of all parts as an array (n, *shape), case by case, so that memory does not grow."""
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
