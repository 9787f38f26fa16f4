"""Denoising of low-dose CT (Sec. 3.1): physics on full-dose slices in HU, real pairs where a set has them.

Each dose and each window is a task of its own, so that prompts have the same noise as the query, as they do when both
come from a user's scanner.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Card, Case, DataSet
from mvg.data.store import SliceRow, StoredSlice
from mvg.imaging.volume import Volume
from mvg.imaging.window import Window
from mvg.tasks.case_pair import CaseFiles, CasePair, thinned
from mvg.tasks.projection import low_dose_noise
from mvg.tasks.task import Task, TaskSpec, windowed, windowed_target

DOSES = (0.5, 0.25, 0.1)  # shares of the full dose
WINDOWS = ("soft tissue", "lung")
_EVALUATED_DOSE = 0.25
_SIMULATED_SLICES = 3  # of a case: the noise of one takes seconds at 512 x 512
_AIR = -1000  # HU


SPEC = TaskSpec("denoising", sampling="tiles", residual=True)


@dataclass(frozen=True)
class Denoising(Task):
    """Low dose -> full dose of one channel, both through the named `window`; in tiles at native resolution.

    dose: the share of photons that is simulated, None for the real pairs of the set.
    """

    dose: float | None = None
    window: str = WINDOWS[0]

    spec: ClassVar[TaskSpec] = SPEC
    min_foreground: ClassVar[float] = 0.05

    @property
    def named_window(self) -> Window | None:
        return Window.named(self.window) if self.card.units == "HU" else None

    def accepts(self, row: SliceRow) -> bool:
        return super().accepts(row) and (self.dose is not None or row.target_window is not None)

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        window = Window.named(self.window)
        if self.dose is None:
            return windowed(stored, self.channel, window)[None], windowed_target(stored, window)
        full = stored.raw(self.channel)
        whole = stored.uncropped.raw(self.channel) if stored.uncropped else full
        pixel = float(np.mean(stored.row.spacing))
        noise = low_dose_noise(whole, pixel, (stored.top, stored.left, len(full)), self.dose, rng)
        return window.apply(full + noise)[None], window.apply(full)

    def serves(self, case: Case) -> bool:
        return case.target is not None or self.dose is not None

    def case_pair(self, files: CaseFiles, rng: np.random.Generator) -> CasePair:
        image = files.image(self.channel)
        if self.dose is None:
            return CasePair(image, files.target())
        full = thinned(image, image.plane, _SIMULATED_SLICES)
        return CasePair(_low_dose(full, self.dose, rng), full)


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


def evaluated(tasks: list[Task], data: DataSet) -> list[Task]:
    """The real low dose, else a simulated quarter of the dose, in the soft-tissue window."""
    doses = [task for task in tasks if isinstance(task, Denoising) and task.window == WINDOWS[0]]
    return [task for task in doses if task.dose in (None, _EVALUATED_DOSE)]


def _low_dose(full: Volume, dose: float, rng: np.random.Generator) -> Volume:
    """The volume with the noise of a dose in every slice, each surrounded by air up to a square."""
    noisy = np.array(full.pictures(full.plane))
    rows, columns = noisy.shape[1:]
    side = max(rows, columns)
    pixel = float(np.mean(full.pixel_spacing(full.plane)))
    for picture in noisy:
        square = np.full((side, side), _AIR, np.float32)
        square[:rows, :columns] = picture
        picture += low_dose_noise(square, pixel, (0, 0, side), dose, rng)[:rows, :columns]
    image = full.from_pictures(noisy, full.plane)
    assert isinstance(image, Volume)
    return image


def _name(channel: str, dose: float | None, window: str) -> str:
    """denoising:CT@25%, with the window's name behind where it is not soft tissue."""
    share = "" if dose is None else f"@{dose:.0%}"
    return f"denoising:{channel}{share}" + ("" if window == WINDOWS[0] else f", {window}")
