"""Slices are embedded in full batches, filled with those that are likely to be needed."""

import numpy as np
from numpy.typing import NDArray

from mvg.prediction.inference.feature_cache import BATCH, FeatureCache
from tests.prediction.learner import random_model


def recording(embedded: list[int], ahead: tuple[int, ...]) -> FeatureCache:
    """A cache of slices whose intensity is their number; `embedded` receives every slice that is embedded."""

    def squares(number: int) -> NDArray[np.float32]:
        embedded.append(number)
        return np.full((1, 1, 32, 32), number / 100, np.float32)

    return FeatureCache(random_model(), squares, ahead)


def test_a_batch_is_filled_with_likely_slices_that_follow() -> None:
    embedded: list[int] = []
    cache = recording(embedded, tuple(range(0, 60, 3)))
    cache.get([10])
    assert embedded == [10, *range(12, 12 + 3 * (BATCH - 1), 3)]
    cache.get([12, 15])
    assert len(embedded) == BATCH, "these are kept"


def test_no_more_is_embedded_than_there_is() -> None:
    embedded: list[int] = []
    recording(embedded, (0, 5, 9)).get([5, 7])
    assert embedded == [5, 7, 9]
    embedded.clear()
    recording(embedded, ()).get([5, 7])
    assert embedded == [5, 7]
