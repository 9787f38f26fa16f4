"""Times several functions against each other on a machine that is never quite idle."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds of one function in every round: wall-clock time and processor time."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    def summary(self) -> dict[str, float]:
        """Median and minimum in milliseconds."""
        clocks = {"wall": self.wall, "cpu": self.cpu}
        return {
            f"{name}_{statistic}_ms": round(1000 * float(value), 2)
            for name, values in clocks.items()
            for statistic, value in (("median", np.median(values)), ("least", min(values)))
        }

    def ratio_to(self, other: "Timing") -> dict[str, float]:
        """How many times longer this takes than `other`: the median over rounds of the ratio within a round.

        Trust "cpu" where other programs share the processor.
        """
        pairs = {"wall": (self.wall, other.wall), "cpu": (self.cpu, other.cpu)}
        return {name: round(float(np.median(np.array(a) / np.array(b))), 3) for name, (a, b) in pairs.items()}


def time_in_turn(functions: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, Timing]:
    """Time every function once per round, one after the other, after `warm_up` rounds that do not count.

    A busy moment of the machine then slows all functions alike, so that ratios hold where seconds may not.
    """
    for function in [*functions.values()] * warm_up:
        function()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: Timing(*zip(*both, strict=True)) for name, both in seconds.items()}
