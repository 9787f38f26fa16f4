"""`mvg predict --corrections`: corrected slices of a query, from a label map, and all others predicted from them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mvg._remote import is_url
from mvg.app.predicting import BatchJob, BatchReport, OutputOptions, format_options
from mvg.errors import FileError, PromptError
from mvg.imaging.files import read_labels
from mvg.imaging.folder import files_by_name, name_of
from mvg.imaging.volume import Volume
from mvg.prediction.batch import Job, Outcome, plan, run_jobs, write_prediction
from mvg.prediction.corrections import Corrections, nothing_labeled, read_corrections
from mvg.prediction.predictor import load
from mvg.prediction.prompts.channels import read_channels
from mvg.prediction.queries import queries_of, query_paths, volumes_of
from mvg.prediction.request import DEFAULT_WEIGHTS, PromptSource, prepare_request
from mvg.prediction.session import Session


@dataclass(frozen=True)
class CorrectionSource:
    """Where corrections are.

    path: a label map, or a folder of those of several queries; unknown: the value of open voxels; task, weights and
    device: as the user named them, see `PromptSource`; without prompts there is no task.
    """

    path: Path
    unknown: int
    task: str | None
    weights: str | None
    device: str


@dataclass(frozen=True)
class _Corrector:
    """Opens a session for a query and its corrections.

    inputs: how many images the weights take; files: that were read before, which no prediction may overwrite; names: of
    label values; pose: names a query's axes as the prompts do.
    """

    open_session: Callable[[Volume, Corrections], Session]
    inputs: int
    files: tuple[Path, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    pose: Callable[[Volume], Volume] = lambda query: query


def predict_corrected(source: CorrectionSource, prompts: PromptSource | None, job: BatchJob) -> BatchReport:
    """Predict each query from its corrections, which stay as they are, and write the files. Raises MvgErrors.

    prompts: the task whose predictions are corrected; None to predict from the corrections alone.
    """
    named_task = [] if source.task is None else ["task"]
    _check_options([*job.options, *named_task] if prompts is None else [], job.outputs)
    if any(is_url(query) for query in job.queries):
        raise PromptError("--corrections of a query at a URL", "a file of this machine", "fetch it first")
    path_of = _paths(query_paths(job.queries), source.path)
    corrector = _without_task(source) if prompts is None else _of_task(prompts, source.unknown, job)
    queries, inputs = volumes_of(queries_of(job.queries, job.series), job.volume), (*corrector.files, *path_of.values())
    files = plan(queries, job.output, "labels", inputs, written_as=format_options(job.outputs, corrector.names))
    notes, outcomes = list[str](), list[Outcome]()

    def predict_file(one: Job) -> Outcome:
        query = corrector.pose(read_channels(one.query, corrector.inputs, one.series))
        corrections = read_corrections(read_labels(path_of[one.query]), query, source.unknown)
        session = corrector.open_session(query, corrections)
        for slice_ in corrections.slices:
            session.correct(slice_.index, slice_.labels, slice_.plane, source.unknown)
        written = write_prediction(session.predict(), query, one, None)
        notes.append(f"{one.query.name}: {corrections.note}" if len(files) > 1 else corrections.note)
        return Outcome(one, written, None)

    for number, outcome in enumerate(run_jobs(files, predict_file), 1):
        job.on_progress("queries", number, len(files))
        job.on_outcome(outcome)
        outcomes.append(outcome)
    return BatchReport(tuple(outcomes), (), tuple(notes))


def _check_options(options: Iterable[str], outputs: OutputOptions) -> None:
    """Raises PromptError for options that do nothing to corrections; options: names of those that were set."""
    useless = [*options, *outputs.extras]
    useless += ["tune"] if outputs.tuning_seconds else []
    useless += ["save_task"] if outputs.save_task is not None else []
    if useless:
        option = "--" + useless[0].replace("_", "-").replace("members", "ensemble")
        raise PromptError(f"{option} with corrections", "options that change what they give", f"leave {option} out")


def _of_task(prompts: PromptSource, unknown: int, job: BatchJob) -> _Corrector:
    """Sessions that start with a task's predictions. Raises PromptError where a label of the task means unknown."""
    request = prepare_request(prompts, job.options, query_paths(job.queries), job.on_progress)
    task = request.task
    if unknown in task.prompts.values:
        raise PromptError(
            f"{unknown} is a label of the prompts and means unknown in corrections",
            "a value that is no label",
            "name another one with --unknown",
        )
    return _Corrector(
        lambda volume, _: task.open(volume),
        task.model.config.inputs,
        request.inputs,
        request.label_names,
        task.prompts.posed,
    )


def _without_task(source: CorrectionSource) -> _Corrector:
    """Sessions that start with the corrections alone."""
    predictor = load(source.weights or DEFAULT_WEIGHTS, source.device)

    def open_session(volume: Volume, corrections: Corrections) -> Session:
        if not corrections.values:
            raise nothing_labeled(corrections.unknown)
        return predictor.open(volume, corrections.values)

    return _Corrector(open_session, predictor.model.config.inputs)


def _paths(queries: Sequence[Path], path: Path) -> dict[Path, Path]:
    """The corrections of each query: one file for one query, or the files of a folder by the queries' names."""
    if not path.is_dir():
        if len(queries) > 1:
            raise FileError(
                f"'{path}' is one label map for {len(queries)} queries",
                "one query, or a folder of label maps with the queries' names",
                "correct one query at a time, or name a folder",
            )
        return {queries[0]: path}
    files = files_by_name(path)
    missing = [query.name for query in queries if name_of(query) not in files]
    if missing:
        raise FileError(
            f"'{path}' has no corrections of {', '.join(missing)}", "a label map with each query's name", "add them"
        )
    return {query: files[name_of(query)] for query in queries}
