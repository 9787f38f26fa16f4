"""More prompt cases."""

from statistics import median

from profiling.committed import in_words
from profiling.pays.plots import Axis, plot
from profiling.pays.rows import curve, rows_of, suite_rows
from profiling.pays.text import Part, head, image, origin, row, verdict

_GAIN, _TIMES = 0.03, 1.3  # aims from 8 to 32 cases: mean IoU, and times as long


def part() -> Part:
    """Mean IoU and seconds of a query against prompt cases."""
    header, rows = suite_rows("prompts", "IoU")
    cases = curve("IoU", rows, "prompts")
    seconds = {count: median(r["seconds"] for r in rows_of(rows, "prompts", count)) for count in cases.points}
    mean = {count: value.mean for count, value in cases.points.items()}
    gain, times = mean[32] - mean[8], seconds[32] / seconds[8]
    return Part(
        "prompt cases",
        f"up to eight: {mean[4] - mean[1]:+.3f} from one to four, {mean[8] - mean[4]:+.3f} from four to eight",
        f"32 instead of eight: {gain:+.3f} in {times:.1f} times the time",
        f"{_GAIN:+.2f} from 8 to 32: {verdict(gain >= _GAIN)}; in {_TIMES} times the time: {verdict(times <= _TIMES)}",
        [
            "## Prompt cases\n",
            f"{origin('prompts', header)} Five sets, six validation cases each, eight slices a query; seconds are "
            "medians of a query by the clock on a busy machine.\n",
            image("prompts.svg", "Mean IoU against the number of prompt cases"),
            head("prompt cases", *seconds),
            row("mean IoU", *map(in_words, cases.points.values())),
            row("seconds a query", *(f"{value:.2f}" for value in seconds.values())),
        ],
        {"prompts.svg": plot("Mean IoU against prompt cases", Axis("prompt cases", "mean IoU", True), [cases])},
    )
