"""A prepared set with fewer and smaller slices: which ones are kept, and how their arrays and index change."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import split_of

_STEP = 16  # sides of stored squares are multiples of it


@dataclass(frozen=True)
class Thinned:
    """Some slices of a case. entry: of the case in the index; indices: in the case; numbers: in the arrays."""

    entry: dict[str, Any]
    indices: tuple[int, ...]
    numbers: tuple[int, ...]

    @classmethod
    def all_of(cls, index: dict[str, Any]) -> "Iterator[Thinned]":
        """All slices of each case of a set."""
        first = 0
        for entry in index["cases"]:
            count = entry["count"]
            yield cls(entry, tuple(range(count)), tuple(range(first, first + count)))
            first += count

    @property
    def is_training(self) -> bool:
        """Whether the case is one of a training patient."""
        return (self.entry.get("split") or split_of(self.entry["patient"])) == "train"

    def evenly(self, count: int) -> "Thinned":
        """So many of the slices, at equal distances."""
        kept = [int((number + 0.5) * len(self.indices) / count) for number in range(count)]
        return Thinned(self.entry, tuple(self.indices[k] for k in kept), tuple(self.numbers[k] for k in kept))


@dataclass(frozen=True)
class ThinnedSet:
    """A smaller set: its index, and layer -> array."""

    index: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def fair_shares(needs: Sequence[float], weights: Sequence[float], total: float) -> list[float]:
    """Shares of `total` in proportion to the weights; what some do not need goes to the others."""
    shares, open_ones, left = [0.0] * len(needs), set(range(len(needs))), total
    while open_ones:
        unit = left / sum(weights[one] for one in open_ones)
        satisfied = {one for one in open_ones if needs[one] <= unit * weights[one]}
        for one in satisfied or open_ones:
            shares[one] = needs[one] if satisfied else unit * weights[one]
        if not satisfied:
            break
        left -= sum(needs[one] for one in satisfied)
        open_ones -= satisfied
    return shares


def spread(cases: Sequence[Thinned], count: int) -> list[Thinned]:
    """So many slices of these cases: about equally many of each, at equal distances; at most all of them."""
    count = min(count, sum(len(case.indices) for case in cases))
    if count < len(cases):
        chosen = [cases[int((number + 0.5) * len(cases) / count)] for number in range(count)]
        return [case.evenly(1) for case in chosen]
    shares = fair_shares([float(len(case.indices)) for case in cases], [1.0] * len(cases), float(count))
    counts = np.diff(np.round(np.cumsum([0.0, *shares]), 6).astype(np.int64))
    return [case.evenly(int(each)) for case, each in zip(cases, counts, strict=True) if each]


def thinned(folder: Path, index: dict[str, Any], kept: Sequence[Thinned], factor: int) -> ThinnedSet:
    """The set in `folder` with these slices alone, smaller by a whole factor.

    Pictures are means of blocks, labels are those in the middle of them.
    """
    side = -(-index["side"] // (_STEP * factor)) * _STEP
    numbers = [number for case in kept for number in case.numbers]
    arrays = {
        name.removesuffix(".npy"): _reduced(np.load(folder / name, mmap_mode="r")[numbers], side, factor)
        for name in index["arrays"]
    }
    labels, cases, first = arrays.get("labels"), [], 0
    for case in kept:
        of_case = None if labels is None else labels[first : first + len(case.indices)]
        cases.append(_entry(case, of_case, factor, index["card"].get("ignored", ())))
        first += len(case.indices)
    return ThinnedSet({**index, "side": side, "cases": cases}, arrays)


def _reduced(array: NDArray[Any], side: int, factor: int) -> NDArray[Any]:
    padding = side * factor - array.shape[-1]
    array = np.pad(array, [(0, 0)] * (array.ndim - 2) + [(0, padding)] * 2)
    if factor == 1:
        return array
    if array.dtype == np.uint8:
        return np.asarray(array[..., factor // 2 :: factor, factor // 2 :: factor])
    blocks = array.reshape(*array.shape[:-2], side, factor, side, factor)
    return np.asarray(blocks.mean((-3, -1), dtype=np.float32) + 0.5, np.uint16)


def _entry(case: Thinned, labels: NDArray[np.uint8] | None, factor: int, ignored: Sequence[int]) -> dict[str, Any]:
    entry, indices = case.entry, case.indices
    present = [entry["present"][index] for index in indices]
    partial = set(entry.get("unannotated", ())) | {i for i, v in enumerate(entry["present"]) if set(v) & set(ignored)}
    if labels is not None and entry["labelled"] and factor > 1:  # a small structure may have lost all its pixels
        present = [[int(value) for value in np.unique(picture) if value] for picture in labels]
    top, left, rows, columns = entry["box"]
    inner = [-(-top // factor), -(-left // factor)]
    box = [*inner, (top + rows) // factor - inner[0], (left + columns) // factor - inner[1]]
    return {
        **entry,
        "count": len(indices),
        "spacing": [factor * value for value in entry["spacing"]],
        "box": box,
        "present": present,
        "filled": [entry["filled"][index] for index in indices],
        "unannotated": [number for number, index in enumerate(indices) if index in partial],
    }
