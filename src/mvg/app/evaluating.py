"""`mvg evaluate`: predictions against labels -> a short table, CSV files and a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mvg.app.display import print_line, progress_bars
from mvg.app.options import Quiet

if TYPE_CHECKING:
    from mvg.benchmark.evaluation import Evaluation

_MOST_LINES = 10  # of one kind


def evaluate(
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="Folder of predictions, or one file.")],
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="Folder with the truth of the same names, or one.")],
    output: Annotated[Path, typer.Option(help="Folder for results.csv, summary.csv and report.html.")] = Path(
        "runs/evaluation"
    ),
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images (or one), to draw the worst cases on.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Measure predictions: Dice, IoU, NSD, HD95 and volumes per label and case, or PSNR, SSIM and MAE of pictures."""
    from mvg.benchmark.evaluation import evaluate as measure
    from mvg.benchmark.evaluation import write_evaluation
    from mvg.prediction.output_files import output_folder

    with output_folder(output), progress_bars(quiet) as on_progress:
        evaluation = measure(predictions, labels, images, lambda done, total: on_progress("cases", done, total))
        written = write_evaluation(evaluation, output)
    if not quiet:
        print("\n".join(_table(evaluation)))
        print(*written, sep="\n")
        _print_lines(evaluation.notes)
    _print_lines(evaluation.errors)
    if evaluation.errors:
        raise typer.Exit(1)


def _table(evaluation: "Evaluation") -> list[str]:
    """The means of all labels or regions with their intervals, in columns."""
    columns = [at for at, one in enumerate(evaluation.quantities) if not one.key.endswith("_ml")]
    rows = [["", "cases", *(evaluation.quantities[at].title for at in columns)]]
    for row in evaluation.summaries:
        cells = []
        for at in columns:
            one, text = row.intervals[at], evaluation.quantities[at].text
            spread = one is not None and row.cases > 1
            cells.append("–" if one is None else text(one.mean) + (f" ({text(one.low)}-{text(one.high)})" * spread))
        rows.append([evaluation.name_of(row.part), str(row.cases), *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines[:_MOST_LINES]:
        print_line(line)
    if len(lines) > _MOST_LINES:
        print_line(f"... and {len(lines) - _MOST_LINES} more such lines; report.html has all of them.")
