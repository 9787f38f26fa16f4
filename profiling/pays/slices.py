"""More annotated slices of the volume that is asked for."""

from itertools import pairwise

from mvg.benchmark.statistics import Interval
from profiling.committed import in_words
from profiling.pays.plots import Axis, Curve, plot
from profiling.pays.rows import curve, rows_of, suite_rows
from profiling.pays.text import Part, head, image, listed, origin, row, verdict

_AIMS = {1: 0.70, 3: 0.77, 5: 0.82, 9: 0.86}  # annotated slices -> mean IoU of the others
_ARMS = {
    "as it comes": "a session",
    "without learnt fusion": "network and outlines, fixed rule",
    "without fusion and prior": "network alone",
    "interpolated outlines": "interpolated outlines alone",
}
_ENOUGH = 0.9  # Dice of a whole volume
_ORDERS = {"as it comes": "evenly spaced", "slices that the session names": "named by the session"}


def part() -> Part:
    """Mean IoU of the slices that are not annotated, against the number of those that are."""
    header, rows = suite_rows("pays", "IoU", "open slices")
    curves = [
        curve(title, rows_of(rows, "method", method), "x", with_sets=method == "as it comes")
        for method, title in _ARMS.items()
    ]
    session = {count: value.mean for count, value in curves[0].points.items()}
    gains = (f"{session[after] - session[before]:+.3f} from {before} to {after}" for before, after in pairwise(_AIMS))
    aims = Curve("aim", {count: Interval(aim, aim, aim) for count, aim in _AIMS.items()}, is_aim=True)
    lead = session[9] - curves[-1].points[9].mean
    axis = Axis("annotated slices", "mean IoU of the other slices")
    return Part(
        "annotated slices of the same volume",
        f"all of them: {listed(gains)}",
        f"the network with many slices: its lead over interpolated outlines falls to {lead:.3f} with nine",
        "; ".join(f"{aim:.2f} with {count}: {verdict(session[count] >= aim)}" for count, aim in _AIMS.items()),
        [
            "## Annotated slices of the same volume\n",
            f"{origin('pays', header)} No other patient. Eight sets, two of them unseen, up to four validation "
            "patients each, at most 32 slices. Evenly spaced slices are annotated; IoU is that of the labels that "
            "they show, in the slices that are not annotated (with nine, of the 20 of 23 volumes that have some). The "
            "run is older than the search for patients under two names, so prostate MR still has patients whose "
            "double the weights learned from. Faint lines are the sets of a session.\n",
            image("slices.svg", "Mean IoU against the number of annotated slices"),
            head("annotated slices", *_AIMS),
            *(row(arm.title, *(in_words(arm.points[count]) for count in _AIMS)) for arm in curves),
            row("aim", *(f"{aim:.2f}" for aim in _AIMS.values())),
        ],
        {"slices.svg": plot("Mean IoU against annotated slices", axis, [*curves, aims])},
    )


def enough() -> Part:
    """The number of annotated slices at which the whole volume has a Dice of .9, set by set."""
    _, rows = suite_rows("pays", "Dice", "whole volume")
    even, named = (curve(title, rows_of(rows, "method", method), "x") for method, title in _ORDERS.items())
    needed = {
        name: [_reached(curve("", rows_of(of_set, "method", method), "x")) for method in _ORDERS]
        for name in dict.fromkeys(r["set"] for r in rows)
        for of_set in (rows_of(rows, "set", name),)
    }
    axis = Axis("annotated slices", "Dice of the whole volume", level=_ENOUGH)
    most = max(named_count or 10 for _, named_count in needed.values())
    without = [name for name, (even_count, _) in needed.items() if even_count is None]
    return Part(
        "slices until a volume has a Dice of .9",
        f"slices that the session names: {_in_words(_reached(named))} for the mean, {_in_words(most)} for every set",
        f"evenly spaced ones: {_in_words(_reached(even))} for the mean; not with nine: {listed(without or ['none'])}",
        "none was set",
        [
            "## How many slices a volume needs for a Dice of .9\n",
            "The same run; mean Dice of a set's whole volumes, annotated slices included, and of all of their labels. "
            "Slices are evenly spaced, or those that `session.uncertain` names after the middle one. 1, 3, 5 and 9 "
            "were tried.\n",
            image("enough.svg", "Dice of whole volumes against the number of annotated slices"),
            head("annotated slices needed", *_ORDERS.values(), "Dice with nine, evenly spaced and named"),
            *(
                row(name, *map(_in_words, counts), _with_nine(even, named, at))
                for at, (name, counts) in enumerate(needed.items())
            ),
            row("mean of the sets", _in_words(_reached(even)), _in_words(_reached(named)), _with_nine(even, named)),
        ],
        {"enough.svg": plot("Dice of whole volumes against annotated slices", axis, [even, named])},
    )


def _reached(order: Curve) -> int | None:
    """The least number of annotated slices at which the mean Dice is enough; None if none is."""
    return next((int(x) for x, value in sorted(order.points.items()) if value.mean >= _ENOUGH), None)


def _in_words(count: int | None) -> str:
    return str(count) if count in _AIMS else f"more than {max(_AIMS)}"


def _with_nine(even: Curve, named: Curve, at: int | None = None) -> str:
    """Dice of one set, or of all."""
    both = [order.points[9].mean if at is None else order.parts[at][9] for order in (even, named)]
    return f"{both[0]:.3f}, {both[1]:.3f}"
