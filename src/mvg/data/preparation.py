"""Writes the prepared slices of data sets to disk, in the layout that `mvg.data.store` describes and reads."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from mvg.data.case import Card, Case, DataSet
from mvg.data.cut import FULL_SCALE, Cut, cut
from mvg.data.sets import open_folder
from mvg.data.store import FORMAT, INDEX
from mvg.errors import FileProblem

Progress = Callable[[str, int, int], None]


def prepare(folders: Sequence[Path], output: Path, progress: Progress | None = None) -> None:
    """Writes the slices of every data set in `folders` to `output`, one folder per set, named as the set's folder.

    A set that is complete and whose files have not changed since is left alone; an interrupted run goes on with the
    case it stopped at and ends with the same bytes as an uninterrupted one. `progress(set, done, total)` counts cases.
    Raises FileProblem or GeometryProblem, naming the file, and leaves no half-written file under its final name.
    """
    sets = [open_folder(Path(folder)) for folder in folders]
    names = [found.card.name for found in sets]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise FileProblem(
            f"several folders are called {', '.join(doubled)}", "one name per data set", "rename a folder"
        )
    for found in sets:
        try:
            _prepare_set(found, Path(output) / found.card.name, progress or _silent)
        except OSError as problem:
            raise FileProblem(
                f"{problem.strerror or problem} at {problem.filename or output}",
                f"room and permission to write to {output}",
                "free space or choose another output",
            ) from problem


def _silent(_set: str, _done: int, _total: int) -> None:
    pass


def _prepare_set(found: DataSet, folder: Path, progress: Progress) -> None:
    total, parts = len(found.cases), folder / "parts"
    if not _is_complete(found, folder):
        # An old index must not describe new arrays, not even for the moment of their exchange.
        (folder / INDEX).unlink(missing_ok=True)
        parts.mkdir(parents=True, exist_ok=True)
        for done, case in enumerate(found.cases):
            progress(found.card.name, done, total)
            part = _part_path(parts, case)
            if _read_entry(part).get("source") != _source(case, found.card):
                _write_part(part, cut(case, found.card), _source(case, found.card), case)
        _assemble(found, folder)
    shutil.rmtree(parts, ignore_errors=True)
    progress(found.card.name, total, total)


def _is_complete(found: DataSet, folder: Path) -> bool:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    wanted = {"format": FORMAT, "card": _plain(asdict(found.card)), "sources": [_source(case, found.card) for case in found.cases]}
    known = {
        "format": index.get("format"),
        "card": index.get("card"),
        "sources": [case.get("source") for case in index.get("cases", [])],
    }
    return wanted == known and all((folder / name).is_file() for name in index["arrays"])


def _plain(value: Any) -> Any:
    """As JSON gives it back: tuples as lists, keys as strings."""
    return json.loads(json.dumps(value))


def _source(case: Case, card: Card) -> list[str]:
    """What a part was made from: patient, units, files with size and time of change; when it differs, it is remade."""
    paths = [*case.images, *(path for path in (case.labels, case.target) if path is not None)]
    files = [f"{p.parent.name}/{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in paths]
    return [f"{FORMAT} {case.patient} {card.units}", *files]


def _part_path(parts: Path, case: Case) -> Path:
    return parts / f"{case.name}.npz"


def _read_entry(path: Path) -> dict[str, Any]:
    """The entry of a finished part; empty when there is none."""
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as part:
        entry: dict[str, Any] = json.loads(str(part["entry"]))
    return entry


def _write_part(path: Path, piece: Cut, source: list[str], case: Case) -> None:
    present = [[int(v) for v in np.unique(labels) if v] for labels in piece.labels] if piece.labels is not None else []
    entry = {
        "name": case.name,
        "patient": case.patient,
        "source": source,
        "count": len(piece.images),
        "side": piece.images.shape[-1],
        "plane": piece.plane,
        "windows": [[window.low, window.high] for window in piece.windows],
        "target_window": [piece.target_window.low, piece.target_window.high] if piece.target_window else None,
        "spacing": list(piece.spacing),
        "box": [piece.box.top, piece.box.left, piece.box.rows, piece.box.cols],
        "labelled": piece.labels is not None,
        "present": present,
        "filled": [round(float(share), 4) for share in _filled(piece)],
    }
    arrays = {"images": piece.images, "entry": np.array(json.dumps(entry))}
    if piece.labels is not None:
        arrays["labels"] = piece.labels
    if piece.target is not None:
        arrays["targets"] = piece.target
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    os.replace(partial, path)


def _filled(piece: Cut) -> NDArray[np.float64]:
    """Per slice, the share of its picture above an eighth of the window: -500 HU, and background elsewhere."""
    shown = piece.images[:, 0][piece.box.index] > FULL_SCALE // 8
    return shown.mean(axis=(1, 2), dtype=np.float64)


def _assemble(found: DataSet, folder: Path) -> None:
    """Joins the parts of all cases, each centred in the square of the set, and writes the index last."""
    paths = [_part_path(folder / "parts", case) for case in found.cases]
    entries = [_read_entry(path) for path in paths]
    side = 16 * -(-max(entry["side"] for entry in entries) // 16)
    count = sum(entry["count"] for entry in entries)
    layers: dict[str, tuple[type, tuple[int, ...]]] = {"images": (np.uint16, (len(found.card.channels),))}
    if any(entry["labelled"] for entry in entries):
        layers["labels"] = (np.uint8, ())
    if any(entry["target_window"] for entry in entries):
        layers["targets"] = (np.uint16, ())
    for stale in {"images", "labels", "targets"} - set(layers):
        (folder / f"{stale}.npy").unlink(missing_ok=True)
    for name, (dtype, inner) in layers.items():
        _join(folder, name, np.dtype(dtype), (count, *inner, side, side), list(zip(paths, entries, strict=True)))
    index = {
        "format": FORMAT,
        "side": side,
        "arrays": [f"{name}.npy" for name in layers],
        "card": asdict(found.card),
        "cases": [_moved(entry, side) for entry in entries],
    }
    partial = folder / f"{INDEX}.partial"
    partial.write_text(json.dumps(index, indent=1), encoding="utf-8")
    os.replace(partial, folder / INDEX)


def _moved(entry: dict[str, Any], side: int) -> dict[str, Any]:
    """The entry of a part once its squares lie in the middle of squares of `side`."""
    shift = (side - entry["side"]) // 2
    top, left, rows, cols = entry["box"]
    kept = {key: value for key, value in entry.items() if key != "side"}
    return {**kept, "box": [top + shift, left + shift, rows, cols]}


def _join(
    folder: Path,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    parts: Sequence[tuple[Path, dict[str, Any]]],
) -> None:
    partial = folder / f"{name}.npy.partial"
    joined = open_memmap(partial, mode="w+", dtype=dtype, shape=shape)
    at = 0
    for path, entry in parts:
        inside = slice((shape[-1] - entry["side"]) // 2, (shape[-1] - entry["side"]) // 2 + entry["side"])
        with np.load(path, allow_pickle=False) as part:
            if name in part:
                joined[at : at + entry["count"], ..., inside, inside] = part[name]
        at += entry["count"]
    joined.flush()
    del joined
    os.replace(partial, folder / f"{name}.npy")
