"""The files of a study's corrections and prediction for a task, which outlive the process."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvg._atomic import atomic_file
from mvg.errors import FileError
from mvg.imaging.files import read, read_labels, write
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.quality import Quality
from mvg.server.finished import sync_file
from mvg.server.index import Work
from mvg.server.journal import Entry, Journal


@dataclass(frozen=True)
class PredictionFacts:
    """What is known of the newest prediction.

    revision: of the corrections that it knows; axis: the RAS axis across which slices were predicted; uncertainty:
    likely wrong pixels of each slice across it; quality: an estimate of its Dice, the mean over its labels;
    label_quality: that of each label, by its value as text; updated: seconds since 1970.
    """

    revision: int
    axis: int
    uncertainty: tuple[float, ...] | None
    quality: float | None
    updated: float
    label_quality: Mapping[str, float] | None = None


class SessionFiles:
    """`journal.jsonl`, `prediction.nii.gz` and `state.json` in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder / "journal.jsonl")
        self.prediction = folder / "prediction.nii.gz"
        self._state = folder / "state.json"

    def read_facts(self) -> PredictionFacts | None:
        """What is known of the prediction; None without one."""
        try:
            facts = json.loads(self._state.read_text(encoding="utf-8"))
            doubts = facts["uncertainty"]
            return PredictionFacts(**{**facts, "uncertainty": None if doubts is None else tuple(doubts)})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_prediction(self, volume: LabelMap | Volume, facts: PredictionFacts) -> None:
        """Keep a prediction; it is on disk when this returns. Raises FileError; the one before then stays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write(volume, self.prediction)
        sync_file(self.prediction)
        with atomic_file(self._state) as temporary:
            temporary.write_text(json.dumps(asdict(facts)), encoding="utf-8")
        sync_file(self._state)

    def read_numbers(self, values: Sequence[int], shape: tuple[int, int, int]) -> NDArray[np.uint8] | None:
        """The predicted labels as class numbers in the order of `values`; None where there are none that fit."""
        if not self.prediction.exists():
            return None
        try:
            labels = read_labels(self.prediction)
        except FileError:
            return None
        return None if labels.shape != shape else numbers_of(labels.voxels, values)

    def read_picture(self) -> Volume | None:
        """The predicted picture; None where there is none."""
        return read(self.prediction) if self.prediction.exists() else None

    def work(self) -> Work:
        """How far the study is, from its files."""
        facts, entries = self.read_facts(), self.journal.entries()
        strokes, finished = summary(entries)
        quality = None if facts is None else facts.quality
        times = [entry.get("time", 0.0) for entry in entries[-1:]] + ([facts.updated] if facts is not None else [])
        return Work(state_of(strokes, finished, facts is not None), quality, strokes, max(times, default=None))


def numbers_of(labels: NDArray[np.integer], values: Sequence[int]) -> NDArray[np.uint8]:
    """Label values as class numbers in the order of `values`; other values become background."""
    known = np.array((0, *values), np.int64)
    order = np.argsort(known)
    at = np.searchsorted(known, labels, sorter=order).clip(0, len(known) - 1)
    numbers = order[at]
    return np.where(known[numbers] == labels, numbers, 0).astype(np.uint8)


def rounded_quality(quality: Quality) -> tuple[float, dict[str, float]]:
    """The mean and the estimate of each label, by its value as text, as files and the interface have them."""
    return round(quality.mean, 4), {str(value): round(share, 4) for value, share in quality.by_label.items()}


def state_of(strokes: int, finished: bool, predicted: bool) -> str:
    """The state of a study: new, answered, correcting or done."""
    if finished:
        return "done"
    return "correcting" if strokes else "answered" if predicted else "new"


def summary(entries: Sequence[Entry]) -> tuple[int, bool]:
    """How many steps are in effect after these entries, and whether the study is finished."""
    done, undone, finished = 0, 0, False
    for entry in entries:
        operation = entry.get("op")
        if operation == "correct":
            done, undone, finished = done + 1, 0, False
        elif operation == "undo" and done:
            done, undone, finished = done - 1, undone + 1, False
        elif operation == "redo" and undone:
            done, undone, finished = done + 1, undone - 1, False
        elif operation == "clear":
            done, undone, finished = 0, undone + done, False
        elif operation in ("finish", "reopen"):
            finished = operation == "finish"
    return done, finished
