"""More seconds of learning from the volumes that are shown, and more such volumes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mvg.benchmark.statistics import Interval, compare, interval
from profiling.committed import groups, in_words
from profiling.pays.plots import Axis, plot
from profiling.pays.rows import Rows, curve, rows_of, sets_of, suite_rows
from profiling.pays.text import Part, head, image, listed, origin, row, verdict

_LEARNERS = {"mvg": "tuned", "unet_prompts": "U-Net", "nnunet_prompts": "nnU-Net"}
_GAIN, _GAIN_OF_TWENTY = 0.02, 0.04  # aims in mean IoU: three volumes and 300 seconds, twenty and 600
_FOLDER, _TWENTY = "adaptation", "adaptation_twenty"
_NETWORKS = {60: "minute.jsonl", 300: "networks.jsonl"}  # seconds -> file of the networks, which are of earlier runs


def part() -> Part:
    """Mean IoU against seconds of tuning on three volumes, beside networks that learn from them for as long."""
    header, rows = suite_rows(_FOLDER, "IoU")
    tuned, sets = rows_of(rows, "rival", "mvg"), sets_of(rows)
    networks, runs = _networks(sets)
    rows += networks
    seconds = sorted({r["x"] for r in rows})
    last, gain = seconds[-1], _gain(tuned, seconds[-1])
    gains = {name: _gain(rows_of(tuned, "set", name), last).mean for name in sets}
    ahead = [f"{name} on {_ahead(rows, rival, last)}" for rival, name in _LEARNERS.items() if rival != "mvg"]
    gaining = listed([f"{name} ({value:+.3f})" for name, value in gains.items() if value > 0] or ["no set"])
    curves = [curve(title, rows_of(rows, "rival", rival), "x") for rival, title in _LEARNERS.items()]
    return Part(
        "seconds of tuning on three volumes",
        f"in {last:g} s on {gaining}",
        f"elsewhere; {gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}) over {len(sets)} sets, "
        f"{_worse(tuned, last)} of {len(rows_of(tuned, 'x', last))} cases worse",
        f"{_GAIN:+.2f} in {last:g} s: {verdict(gain.mean >= _GAIN)}; ahead of both networks on eight of ten sets: "
        f"after {last:g} s of {listed(ahead)} measured",
        [
            "## Seconds of tuning\n",
            f"{origin(_FOLDER, header)} Three prompt volumes, four validation cases of each set, eight slices a query. "
            "Tuning, a U-Net and nnU-Net learn from the same volumes, for as many seconds of the processor. Prompts "
            "alone are tuning for no second; tuning that gains nothing for certain on the prompts leaves everything "
            f"as it was. The networks do not depend on mvg's version and are of earlier runs: {listed(runs)}. "
            "Empty cells were not measured.\n",
            image("seconds.svg", "Mean IoU against seconds of learning from three volumes"),
            head("set", "learns", *("prompts alone" if x == 0 else f"{x:g} s" for x in seconds)),
            *_table(rows, sets, seconds),
            "",
            *_twenty(),
        ],
        {"seconds.svg": plot("Mean IoU against seconds of learning", Axis("seconds of learning", "mean IoU"), curves)},
    )


def _networks(sets: Sequence[str]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """What both networks have learned after some seconds, and where it comes from."""
    rows, runs = list[Mapping[str, Any]](), list[str]()
    for seconds, file in _NETWORKS.items():
        header, content = suite_rows(_FOLDER, "IoU", file=file)
        rows += [r | {"x": seconds} for r in content if r["rival"] != "mvg" and r["set"] in sets]
        runs.append(f"after {seconds} s of {header['commit'][:8]}, {header['cpu']} (`{file}`)")
    return rows, runs


def _table(rows: Rows, sets: Sequence[str], seconds: Sequence[float]) -> Iterator[str]:
    """A line for each set and learner, and their means; empty where nothing was measured."""
    for title, chosen in [*((name, rows_of(rows, "set", name)) for name in sets), ("all", rows)]:
        for rival, learner in _LEARNERS.items():
            points = curve(learner, rows_of(chosen, "rival", rival), "x").points
            yield row(title, learner, *(in_words(points[x]) if x in points else "" for x in seconds))


def _twenty() -> list[str]:
    """The same with twenty volumes."""
    header, rows = suite_rows(_TWENTY, "IoU")
    before, after = (rows_of(rows, "method", name) for name in ("prompts alone", "tuned for 300 s"))
    gain = compare(groups(after, "value"), groups(before, "value")).difference
    return [
        f"{origin(_TWENTY, header)} *Twenty volumes*, eight validation cases of each set, other things as above:\n",
        head("set", "prompts alone", "tuned for 300 s"),
        *(row(name, *(in_words(_of_set(arm, name)) for arm in (before, after))) for name in sets_of(rows)),
        "",
        f"Tuning on twenty changes {gain.mean:+.3f}; aim {_GAIN_OF_TWENTY:+.2f} in 600 s.",
    ]


def _of_set(rows: Rows, name: str) -> Interval:
    return interval(groups(rows_of(rows, "set", name), "value"))


def _gain(tuned: Rows, seconds: float) -> Interval:
    """What tuning for so long changes, over the same cases."""
    after, before = (groups(rows_of(tuned, "x", x), "value") for x in (seconds, 0))
    return compare(after, before).difference


def _worse(tuned: Rows, seconds: float) -> int:
    """The number of cases that tuning for so long makes worse."""
    before = {(r["set"], r["case"]): r["value"] for r in rows_of(tuned, "x", 0)}
    return sum(r["value"] < before[r["set"], r["case"]] for r in rows_of(tuned, "x", seconds))


def _ahead(rows: Rows, rival: str, seconds: float) -> str:
    """On how many sets tuning is ahead of a network after so many seconds, of those on which it was measured."""
    at = rows_of(rows, "x", seconds)
    sets = sets_of(rows_of(at, "rival", rival))
    means = [[_of_set(rows_of(at, "rival", who), name).mean for who in ("mvg", rival)] for name in sets]
    return f"{sum(ours > theirs for ours, theirs in means)} of {len(sets)}"
