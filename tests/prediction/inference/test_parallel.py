"""Slices on several threads: the same results in order, errors where they belong, and thread counts restored."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import mvg
from mvg.prediction.inference.parallel import in_parallel, one_thread_per_operation
from mvg.prediction.inference.recent import Shared
from tests.golden.requests import REQUESTS


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


def test_results_come_in_order_from_several_threads() -> None:
    barrier = threading.Barrier(3, timeout=20)

    def call(number: int) -> tuple[int, int]:
        if number < 3:
            barrier.wait()
        return number, torch.get_num_threads()

    assert list(in_parallel(call, range(10))) == [(number, 1) for number in range(10)]
    assert torch.get_num_threads() == 3


def test_an_error_is_raised_and_later_items_are_not_begun() -> None:
    begun = []

    def call(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise ValueError("one")
        time.sleep(0.01)
        return number

    with pytest.raises(ValueError, match="one"):
        list(in_parallel(call, range(50)))
    assert len(begun) < 20
    assert torch.get_num_threads() == 3


def test_thread_counts_are_restored_after_the_last_of_nested_contexts() -> None:
    with one_thread_per_operation() as outer:
        with one_thread_per_operation() as inner:
            assert (outer, inner, torch.get_num_threads()) == (3, 3, 1)
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_what_one_thread_computes_another_waits_for() -> None:
    shared: Shared[int, int] = Shared(10**6, lambda value: 1)
    calls: list[list[int]] = []
    both = threading.Barrier(2, timeout=20)

    def compute(keys: list[int]) -> list[int]:
        calls.append(keys)
        time.sleep(0.05)
        return [10 * key for key in keys]

    def ask() -> list[int]:
        both.wait()
        return shared.get([1, 2, 3, 4], compute, together=2)

    with ThreadPoolExecutor(2) as pool:
        assert [future.result() for future in (pool.submit(ask), pool.submit(ask))] == [[10, 20, 30, 40]] * 2
    assert sorted(calls) == [[1, 2], [3, 4]], "each thread computes a part"


def test_after_an_error_a_value_is_computed_again() -> None:
    shared: Shared[int, int] = Shared(10**6, lambda value: 1)

    def fail(keys: list[int]) -> list[int]:
        raise ValueError("not now")

    with pytest.raises(ValueError, match="not now"):
        shared.get([1], fail)
    assert shared.get([1], lambda keys: keys) == [1]


def test_values_beyond_the_budget_are_still_returned() -> None:
    shared: Shared[int, int] = Shared(2, lambda value: 1)
    assert shared.get(range(9), lambda keys: keys, together=4) == list(range(9))
    assert [key for key, _ in shared.items()] == [7, 8]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["segmentation", "synthesis"])
def test_predictions_do_not_depend_on_the_number_of_threads(name: str) -> None:
    request, predictions = REQUESTS[name](), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        task = mvg.load("tiny", "cpu", "float32").prompt(request.images, request.targets, request.task)
        predictions.append(np.asarray(task(request.query).volume.voxels))
    assert np.array_equal(*predictions)
