"""`mvg predict`: the options of the command, the call and what is printed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mvg.app.display import print_line, print_notes, progress_bars
from mvg.app.options import (
    Codes,
    CrossCheck,
    DatasetName,
    Device,
    Engine,
    Ensemble,
    FileFormat,
    MinProbability,
    NumParts,
    NumPrompts,
    Outlines,
    Overwrite,
    PartId,
    ProbabilityMaps,
    Propagate,
    QualityTable,
    Quiet,
    Registration,
    Seed,
    SeriesChoice,
    Strategy,
    Strict,
    TaskName,
    ThroughPlane,
    UncertaintyMap,
    ValueForNan,
    VolumeChoice,
    Workers,
    Zoom,
)

if TYPE_CHECKING:
    from mvg._remote import Address
    from mvg.app.correcting import CorrectionSource
    from mvg.app.predicting import BatchJob
    from mvg.prediction.batch import Outcome
    from mvg.prediction.request import PromptSource


def predict(
    queries: Annotated[
        list[str], typer.Argument(metavar="QUERY", help="Files or URLs; DICOM folders, zip archives, a DICOMDIR.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for predictions: OUTPUT/NAME of each query, in its format.")],
    series: SeriesChoice = "",
    volume: VolumeChoice = "",
    nan: ValueForNan = None,
    dataset: DatasetName = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="Folder in the nnU-Net raw layout or with images/ and targets/; or a .mvgtask file."),
    ] = None,
    corrections: Annotated[
        str | None, typer.Option(metavar="LABELS", help="Label map of the query (path or URL); labeled slices stay.")
    ] = None,
    unknown: Annotated[int, typer.Option(help="Value of voxels that corrections leave open.")] = 255,
    task: TaskName = None,
    weights: Annotated[str | None, typer.Option(help="Id or folder.", show_default="tiny")] = None,
    strategy: Strategy = None,
    num_prompts: NumPrompts = None,
    zoom: Zoom = None,
    through_plane: ThroughPlane = None,
    registration: Registration = None,
    propagate: Propagate = None,
    min_probability: MinProbability = None,
    device: Device = "auto",
    quality: QualityTable = False,
    uncertainty: UncertaintyMap = False,
    probabilities: ProbabilityMaps = False,
    file_format: FileFormat = "",
    codes: Codes = None,
    outlines: Outlines = False,
    overwrite: Overwrite = False,
    cross_check: CrossCheck = False,
    ensemble: Ensemble = None,
    tune_seconds: Annotated[
        float, typer.Option("--tune", min=0, help="First train on two or more prompts, for these seconds.")
    ] = 0,
    save_task: Annotated[Path | None, typer.Option(help="Also save the encoded prompts as this .mvgtask file.")] = None,
    seed: Seed = None,
    strict: Strict = False,
    engine: Engine = "local",
    workers: Workers = 1,
    num_parts: NumParts = 1,
    part_id: PartId = None,
    quiet: Quiet = False,
) -> None:
    """Do to each QUERY what the prompts show; without --format, answers for DICOM are .nii.gz, labels for JPEG .png."""
    from mvg.app.correcting import CorrectionSource
    from mvg.app.predicting import BatchJob, OutputOptions, Sharing, check_sharing, prompts_of
    from mvg.prediction.engine_choice import engine_choice
    from mvg.prediction.output_files import output_folder
    from mvg.prediction.parts import claimed, part_of
    from mvg.prediction.request import PromptSource

    chosen = {
        "strategy": strategy, "num_prompts": num_prompts, "members": ensemble, "seed": seed, "zoom": zoom,
        "through_plane": through_plane, "registration": registration, "propagate": propagate,
        "min_probability": min_probability,
    }  # fmt: skip
    options = {name: value for name, value in chosen.items() if value is not None}
    written = (file_format, codes, outlines, overwrite, cross_check)
    outputs = OutputOptions(uncertainty, probabilities, quality, tune_seconds, save_task, *written)
    prompts = prompts_of(prompts, dataset)
    source = None if prompts is None else PromptSource(prompts, task, weights, device)
    corrected = None if corrections is None else CorrectionSource(_address(corrections), unknown, task, weights, device)
    sharing = Sharing(engine_choice(engine, workers, device), part_of(part_id, num_parts))
    check_sharing(sharing, outputs, corrected is not None)
    with output_folder(output), claimed(output, sharing.part), progress_bars(quiet) as on_progress:
        job = BatchJob(
            [_address(query) for query in queries], output, options, outputs, on_progress, series,
            volume=volume, nan=nan, strict=strict, sharing=sharing,
        )  # fmt: skip
        _run(job, source, corrected, quiet)


def _address(text: str) -> "Address":
    """A path, or a URL as it is: a path would lose one of its slashes."""
    from mvg._remote import is_url

    return text if is_url(text) else Path(text)


def _run(job: "BatchJob", source: "PromptSource | None", corrections: "CorrectionSource | None", quiet: bool) -> None:
    """Predict, and print a line for each file as soon as it is written, then the notes and the errors."""
    from mvg.app.correcting import predict_corrected
    from mvg.app.predicting import predict_prompted
    from mvg.imaging.missing_values import replacing_nan

    outcomes: list[Outcome] = []

    def on_outcome(outcome: "Outcome") -> None:
        outcomes.append(outcome)
        if outcome.written and not quiet:
            print(*outcome.written, sep="\n", flush=True)

    job = replace(job, on_outcome=on_outcome)
    try:
        with replacing_nan(job.nan):
            if corrections is None:
                report = predict_prompted(source, job)
            else:
                report = predict_corrected(corrections, source, job)
    except KeyboardInterrupt:
        _print_interrupted(sum(outcome.error is None for outcome in outcomes), job.output)
        raise typer.Exit(1) from None
    if not quiet:
        print_notes(report.notes, report.tables)
    _print_errors(report.errors, len(report.outcomes))


def _print_interrupted(count: int, output: Path) -> None:
    written = f"{count} answers are written in '{output}' and whole" if count else "nothing was written"
    print_line(f"interrupted; {written}; run the same command again to go on, and what is done is kept.")


def _print_errors(errors: Sequence[str], query_count: int) -> None:
    """Print each error as one line; exit with a code where there are any."""
    if len(errors) > 1 or (errors and query_count > 1):
        print_line(f"{len(errors)} of {query_count} queries failed:")
    for error in errors:
        print_line(error)
    if errors:
        raise typer.Exit(2 if len(errors) == query_count else 1)
