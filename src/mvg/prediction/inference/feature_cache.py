"""Features of numbered slices, of prompts or of a query: each slice is embedded once while memory allows."""

from bisect import bisect_right
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mvg.model.generalist import Generalist
from mvg.model.outputs import ImageFeatures
from mvg.prediction.inference.recent import Shared

BATCH = 8  # squares that are embedded together
BUDGET = 2**27  # bytes


class FeatureCache:
    """Embeds slices on request and keeps the features of the latest ones; safe for several threads."""

    def __init__(
        self,
        model: Generalist,
        squares: Callable[[int], NDArray[np.float32]],
        ahead: Sequence[int] = (),
        budget: int = BUDGET,
    ) -> None:
        """`squares(number)`: the squares (f, i, s, s) of a slice; f is the same for all slices.

        ahead: in ascending order, slices that fill batches that would not be full, as they are likely to be needed.
        budget: bytes.
        """
        self._model, self._squares, self._ahead = model, squares, ahead
        self._kept: Shared[tuple[int, bool], ImageFeatures] = Shared(budget, _bytes)

    def get(self, numbers: Sequence[int], mirrored: bool = False) -> ImageFeatures:
        """The features of all squares of some slices, slice by slice."""
        missing = [number for number in dict.fromkeys(numbers) if (number, mirrored) not in self._kept]
        keys = [(number, mirrored) for number in (*numbers, *self._following(missing, mirrored))]
        parts = self._kept.get(keys, self._embedded, BATCH)[: len(numbers)]
        return parts[0] if len(parts) == 1 else ImageFeatures.concatenate(parts)

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()

    def take_over(self, other: "FeatureCache") -> None:
        """Keep what another cache holds of the same slices."""
        for key, features in other._kept.items():
            self._kept.put(key, features)

    def _following(self, numbers: list[int], mirrored: bool) -> list[int]:
        """Likely slices that follow those to embed, as many as it takes to fill the last batch."""
        room, more = -len(numbers) % BATCH, list[int]()
        starts = [bisect_right(self._ahead, number) for number in numbers]
        positions = (start + step for step in range(BATCH) for start in starts)
        for number in (self._ahead[position] for position in positions if position < len(self._ahead)):
            new = number not in numbers and number not in more and (number, mirrored) not in self._kept
            if new and len(more) < room:
                more.append(number)
        return more

    def _embedded(self, keys: Sequence[tuple[int, bool]]) -> list[ImageFeatures]:
        """The features of slices, all of them mirrored or none."""
        squares = [self._squares(number) for number, _ in keys]
        frames, together = len(squares[0]), np.concatenate(squares)
        together = together[..., ::-1].copy() if keys[0][1] else together
        parts = [self._embed(together[start : start + BATCH]) for start in range(0, len(together), BATCH)]
        features = parts[0] if len(parts) == 1 else ImageFeatures.concatenate(parts)
        return [features[row * frames : (row + 1) * frames] for row in range(len(keys))]

    def _embed(self, squares: NDArray[np.float32]) -> ImageFeatures:
        device = next(self._model.parameters()).device
        with torch.inference_mode():
            return self._model.embed(torch.from_numpy(squares).to(device))


def _bytes(features: ImageFeatures) -> int:
    parts = (features.images, features.levels, features.fine, features.filling, features.cells)
    return sum(part.numel() * part.element_size() for part in parts if part is not None)
