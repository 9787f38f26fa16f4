"""Denoising of low-dose CT (Sec. 3.1): physics on full-dose slices in HU, real pairs where a set has them.

Each dose and each window is a task of its own, so that prompts have the same noise as the query, as they do when both
come from a user's scanner.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Card
from mvg.data.store import SliceRow, StoredSlice
from mvg.imaging.window import Window
from mvg.tasks.projection import low_dose_noise
from mvg.tasks.task import Task, TaskSpec, windowed, windowed_target

DOSES = (0.5, 0.25, 0.1)  # shares of the full dose
WINDOWS = ("soft tissue", "lung")
_MIN_FILLED = 0.05  # share of the picture that shows something; with less there is no body to denoise


SPEC = TaskSpec("denoising", sampling="tiles", residual=True)


@dataclass(frozen=True)
class Denoising(Task):
    """Low dose -> full dose of one channel, both through the named `window`; in tiles at native resolution.

    dose: the share of photons that is simulated, None for the real pairs of the set.
    """

    channel: int
    dose: float | None
    window: str

    spec: ClassVar[TaskSpec] = SPEC

    def accepts(self, row: SliceRow) -> bool:
        return row.filled >= _MIN_FILLED and (self.dose is not None or row.target_window is not None)

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        window = Window.named(self.window)
        if self.dose is None:
            return windowed(stored, self.channel, window)[None], windowed_target(stored, window)
        full = stored.raw(self.channel)
        whole = stored.whole.raw(self.channel) if stored.whole else full
        pixel = float(np.mean(stored.row.spacing))
        noise = low_dose_noise(whole, pixel, (stored.top, stored.left, len(full)), self.dose, rng)
        return window.apply(full + noise)[None], window.apply(full)


def offered_by(card: Card) -> list[Task]:
    """Every task of this kind that a data set with this card can serve."""
    if card.image_target is not None and card.image_task != "denoising":
        return []
    windows = WINDOWS if card.units == "HU" else WINDOWS[:1]
    doses: tuple[float | None, ...] = DOSES if card.units == "HU" else ()
    if card.image_task == "denoising":
        doses = (None,)
    return [
        Denoising(_name(name, dose, window), card, channel, dose, window)
        for channel, name in enumerate(card.channels)
        for dose in doses
        for window in windows
    ]


def _name(channel: str, dose: float | None, window: str) -> str:
    """denoising:CT@25%, with the window's name behind where it is not soft tissue."""
    share = "" if dose is None else f"@{dose:.0%}"
    return f"denoising:{channel}{share}" + ("" if window == WINDOWS[0] else f", {window}")
