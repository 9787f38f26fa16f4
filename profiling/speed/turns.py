"""Timing things against each other on a machine that is never quite idle."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Turns:
    """What every round took of one thing, in seconds: by the clock on the wall, and of processor time."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    def summed_up(self) -> dict[str, float]:
        """Median and least in milliseconds."""
        clocks = {"wall": self.wall, "cpu": self.cpu}
        return {
            f"{name}_{what}_ms": round(1000 * float(value), 2)
            for name, values in clocks.items()
            for what, value in (("median", np.median(values)), ("least", min(values)))
        }

    def over(self, other: "Turns") -> dict[str, float]:
        """How many times longer this takes: the median over rounds of the ratio within a round.

        "cpu" is the one to trust where other programs share the processor.
        """
        pairs = {"wall": (self.wall, other.wall), "cpu": (self.cpu, other.cpu)}
        return {name: round(float(np.median(np.array(a) / np.array(b))), 3) for name, (a, b) in pairs.items()}


def in_turn(things: Mapping[str, Callable[[], object]], rounds: int, before: int = 1) -> dict[str, Turns]:
    """Times every thing once per round, one after the other, after some rounds `before` that are not counted.

    A busy moment of the machine then hits all of them alike, so that ratios hold where seconds may not.
    """
    for thing in [*things.values()] * before:
        thing()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in things}
    for _ in range(rounds):
        for name, thing in things.items():
            wall, cpu = time.perf_counter(), time.process_time()
            thing()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: Turns(*zip(*both, strict=True)) for name, both in taken.items()}
