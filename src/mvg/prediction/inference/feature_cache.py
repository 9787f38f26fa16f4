"""Features of numbered slices, of prompts or of a query: each slice is embedded once while memory allows."""

from collections.abc import Callable, Sequence
from threading import RLock

import numpy as np
import torch
from numpy.typing import NDArray

from mvg.model.generalist import Generalist
from mvg.model.outputs import ImageFeatures
from mvg.prediction.inference.recent import Recent

BATCH = 8  # squares that are embedded together
_BUDGET = 2**28  # bytes


class FeatureCache:
    """Embeds slices on request and keeps the features of the latest ones; safe for several threads."""

    def __init__(self, model: Generalist, squares: Callable[[int], NDArray[np.float32]], ahead: int = 0) -> None:
        """`squares(number)`: the squares (f, i, s, s) of a slice; f is the same for all slices.

        ahead: slices below this number fill batches that would not be full, as they are likely to be needed next.
        """
        self._model, self._squares, self._ahead = model, squares, ahead
        self._kept: Recent[tuple[int, bool], ImageFeatures] = Recent(_BUDGET, _bytes)
        self._lock = RLock()

    def get(self, numbers: Sequence[int], mirrored: bool = False) -> ImageFeatures:
        """The features of all squares of some slices, slice by slice."""
        with self._lock:
            missing = [number for number in dict.fromkeys(numbers) if (number, mirrored) not in self._kept]
            missing = self._filled_up(missing, mirrored)
            fresh = dict(zip(missing, self._embedded(missing, mirrored), strict=True)) if missing else {}
            parts = [fresh[number] if number in fresh else self._kept.get((number, mirrored)) for number in numbers]
            for number, features in fresh.items():
                self._kept.put((number, mirrored), features)
        return parts[0] if len(parts) == 1 else ImageFeatures.concatenate(parts)

    def take_over(self, other: "FeatureCache") -> None:
        """Keep what another cache holds of the same slices."""
        with other._lock:
            for key, features in other._kept.entries.items():
                self._kept.put(key, features)

    def _filled_up(self, numbers: list[int], mirrored: bool) -> list[int]:
        """Slices to embed, and those that follow them until the last batch is full."""
        room, known = -len(numbers) % BATCH, set(numbers)
        following = (number + step for step in range(1, BATCH + 1) for number in numbers)
        for number in following:
            if room and number < self._ahead and number not in known and (number, mirrored) not in self._kept:
                known.add(number)
                room -= 1
        return [*numbers, *sorted(known - set(numbers))]

    def _embedded(self, numbers: Sequence[int], mirrored: bool) -> list[ImageFeatures]:
        squares = [self._squares(number) for number in numbers]
        frames, together = len(squares[0]), np.concatenate(squares)
        together = together[..., ::-1].copy() if mirrored else together
        parts = [self._embed(together[start : start + BATCH]) for start in range(0, len(together), BATCH)]
        features = parts[0] if len(parts) == 1 else ImageFeatures.concatenate(parts)
        return [features[row * frames : (row + 1) * frames] for row in range(len(numbers))]

    def _embed(self, squares: NDArray[np.float32]) -> ImageFeatures:
        device = next(self._model.parameters()).device
        with torch.inference_mode():
            return self._model.embed(torch.from_numpy(squares).to(device))


def _bytes(features: ImageFeatures) -> int:
    parts = (features.images, features.levels, features.fine, features.filling, features.cells)
    return sum(part.numel() * part.element_size() for part in parts if part is not None)
