"""`mvg predict`: the options of the command, the call and what is printed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mvg.app.display import print_line, print_notes, progress_bars
from mvg.app.options import (
    KINDS,
    Codes,
    Device,
    Ensemble,
    FileFormat,
    MinProbability,
    NumPrompts,
    Outlines,
    Propagate,
    Quiet,
    Seed,
    SeriesChoice,
    Strategy,
    Zoom,
)


def predict(
    queries: Annotated[
        list[Path], typer.Argument(metavar="QUERY", help="Files; DICOM folders, zip archives or a DICOMDIR.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for predictions: OUTPUT/NAME of each query, in its format.")],
    series: SeriesChoice = "",
    prompts: Annotated[
        Path | None,
        typer.Option(help="Folder in the nnU-Net raw layout or with images/ and targets/; or a .mvgtask file."),
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(help="Label map of the query with slices that you labeled, with or without prompts; they stay."),
    ] = None,
    unknown: Annotated[int, typer.Option(help="Value of voxels that corrections leave open.")] = 255,
    task: Annotated[
        str | None,
        typer.Option(
            help=f"What the prompts show: {KINDS}; with channels KIND:CHANNEL or KIND:FROM->TO.",
            show_default="segmentation for integer targets",
        ),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Id or folder.", show_default="tiny")] = None,
    strategy: Strategy = None,
    num_prompts: NumPrompts = None,
    zoom: Zoom = None,
    propagate: Propagate = None,
    min_probability: MinProbability = None,
    device: Device = "auto",
    quality: Annotated[
        bool,
        typer.Option("--quality", help="Also write quality.csv: the estimated Dice; it ranks sets, not cases."),
    ] = False,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Also write NAME_uncertainty.nii.gz, from 0 (certain) to 1.")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write NAME_probabilities.nii.gz, classes on the last axis.")
    ] = False,
    file_format: FileFormat = "",
    codes: Codes = None,
    outlines: Outlines = False,
    ensemble: Ensemble = None,
    tune_seconds: Annotated[
        float, typer.Option("--tune", min=0, help="First train on two or more prompts, for these seconds.")
    ] = 0,
    save_task: Annotated[Path | None, typer.Option(help="Also save the encoded prompts as this .mvgtask file.")] = None,
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Do to each QUERY what the prompts show; predictions for DICOM are .nii.gz, labels for JPEG are .png."""
    from mvg.app.correcting import CorrectionSource, predict_corrected
    from mvg.app.predicting import BatchJob, OutputOptions, predict_prompted
    from mvg.prediction.output_files import output_folder
    from mvg.prediction.request import PromptSource

    chosen = {
        "strategy": strategy, "num_prompts": num_prompts, "members": ensemble, "seed": seed, "zoom": zoom,
        "propagate": propagate, "min_probability": min_probability,
    }  # fmt: skip
    options = {name: value for name, value in chosen.items() if value is not None}
    outputs = OutputOptions(uncertainty, probabilities, quality, tune_seconds, save_task, file_format, codes, outlines)
    with output_folder(output), progress_bars(quiet) as on_progress:
        job = BatchJob(queries, output, options, outputs, on_progress, series)
        source = None if prompts is None else PromptSource(prompts, task, weights, device)
        if corrections is not None:
            report = predict_corrected(CorrectionSource(corrections, unknown, task, weights, device), source, job)
        else:
            report = predict_prompted(source, job)
    if not quiet:
        print_notes(report.notes, report.written)
    _print_errors(report.errors, len(report.outcomes))


def _print_errors(errors: Sequence[str], query_count: int) -> None:
    """Print each error as one line; exit with a code where there are any."""
    if len(errors) > 1 or (errors and query_count > 1):
        print_line(f"{len(errors)} of {query_count} queries failed:")
    for error in errors:
        print_line(error)
    if errors:
        raise typer.Exit(2 if len(errors) == query_count else 1)
