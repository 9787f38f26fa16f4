"""Timing things against each other on a machine that is never quite idle."""

import time
from collections.abc import Callable, Mapping

import numpy as np


def in_turn(things: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every call: each thing once per round, one after the other, after one round that is not counted.

    A busy moment of the machine then hits all of them alike, so that ratios hold where seconds may not.
    """
    for thing in things.values():
        thing()
    seconds: dict[str, list[float]] = {name: [] for name in things}
    for _ in range(rounds):
        for name, thing in things.items():
            start = time.perf_counter()
            thing()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def summed_up(seconds: list[float]) -> dict[str, float]:
    """Median and extremes, in milliseconds."""
    values = 1000 * np.array(seconds)
    low, middle, high = np.percentile(values, (0, 50, 100))
    return {"median_ms": round(float(middle), 2), "least_ms": round(float(low), 2), "most_ms": round(float(high), 2)}


def ratio(one: list[float], other: list[float]) -> float:
    """How many times longer the first takes: the median over rounds of the ratio within a round."""
    return round(float(np.median(np.array(one) / np.array(other))), 3)
