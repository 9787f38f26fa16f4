"""A study in the bench of the server."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg_client.arrays import pack, unpack, volume
from mvg_client.connection import Connection


@dataclass(frozen=True, eq=False)
class SliceUpdate:
    """A slice across a RAS axis and the class numbers to display: corrections over the newest prediction."""

    axis: int
    index: int
    numbers: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Change:
    """What a correction, undo or redo changed. slices: those that it touched, None for all of them."""

    revision: int
    undo: int
    redo: int
    state: str
    slices: tuple[SliceUpdate, ...] | None


class Session:
    """Corrections of one study, and its prediction from them; arrays are in RAS order."""

    def __init__(self, connection: Connection, facts: Mapping[str, Any]) -> None:
        self._connection, self.id = connection, str(facts["id"])
        self.shape: tuple[int, ...] = tuple(facts["shape"])
        self._path = f"/sessions/{self.id}"

    def facts(self) -> dict[str, Any]:
        """Where the session stands, as the server states it."""
        return dict(self._connection.json("GET", self._path))

    def correct(self, axis: int, index: int, numbers: NDArray[Any]) -> Change:
        """Set the class numbers of one slice; pixels of the value UNKNOWN keep what they had.

        numbers: over the two other axes, in ascending order. The correction is on the server's disk when this returns.
        Raises ServerError; sending it again then cannot count twice.
        """
        return self.correct_slices({(axis, index): numbers})

    def correct_slices(self, slices: Mapping[tuple[int, int], NDArray[Any]], stroke: str | None = None) -> Change:
        """Correct several slices (axis, index) as one step; stroke: its name, with which it may be sent again."""
        parts = [{"axis": axis, "index": index, "zlib": pack(numbers)} for (axis, index), numbers in slices.items()]
        body = {"slices": parts, "stroke": stroke or uuid.uuid4().hex}
        return self._change(self._connection.json("POST", f"{self._path}/corrections", body))

    def undo(self) -> Change:
        """Take back the last step."""
        return self._change(self._connection.json("POST", f"{self._path}/undo"))

    def redo(self) -> Change:
        """Repeat the step that was taken back last."""
        return self._change(self._connection.json("POST", f"{self._path}/redo"))

    def predict(self) -> Iterator[SliceUpdate]:
        """The slices that a prediction changes, as they come, the nearest to the newest correction first.

        Ends where all are predicted, or where a newer correction came: then call it again. Leaving the iteration stops
        the prediction.
        """
        for name, data in self._connection.events("POST", f"{self._path}/predict", {}):
            if name == "slice":
                yield self._update(data, data["zlib"])

    def uncertain(self, count: int = 1) -> tuple[int, tuple[int, ...]]:
        """The axis and the slices that are worth correcting next, the most valuable first."""
        facts = self._connection.json("GET", f"{self._path}/uncertain", query={"count": count})
        return int(facts["axis"]), tuple(facts["slices"])

    def labels(self) -> NDArray[np.uint8]:
        """Class numbers (x, y, z): corrections over the newest prediction."""
        return volume(self._connection.content(f"{self._path}/labels.nii"))

    def corrections(self) -> NDArray[np.uint8]:
        """Class numbers (x, y, z) of the corrections; UNKNOWN where nothing was given."""
        return volume(self._connection.content(f"{self._path}/corrections.nii"))

    def picture(self) -> NDArray[np.float32]:
        """The predicted picture (x, y, z) of a task with pictures."""
        return volume(self._connection.content(f"{self._path}/prediction.nii"))

    def finish(self, example: bool = False) -> dict[str, Any]:
        """Accept the displayed labels; with `example` the study becomes an example of the task."""
        return dict(self._connection.json("POST", f"{self._path}/finish", {"example": example}))

    def export(self, path: str | Path, suffix: str | None = None) -> Path:
        """Write the labels or the picture on the study's own grid; suffix: of the format, None for the study's own."""
        query = {} if suffix is None else {"format": suffix}
        Path(path).write_bytes(self._connection.content(f"{self._path}/export", query))
        return Path(path)

    def close(self) -> None:
        """Let the session leave the server's memory; nothing is lost."""
        self._connection.json("DELETE", self._path)

    def _change(self, facts: Mapping[str, Any]) -> Change:
        parts = facts["slices"]
        slices = None if parts is None else tuple(self._update(part, part["zlib"]) for part in parts)
        return Change(facts["revision"], facts["undo"], facts["redo"], facts["state"], slices)

    def _update(self, part: Mapping[str, Any], text: str) -> SliceUpdate:
        axis = int(part["axis"])
        first, second = (length for other, length in enumerate(self.shape) if other != axis)
        return SliceUpdate(axis, int(part["index"]), unpack(text, (first, second)))
