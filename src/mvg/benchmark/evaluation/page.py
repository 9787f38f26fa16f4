"""The page of an evaluation: one self-contained HTML file in the style of the benchmark's report."""

from collections.abc import Iterator
from dataclasses import dataclass

import mvg
from mvg.benchmark.evaluation.distributions import distribution
from mvg.benchmark.evaluation.evaluate import Evaluation
from mvg.benchmark.evaluation.summary import Summary
from mvg.benchmark.evaluation.thumbnails import PREDICTION_COLOR, TRUTH_COLOR, color_text, thumbnails
from mvg.benchmark.report.charts import SERIES_COLORS
from mvg.benchmark.report.html import template

_CHARTED = ("dice", "nsd", "hd95_mm", "difference_ml", "psnr_db", "ssim", "mae")
_MOST_ROWS = 1000  # in the table of cases; results.csv has all
_NO_LABEL = "no label on either side"


@dataclass(frozen=True)
class CaseRow:
    """One line of the table of cases. share: how much of its first figure's best is reached, None without a best."""

    case: str
    part: str
    texts: tuple[str, ...]
    share: float | None


def render_evaluation(evaluation: Evaluation) -> str:
    """The whole page; it refers to no other file and no address."""
    is_single = len(evaluation.cases) == 1  # whose distribution is in the table already
    charted = [] if is_single else [at for at, one in enumerate(evaluation.quantities) if one.key in _CHARTED]
    return template("evaluation.html").render(
        evaluation=evaluation,
        version=mvg.__version__,
        title=f"{evaluation.predictions.resolve().name} against {evaluation.truths.resolve().name}",
        facts=_facts(evaluation),
        summaries=[(row, _cells(evaluation, row)) for row in evaluation.summaries],
        charts=[(evaluation.quantities[at], distribution(evaluation, at)) for at in charted],
        rows=list(case_rows(evaluation)),
        pictures=thumbnails(evaluation),
        colors={"prediction": color_text(PREDICTION_COLOR), "truth": color_text(TRUTH_COLOR)},
        chart_colors=SERIES_COLORS[:2],
    )


def case_rows(evaluation: Evaluation) -> Iterator[CaseRow]:
    """A row for each case and label or region, the worst first."""
    first = evaluation.quantities[0]
    figures = [
        (case.name, evaluation.name_of(one.part), one.figures) for case in evaluation.cases for one in case.scores.parts
    ]
    figures += [(case.name, _NO_LABEL, case.scores.overall) for case in evaluation.cases if not case.scores.parts]
    for case, part, values in sorted(figures, key=lambda row: row[2][0])[:_MOST_ROWS]:
        texts = tuple(one.text(value) for one, value in zip(evaluation.quantities, values, strict=True))
        yield CaseRow(case, part, texts, None if first.unit else values[0])


def _cells(evaluation: Evaluation, row: Summary) -> list[tuple[str, str]]:
    """The mean of each quantity, and its interval in words, which is empty for a single case."""
    cells = []
    for quantity, one in zip(evaluation.quantities, row.intervals, strict=True):
        if one is None:
            cells.append(("–", ""))
        else:
            span = f"{quantity.text(one.low)} to {quantity.text(one.high)}" if row.cases > 1 else ""
            cells.append((quantity.text(one.mean), span))
    return cells


def _facts(evaluation: Evaluation) -> str:
    """How many cases and patients there are."""
    cases, patients = len(evaluation.cases), len({case.patient for case in evaluation.cases})
    text = f"{cases} case{'s' * (cases != 1)}"
    return text if patients == cases else f"{text} of {patients} patient{'s' * (patients != 1)}"
