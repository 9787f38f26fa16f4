"""The strokes on a study: each is on disk before it counts, and steps of several slices are undone together."""

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.volume import Plane
from mvg.prediction.annotations import Annotations
from mvg.server.diffs import UNKNOWN, packed, unpacked
from mvg.server.journal import Entry, Journal
from mvg.server.ras import PLANES, RasGrid
from mvg.server.refusals import conflict

_UNKNOWN_VALUE = -(2**40)  # no label value of 32 bits


@runtime_checkable
class Correctable(Protocol):
    """A session that takes corrections of slices."""

    @property
    def values(self) -> tuple[int, ...]:
        """The label values."""

    @property
    def annotations(self) -> Annotations:
        """What was given so far."""

    @property
    def plane(self) -> Plane:
        """The plane in which slices are predicted."""

    def correct(self, index: int, labels: NDArray[np.integer], plane: Plane | None = None, unknown: int = 255) -> None:
        """Set the labels of a slice."""

    def undo(self) -> bool:
        """Take back the last correction."""

    def redo(self) -> bool:
        """Repeat the correction that was taken back last."""


@dataclass(frozen=True, eq=False)
class SliceEdit:
    """Class numbers of one slice in RAS order; 255 where the correction says nothing."""

    axis: int
    index: int
    pixels: NDArray[np.uint8]


@dataclass(eq=False)
class _Applied:
    """A step: its slices, and for each the prediction that was there before it, compressed; None where unknown."""

    slices: tuple[tuple[int, int], ...]
    before: tuple[bytes | None, ...]


@dataclass(eq=False)
class Strokes:
    """Steps of corrections on a session, with undo and redo of whole steps.

    prediction: class numbers on the study's grid, which a step that is undone restores; None without one.
    """

    session: Correctable
    grid: RasGrid
    journal: Journal
    prediction: NDArray[np.uint8] | None = None
    revision: int = 0
    finished: bool = False
    _done: list[_Applied] = field(default_factory=list)
    _undone: list[_Applied] = field(default_factory=list)
    _names: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def replay(self, entries: Sequence[Entry]) -> None:
        """Do again what a journal holds."""
        for entry in entries:
            operation = entry.get("op")
            if operation == "correct":
                edits = [self._edit(part) for part in entry["slices"]]
                self._apply(edits, entry["values"], entry.get("stroke"))
            elif operation == "undo" and self._done:
                self._undo()
            elif operation == "redo" and self._undone:
                self._redo()
            elif operation == "clear":
                self._clear()
            elif operation in ("finish", "reopen"):
                self.finished = operation == "finish"

    def correct(self, edits: Sequence[SliceEdit], stroke: str | None) -> tuple[tuple[int, int], ...]:
        """Add a step; the slices (axis, index) that it touched. A stroke that was taken before is not taken twice."""
        if stroke is not None and stroke in self._names:
            return self._names[stroke]
        values = list(self.session.values)
        slices = [{"axis": edit.axis, "index": edit.index, "zlib": packed(edit.pixels)} for edit in edits]
        self._write({"op": "correct", "stroke": stroke, "values": values, "slices": slices})
        return self._apply(edits, values, stroke)

    def undo(self) -> tuple[tuple[int, int], ...]:
        """Take back the last step; RefusedError where there is none."""
        if not self._done:
            raise conflict("nothing to undo", "a correction", "go on")
        self._write({"op": "undo"})
        return self._undo()

    def redo(self) -> tuple[tuple[int, int], ...]:
        """Repeat the step that was taken back last; RefusedError where there is none."""
        if not self._undone:
            raise conflict("nothing to redo", "a correction that was undone", "go on")
        self._write({"op": "redo"})
        return self._redo()

    def clear(self) -> None:
        """Take back all steps."""
        self._write({"op": "clear"})
        self._clear()

    def mark(self, operation: str) -> None:
        """Note that the study is finished ("finish") or goes on ("reopen")."""
        self._write({"op": operation})
        self.finished = operation == "finish"

    @property
    def depth(self) -> tuple[int, int]:
        """How many steps can be undone and redone."""
        return len(self._done), len(self._undone)

    def whole_slices(self, axis: int) -> list[int]:
        """The slices across a RAS axis that are given whole."""
        whole = self.session.annotations.whole_slices(self.grid.axes[axis])
        return sorted(self.grid.native_index(axis, index) for index in whole)

    def drawn_slices(self, axis: int) -> list[int]:
        """The slices across a RAS axis that were drawn on."""
        native = self.grid.axes[axis]
        indices = {index for of, index in self.session.annotations.corrected if of == native}
        return sorted(self.grid.native_index(axis, index) for index in indices)

    def displayed(self, axis: int, index: int) -> NDArray[np.uint8]:
        """Class numbers of a slice in RAS order: corrections over the prediction."""
        native = self.grid.axes[axis], self.grid.native_index(axis, index)
        given = self.session.annotations
        numbers, known = (array.take(native[1], native[0]) for array in (given.numbers, given.known))
        below = 0 if self.prediction is None else self.prediction.take(native[1], native[0])
        return self.grid.slice_to_ras(axis, np.where(known > 0, numbers, below).astype(np.uint8))

    def given(self, axis: int, index: int) -> NDArray[np.uint8]:
        """Class numbers of the corrections of a slice in RAS order; 255 where nothing was given."""
        native = self.grid.axes[axis], self.grid.native_index(axis, index)
        given = self.session.annotations
        numbers, known = (array.take(native[1], native[0]) for array in (given.numbers, given.known))
        return self.grid.slice_to_ras(axis, np.where(known > 0, numbers, UNKNOWN).astype(np.uint8))

    def displayed_volume(self) -> NDArray[np.uint8]:
        """Class numbers on the study's grid: corrections over the prediction."""
        given = self.session.annotations
        if self.prediction is None:
            return given.numbers.copy()
        return np.where(given.known > 0, given.numbers, self.prediction)

    def given_volume(self) -> NDArray[np.uint8]:
        """Class numbers of the corrections on the study's grid; 255 where nothing was given."""
        given = self.session.annotations
        return np.where(given.known > 0, given.numbers, np.uint8(UNKNOWN))

    def _write(self, entry: Entry) -> None:
        self.journal.append({**entry, "time": round(time.time(), 3)})

    def _edit(self, part: Entry) -> SliceEdit:
        axis, index = int(part["axis"]), int(part["index"])
        return SliceEdit(axis, index, unpacked(part["zlib"], self.grid.slice_shape(axis)))

    def _apply(
        self, edits: Sequence[SliceEdit], values: Sequence[int], stroke: str | None
    ) -> tuple[tuple[int, int], ...]:
        table = np.full(256, _UNKNOWN_VALUE, np.int64)
        table[: len(values) + 1] = (0, *values)
        slices = tuple((edit.axis, edit.index) for edit in edits)
        before = tuple(self._prediction_of(axis, index) for axis, index in slices)
        for edit in edits:
            labels = self.grid.slice_to_native(edit.axis, table[edit.pixels])
            index = self.grid.native_index(edit.axis, edit.index)
            self.session.correct(index, labels, PLANES[edit.axis], _UNKNOWN_VALUE)
        self._done.append(_Applied(slices, before))
        self._undone.clear()
        self.revision, self.finished = self.revision + 1, False
        if stroke is not None:
            self._names[stroke] = slices
        return slices

    def _undo(self) -> tuple[tuple[int, int], ...]:
        step = self._done.pop()
        known = [self.session.annotations.known[self._where(axis, index)] > 0 for axis, index in step.slices]
        for _ in step.slices:
            self.session.undo()
        for (axis, index), before, was_known in zip(step.slices, step.before, known, strict=True):
            self._restore(axis, index, before, was_known)
        self._undone.append(step)
        self.revision, self.finished = self.revision + 1, False
        return step.slices

    def _redo(self) -> tuple[tuple[int, int], ...]:
        step = self._undone.pop()
        for _ in step.slices:
            self.session.redo()
        self._done.append(step)
        self.revision, self.finished = self.revision + 1, False
        return step.slices

    def _clear(self) -> None:
        while self._done:
            self._undo()
        self.revision, self.finished = self.revision + 1, False

    def _where(self, axis: int, index: int) -> tuple[slice | int, ...]:
        native, at = self.grid.axes[axis], self.grid.native_index(axis, index)
        return tuple(at if other == native else slice(None) for other in range(3))

    def _prediction_of(self, axis: int, index: int) -> bytes | None:
        if self.prediction is None:
            return None
        return zlib.compress(np.ascontiguousarray(self.prediction[self._where(axis, index)]).tobytes(), 1)

    def _restore(self, axis: int, index: int, before: bytes | None, was_known: NDArray[np.bool_]) -> None:
        """Put back the prediction under a step that was undone: a newer prediction has the step itself there."""
        if self.prediction is None:
            return
        where = self._where(axis, index)
        freed = was_known & (self.session.annotations.known[where] == 0)
        current = self.prediction[where]
        old: NDArray[np.uint8] | int = 0
        if before is not None:
            old = np.frombuffer(zlib.decompress(before), np.uint8).reshape(current.shape)
        self.prediction[where] = np.where(freed, old, current)
