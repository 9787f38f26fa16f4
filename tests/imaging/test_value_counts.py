"""Values are counted as sorting would count them, whatever their type and range."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvg.imaging import value_counts as module
from mvg.imaging.value_counts import value_counts


@given(st.sampled_from([np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64, np.uint64]), st.data())
def test_counts_are_those_of_sorting(dtype: Any, data: st.DataObject) -> None:
    limits = np.iinfo(dtype)
    low = data.draw(st.integers(int(limits.min), int(limits.max)))
    high = data.draw(st.one_of(st.integers(low, min(low + 300, int(limits.max))), st.integers(low, int(limits.max))))
    numbers = np.random.default_rng(0).integers(low, high, (3, 4, 5), dtype, endpoint=True)
    values, counts = np.unique(numbers, return_counts=True)
    for array in (numbers, numbers[::-1], numbers.swapaxes(0, 2)):
        assert value_counts(array) == dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_long_arrays_are_counted_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COUNTED_AT_ONCE", 7)
    assert value_counts(np.arange(100) % 3) == {0: 34, 1: 33, 2: 33}
