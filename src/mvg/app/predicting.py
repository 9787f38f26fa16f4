"""`mvg predict`: a request, the options, and query files -> predictions in a folder."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mvg._remote import Address
from mvg.app.display import OnProgress
from mvg.data.nnunet_raw import dataset_folder
from mvg.errors import PromptError
from mvg.imaging.dicom.terms import read_codes
from mvg.prediction.batch import Job, Outcome, plan, scale_of
from mvg.prediction.batch_page import CrossCheck
from mvg.prediction.cross_check import cross_check
from mvg.prediction.engine_choice import LOCAL, EngineChoice
from mvg.prediction.finetuning import tune
from mvg.prediction.held_out_check import contradictions, held_out_check, label_contradictions
from mvg.prediction.oddities import prompt_oddities, report_oddities
from mvg.prediction.output_files import write_qualities
from mvg.prediction.output_formats import FormatOptions
from mvg.prediction.parts import WHOLE, Part
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.queries import queries_of, query_paths, volumes_of
from mvg.prediction.recorded_batch import BatchPredictor, RecordedBatch, settings_of_files
from mvg.prediction.request import PromptSource, Request, prepare_request

# Options that do nothing to predicted pictures.
_FOR_LABELS = ("zoom", "through_plane", "registration", "propagate", "min_probability")


@dataclass(frozen=True)
class OutputOptions:
    """What is made beside the predictions.

    uncertainty, probabilities, quality: also write them; tuning_seconds: of fine-tuning before the prediction, 0 for
    none; save_task: where the task is saved, None for nowhere. format: how predictions are written, see
    `mvg.prediction.output_formats`; codes: a table of what labels mean; outlines: also as pictures of DICOM. overwrite:
    also answers that are done with the same options; cross_check: also answer each prompt from the others.
    """

    uncertainty: bool = False
    probabilities: bool = False
    quality: bool = False
    tuning_seconds: float = 0.0
    save_task: Path | None = None
    format: str = ""
    codes: Path | None = None
    outlines: bool = False
    overwrite: bool = False
    cross_check: bool = False

    @property
    def extras(self) -> tuple[str, ...]:
        """The names of the files that are written beside each prediction."""
        return tuple(name for name in ("uncertainty", "probabilities", "quality") if getattr(self, name))


@dataclass(frozen=True)
class Sharing:
    """How the queries are shared: by an engine, and which part of them."""

    engine: EngineChoice = LOCAL
    part: Part = WHOLE


@dataclass(frozen=True)
class BatchJob:
    """What is predicted and where it is written.

    options: fields of `PredictionOptions` that the user set; series: which DICOM series, see `queries_of`; strict:
    whether what is odd is refused; volume: of files with several, see `volumes_of`; nan: see `replacing_nan`.
    on_outcome is called as soon as a query is done.
    """

    queries: Sequence[Address]
    output: Path
    options: Mapping[str, Any]
    outputs: OutputOptions
    on_progress: OnProgress
    series: str = ""
    on_outcome: Callable[[Outcome], None] = lambda _: None
    strict: bool = False
    volume: str = ""
    nan: float | None = None
    sharing: Sharing = Sharing()


@dataclass(frozen=True)
class BatchReport:
    """The outcomes of all queries, tables of all of them, and notes about how, a line each."""

    outcomes: tuple[Outcome, ...]
    tables: tuple[Path, ...]
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
    request = prepare_request(source, {**job.options, **extras}, query_paths(job.queries), job.on_progress)
    check_outputs(request, job.options)
    request.check_output(job.output)
    return predict_batch(request, job)


def prompts_of(prompts: Path | None, dataset: str | None) -> Path | None:
    """Where prompts are: a path, or a data set of nnU-Net by its name. Raises PromptError for both, FileError."""
    if dataset is None:
        return prompts
    if prompts is not None:
        raise PromptError("--prompts and --dataset", "one of them", "leave one out")
    return dataset_folder(dataset)


def check_sharing(sharing: Sharing, outputs: OutputOptions, corrects: bool) -> None:
    """Raises PromptError for what cannot be shared; corrects: whether the queries are corrected volumes."""
    if corrects and not (sharing.engine.is_this_process and sharing.part == WHOLE):
        raise PromptError(
            "--corrections with --engine, --workers or --num-parts", "one process", "leave these options out"
        )
    if sharing.part.count > 1 and (outputs.quality or outputs.tuning_seconds or outputs.save_task):
        raise PromptError(
            "--num-parts with --quality, --tune or --save-task",
            "options that do not concern all queries at once",
            "leave them out, or tune into a task file before",
        )


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
    queries = volumes_of(queries_of(job.queries, job.series), job.volume)
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
    odd = (*prompt_oddities(task.prompts, task.spec), *held_out_check(task), *label_contradictions(task))
    report_oddities("the prompts", odd, job.strict)
    jobs = tuple(replace(one, strict=job.strict) for one in jobs)
    batch = _recorded(request, task, job)
    outcomes = tuple(predict_all(batch, jobs, job))
    report_oddities("the prompts", contradictions(task), strict=False)
    notes += note_of_kept(outcomes)
    estimates = {outcome.job.output.name: outcome.quality for outcome in outcomes if outcome.quality is not None}
    qualities = estimates if outputs.quality else {}
    return BatchReport(outcomes, write_qualities(job.output, qualities), tuple(notes))


def _recorded(request: Request, task: PromptedTask, job: BatchJob) -> RecordedBatch:
    """The batch with its record."""
    outputs = job.outputs
    extra = {
        "format": outputs.format,
        "tuning_seconds": outputs.tuning_seconds,
        "nan": job.nan,
    }
    extra |= settings_of_files({"codes_sha256": outputs.codes})
    checks = tuple[CrossCheck, ...]()
    if outputs.cross_check:
        if request.predictor is None or request.folder is None:
            raise PromptError("--cross-check with a task file", "a folder of prompts", "name the folder")
        checks = tuple(cross_check(request.predictor, request.folder, task.options))
    return RecordedBatch(
        BatchPredictor.of_task(task, job.sharing.engine, job.output),
        job.output, request.inputs, request.label_names, extra, not outputs.overwrite, checks, job.sharing.part,
    )  # fmt: skip


def format_options(outputs: OutputOptions, names: Mapping[int, str]) -> FormatOptions:
    """How predictions with labels of these names are written. Raises FileError for a damaged table of codes."""
    codes = () if outputs.codes is None else read_codes(outputs.codes)
    return FormatOptions(outputs.format, names, tuple(codes), outputs.outlines)


def note_of_kept(outcomes: Sequence[Outcome]) -> list[str]:
    """A line about answers that were not made again; none where all were."""
    kept = sum(outcome.is_kept for outcome in outcomes)
    note = f"{kept} of {len(outcomes)} answers were done with the same options; --overwrite makes them again"
    return [note] if kept else []


def predict_all(batch: RecordedBatch, jobs: Sequence[Job], job: BatchJob) -> Iterator[Outcome]:
    """The outcomes of all jobs, each handed on as soon as it is there."""

    def on_slice(one: Job, done: int, total: int) -> None:
        job.on_progress(one.query.name, done, total)

    outcomes = batch.run(jobs, on_slice)
    for number, outcome in enumerate(outcomes, 1):
        job.on_progress("queries", number, len(jobs))
        job.on_outcome(outcome)
        yield outcome
