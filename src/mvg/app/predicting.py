"""`mvg predict`: a request, the options, and query files -> predictions in a folder."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvg.app.display import OnProgress
from mvg.errors import PromptError
from mvg.imaging.dicom.terms import read_codes
from mvg.prediction.batch import Job, Outcome, plan, predict_files, scale_of
from mvg.prediction.finetuning import tune
from mvg.prediction.output_files import write_qualities
from mvg.prediction.output_formats import FormatOptions
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.quality import quality
from mvg.prediction.queries import queries_of
from mvg.prediction.request import PromptSource, Request, prepare_request

_FOR_LABELS = ("zoom", "propagate", "min_probability")  # options that do nothing to predicted pictures


@dataclass(frozen=True)
class OutputOptions:
    """What is made beside the predictions.

    uncertainty, probabilities, quality: also write them; tuning_seconds: of fine-tuning before the prediction, 0 for
    none; save_task: where the task is saved, None for nowhere. format: how predictions are written, see
    `mvg.prediction.output_formats`; codes: a table of what labels mean; outlines: also as pictures of DICOM.
    """

    uncertainty: bool = False
    probabilities: bool = False
    quality: bool = False
    tuning_seconds: float = 0.0
    save_task: Path | None = None
    format: str = ""
    codes: Path | None = None
    outlines: bool = False

    @property
    def extras(self) -> tuple[str, ...]:
        """The names of the files that are written beside each prediction."""
        return tuple(name for name in ("uncertainty", "probabilities", "quality") if getattr(self, name))


@dataclass(frozen=True)
class BatchJob:
    """What is predicted and where it is written.

    options: fields of `PredictionOptions` that the user set; series: which DICOM series, see `queries_of`.
    """

    queries: Sequence[Path]
    output: Path
    options: Mapping[str, Any]
    outputs: OutputOptions
    on_progress: OnProgress
    series: str = ""


@dataclass(frozen=True)
class BatchReport:
    """The outcomes of all queries, the files that were written, and notes about how, a line each."""

    outcomes: tuple[Outcome, ...]
    written: tuple[Path, ...]
    notes: tuple[str, ...]

    @property
    def errors(self) -> tuple[str, ...]:
        """One line for each query that failed."""
        return tuple(outcome.error for outcome in self.outcomes if outcome.error is not None)


def predict_prompted(source: PromptSource | None, job: BatchJob) -> BatchReport:
    """Do to all queries what the prompts show. Raises MvgErrors, PromptError without prompts."""
    if source is None:
        raise PromptError("no prompts", "--prompts, or --corrections of the query", "name a folder of examples")
    extras = {"uncertainty": job.outputs.uncertainty, "probabilities": job.outputs.probabilities}
    request = prepare_request(source, {**job.options, **extras}, job.queries, job.on_progress)
    check_outputs(request, job.options)
    return predict_batch(request, job)


def check_outputs(request: Request, options: Collection[str]) -> None:
    """Raises PromptError for options that do nothing; options: names of those that were set."""
    if request.task.spec.target_type == "labels":
        return
    for name in _FOR_LABELS:
        if name in options:
            option = "--" + name.replace("_", "-")
            raise PromptError(f"{option} for a task that predicts pictures", "a segmentation", f"leave {option} out")


def predict_batch(request: Request, job: BatchJob) -> BatchReport:
    """Predict all queries and write the files. Names are checked before anything is tuned. Raises MvgErrors."""
    task, notes, outputs = request.task, list[str](), job.outputs
    queries = queries_of(job.queries, job.series)
    written_as = format_options(outputs, request.label_names)
    jobs = plan(queries, job.output, task.spec.target_type, request.inputs, outputs.extras, scale_of(task), written_as)
    if request.channel:
        notes.append(f"the prompts' channel '{request.channel}' was used; --task KIND:CHANNEL chooses another")
    if outputs.tuning_seconds:
        task, tuning = tune(
            task, outputs.tuning_seconds, progress=lambda done, total: job.on_progress("tuning", done, total)
        )
        notes.append(tuning.message)
    if outputs.save_task is not None:
        task.save(outputs.save_task)
    outcomes = tuple(_predict_all(task, jobs, outputs, job.on_progress))
    qualities = {outcome.job.output.name: outcome.quality for outcome in outcomes if outcome.quality is not None}
    written = (path for outcome in outcomes for path in outcome.written)
    return BatchReport(outcomes, (*written, *write_qualities(job.output, qualities)), tuple(notes))


def format_options(outputs: OutputOptions, names: Mapping[int, str]) -> FormatOptions:
    """How predictions with labels of these names are written. Raises FileError for a damaged table of codes."""
    codes = () if outputs.codes is None else read_codes(outputs.codes)
    return FormatOptions(outputs.format, names, tuple(codes), outputs.outlines)


def _predict_all(
    task: PromptedTask, jobs: Sequence[Job], outputs: OutputOptions, on_progress: OnProgress
) -> Iterator[Outcome]:
    def on_slice(job: Job, done: int, total: int) -> None:
        on_progress(job.query.name, done, total)

    outcomes = predict_files(task, jobs, on_slice, quality if outputs.quality else None)
    for number, outcome in enumerate(outcomes, 1):
        on_progress("queries", number, len(jobs))
        yield outcome
