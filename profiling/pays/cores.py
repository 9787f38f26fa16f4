"""More cores."""

from collections.abc import Mapping
from typing import Any

from mvg.benchmark.statistics import Interval
from profiling.committed import measured
from profiling.pays.plots import Axis, Curve, plot
from profiling.pays.text import Part, head, image, row, verdict

_ALONE, _BUSY = 1.8, 2.5  # aims: times as fast on two cores; at most as long beside a busy loop on each


def part() -> Part:
    """Seconds of large requests on one and two cores, which give the same answers."""
    large, quiet, studies = (measured(name) for name in ("pipeline.json", "pipeline-cores.json", "engines.json"))
    workers = [studies["runs"][name]["seconds"] for name in ("one worker", "two workers")]
    seconds = {
        "one request": ("128 slices of 512 x 512, 13 classes", "pipeline.json", _by_clock(large)),
        "an older version": ("the same on a quiet machine", "pipeline-cores.json", _by_clock(quiet)),
        "many requests": ("200 small studies, one or two workers", "engines.json", workers),
    }
    assert all(run["dice"]["new, one thread"] == run["dice"]["new, as used"] for run in (large, quiet)), "same answers"
    dice = large["dice"]["new, as used"]["with the truth"]
    times = {title: one / two for title, (*_, (one, two)) in seconds.items()}
    curves = [
        *(Curve(title, {1: _exactly(1.0), 2: _exactly(faster)}) for title, faster in times.items()),
        Curve("aim of one request", {2: _exactly(_ALONE)}, is_aim=True),
    ]
    busy = quiet["runs"]["new, busy"]["wall_seconds"]["total"] / _by_clock(quiet)[1]
    return Part(
        "cores",
        f"a second one, in time: {times['one request']:.2f} times as fast for one request, "
        f"{times['many requests']:.2f} for many",
        f"in quality: the answers are the same (Dice with the truth {dice:.3f} on one core and on two)",
        f"{_ALONE} times as fast: {verdict(times['one request'] >= _ALONE)}; at most {_BUSY} times as long beside a "
        f"busy loop on each core ({busy:.2f}): {verdict(busy <= _BUSY)}",
        [
            "## Cores\n",
            "Seconds by the clock, prompts included; each was measured once, so there are no intervals. No machine "
            "here has more than two cores. Files lie in `profiling/results/`.\n",
            image("cores.svg", "How many times as fast two cores are"),
            head("", "file", "one core", "two cores", "times as fast"),
            *(
                row(f"{title}: {about}", f"`{file}`", f"{one:.1f} s", f"{two:.1f} s", f"{times[title]:.2f}")
                for title, (about, file, (one, two)) in seconds.items()
            ),
        ],
        {"cores.svg": plot("Times as fast on two cores", Axis("cores", "times as fast as one core"), curves)},
    )


def _by_clock(request: Mapping[str, Any]) -> list[float]:
    """Seconds of a request on one core and on two."""
    return [request["runs"][name]["wall_seconds"]["total"] for name in ("new, one thread", "new, as used")]


def _exactly(value: float) -> Interval:
    return Interval(value, value, value)
