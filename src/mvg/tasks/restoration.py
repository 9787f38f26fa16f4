"""Restoration: a degraded picture -> the clean one. A kind adds the degradation and the cards that offer it.

Levels of a degradation are tasks of their own, so that prompts are degraded like the query, as they are when both come
from one scanner. Pictures are on one scale: HU from -1000 to 1000 is 0 to 1, other intensities as they are windowed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Card, DataSet
from mvg.data.store import StoredSlice
from mvg.imaging.volume import Volume
from mvg.imaging.window import CT_WINDOW, Window, guess_modality
from mvg.tasks.case_pair import CaseFiles, CasePair, thinned
from mvg.tasks.task import Task, TaskSpec, windowed

Degrade = Callable[[NDArray[np.float32], float, np.random.Generator], NDArray[np.float32]]
"""Slices (n, rows, cols) of one scan, the level, random choices -> the degraded slices. Intensities may leave [0, 1].

What is random about a scan (the phase of its slabs, say) is the same in all its slices. Levels along the volume are
along the rows of a picture: the volume was acquired in another plane than the one in which it is looked at.
"""

HU_SPAN = 2000.0
"""Hounsfield units between 0 and 1 of a degradation's scale."""
_HU = Window(-HU_SPAN / 2, HU_SPAN / 2)
_SLICES = 8  # of a case, where it is evaluated


@dataclass(frozen=True)
class Degradation:
    """How a kind of task degrades pictures.

    spec: of the kind; degrade: must be a function of a module, so that tasks can be pickled; levels: see `Degrade`, the
    first one is evaluated; modalities: of the cards that offer the kind, by the names that cards have.
    """

    spec: TaskSpec
    degrade: Degrade
    levels: tuple[float, ...]
    modalities: tuple[str, ...] = ("MRI", "CT")

    def offered_by(self, card: Card) -> list[Task]:
        """One task for each channel and level, where images show anatomy of the modalities."""
        if card.modality not in self.modalities or card.image_target is not None:
            return []
        return [
            Restoration(f"{self.spec.kind}:{name}@{level:g}", card, channel, degradation=self, level=level)
            for channel, name in enumerate(card.channels)
            for level in self.levels
        ]

    def evaluated(self, tasks: list[Task], data: DataSet) -> list[Task]:
        """One task: the first channel at the first level."""
        return tasks[:1]

    def degraded(self, clean: Volume, level: float, rng: np.random.Generator, modality: str | None = None) -> Volume:
        """A clean volume of one channel as it would be degraded, on its grid and its intensity scale.

        modality: "CT" where intensities are HU, None guesses. Intensities of others stay within the volume's own range.
        """
        is_ct = (modality or guess_modality(clean.voxels)) == "CT"
        window = _HU if is_ct else Window.fit(clean.voxels, "other")
        scaled = _scaled(clean.pictures(clean.plane), window)
        degraded = self.degrade(scaled, level, rng)
        if not is_ct:
            degraded = np.clip(degraded, scaled.min(), scaled.max())
        volume = clean.from_pictures(window.invert(degraded), clean.plane)
        assert isinstance(volume, Volume)
        return volume


@dataclass(frozen=True)
class Restoration(Task):
    """A degraded channel -> the channel, at one level of a degradation."""

    degradation: Degradation = field(kw_only=True)
    level: float = field(kw_only=True)

    min_foreground: ClassVar[float] = 0.05

    @property
    def spec(self) -> TaskSpec:
        return self.degradation.spec

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        if stored.card.units != "HU":
            picture = stored.picture(self.channel)
            return np.clip(self._degraded(picture, rng), 0, 1)[None], picture
        degraded = _HU.invert(self._degraded(_scaled(stored.raw(self.channel), _HU), rng))
        return CT_WINDOW.apply(degraded)[None], windowed(stored, self.channel)

    def case_pair(self, files: CaseFiles, rng: np.random.Generator) -> CasePair:
        image = files.image(self.channel)
        clean = thinned(image, image.plane, _SLICES)
        modality = "CT" if self.card.units == "HU" else "other"
        return CasePair(self.degradation.degraded(clean, self.level, rng, modality), clean)

    def _degraded(self, picture: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        return np.asarray(self.degradation.degrade(picture[None], self.level, rng)[0], np.float32)


def averaged(side: int, block: int, start: int) -> NDArray[np.float64]:
    """The matrix (side, side) that averages blocks of pixels and interpolates linearly between their centers.

    start: the size of the first block where it is smaller, 0 for a whole one.
    """
    numbers = (np.arange(side) + (block - start) % block) // block
    blocks = np.arange(numbers[-1] + 1)[:, None] == numbers
    means = blocks / blocks.sum(axis=1, keepdims=True)
    centers = means @ np.arange(side)
    hats = np.stack([np.interp(np.arange(side), centers, one) for one in np.eye(len(centers))], axis=1)
    return np.asarray(hats @ means, np.float64)


def rows_mapped(pictures: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Slices (n, rows, cols) whose new rows are weighted sums of the old ones; matrix: (new rows, rows)."""
    return np.asarray(np.einsum("ij,njk->nik", matrix.astype(np.float32), pictures), np.float32)


def _scaled(raw: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """Intensities on the scale of a window, not clipped."""
    return np.asarray((raw - np.float32(window.low)) / np.float32(window.high - window.low), np.float32)
