"""`mvg predict --corrections`: corrected slices of a query, from a label map, and all others predicted from them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mvg._remote import Address, is_url, name_in, public
from mvg.app.predicting import BatchJob, BatchReport, OutputOptions, format_options, note_of_kept, predict_all
from mvg.errors import FileError, PromptError
from mvg.imaging.files import read_labels, suffix_of
from mvg.imaging.folder import files_by_name, name_of
from mvg.imaging.volume import LabelMap, Volume
from mvg.model.generalist import Generalist
from mvg.prediction.batch import Job, Outcome, plan, run_jobs, with_files_fetched, written_outcome
from mvg.prediction.corrections import Corrections, nothing_labeled, read_corrections
from mvg.prediction.oddities import Oddity, answer_oddities, prompt_oddities, query_oddities, report_oddities
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import load
from mvg.prediction.prompts.channels import read_channels
from mvg.prediction.prompts.label_maps import label_map
from mvg.prediction.prompts.pairs import fit_channels
from mvg.prediction.queries import queries_of, query_paths, volumes_of
from mvg.prediction.recorded_batch import BatchPredictor, OnSlice, RecordedBatch, settings_of_files
from mvg.prediction.request import DEFAULT_WEIGHTS, PromptSource, prepare_request
from mvg.prediction.session import Session

_KIND = "segmentation by corrected slices"


@dataclass(frozen=True)
class CorrectionSource:
    """Where corrections are.

    path: a label map, or a folder of those of several queries, or the URL of a label map; unknown: the value of open
    voxels; task, weights and device: as the user named them, see `PromptSource`; without prompts there is no task.
    """

    path: Address
    unknown: int
    task: str | None
    weights: str | None
    device: str


@dataclass(frozen=True)
class _Corrector:
    """Opens a session for a query and its corrections.

    model, weights: what predicts, and its id or path; options: of the task; files: that were read before, which no
    prediction may overwrite; names: of label values; pose: names a query's axes as the prompts do; oddities: of a query
    beside the prompts.
    """

    open_session: Callable[[Volume, Corrections], Session]
    model: Generalist
    weights: str
    options: PredictionOptions
    files: tuple[Path, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    pose: Callable[[Volume], Volume] = lambda query: query
    oddities: Callable[[Volume], tuple[Oddity, ...]] = lambda _: ()

    @property
    def inputs(self) -> int:
        """How many images the weights take."""
        return self.model.config.inputs


def predict_corrected(source: CorrectionSource, prompts: PromptSource | None, job: BatchJob) -> BatchReport:
    """Predict each query from its corrections, which stay as they are, and write the files. Raises MvgErrors.

    prompts: the task whose predictions are corrected; None to predict from the corrections alone.
    """
    named_task = [] if source.task is None else ["task"]
    _check_options([*job.options, *named_task] if prompts is None else [], job.outputs)
    corrections_of = _addresses(query_paths(job.queries), source.path)
    corrector = _without_task(source) if prompts is None else _of_task(prompts, source.unknown, job)
    drawn = [Path(one) for one in corrections_of.values() if not is_url(one)]
    queries, inputs = volumes_of(queries_of(job.queries, job.series), job.volume), (*corrector.files, *drawn)
    jobs = plan(queries, job.output, "labels", inputs, written_as=format_options(job.outputs, corrector.names))
    jobs = tuple(replace(one, corrections=corrections_of[one.query], strict=job.strict) for one in jobs)
    notes = list[str]()

    def predict_file(one: Job) -> Outcome:
        if one.url or (one.corrections is not None and is_url(one.corrections)):
            return with_files_fetched(one, predict_file)
        outcome, note = _corrected(corrector, one, source.unknown)
        notes.append(f"{one.query.name}: {note}" if len(jobs) > 1 else note)
        return outcome

    batch = _recorded(corrector, source, job, predict_file)
    outcomes = tuple(predict_all(batch, jobs, job))
    return BatchReport(outcomes, (), (*notes, *note_of_kept(outcomes)))


def _corrected(corrector: _Corrector, job: Job, unknown: int) -> tuple[Outcome, str]:
    """Predict a query of this machine from its corrections and write the files; and what was taken as corrected."""
    query = corrector.pose(read_channels(job.query, corrector.inputs, job.series))
    report_oddities(job.name, corrector.oddities(query), job.strict)
    corrections = read_corrections(_drawn(Path(job.corrections or "")), query, unknown)
    session = corrector.open_session(query, corrections)
    for slice_ in corrections.slices:
        session.correct(slice_.index, slice_.labels, slice_.plane, unknown)
    prediction = session.predict()
    report_oddities(job.name, answer_oddities(prediction.volume, query), job.strict)
    return written_outcome(prediction, query, job), corrections.note


def _drawn(path: Path) -> LabelMap:
    """The labels in a file of corrections. Raises PromptError for a picture, whose gray values are no labels."""
    labels = read_labels(path)
    if label_map(labels) is None:
        raise PromptError(
            f"'{path}' looks like a picture: it has {len(labels.values)} values other than 0",
            "a label map of the query",
            "name the labels that you drew, not the image",
        )
    return labels


def _recorded(
    corrector: _Corrector, source: CorrectionSource, job: BatchJob, predict_file: Callable[[Job], Outcome]
) -> RecordedBatch:
    """The batch with its record."""

    def predict(jobs: Sequence[Job], _: OnSlice) -> Iterator[Outcome]:
        return run_jobs(jobs, predict_file)

    predictor = BatchPredictor(_KIND, corrector.weights, corrector.model, corrector.options, predict)
    extra = {"format": job.outputs.format, "nan": job.nan, "unknown": source.unknown}
    extra |= settings_of_files({"codes_sha256": job.outputs.codes})
    return RecordedBatch(predictor, job.output, corrector.files, corrector.names, extra, not job.outputs.overwrite)


def _check_options(options: Iterable[str], outputs: OutputOptions) -> None:
    """Raises PromptError for options that do nothing to corrections; options: names of those that were set."""
    useless = [*options, *outputs.extras]
    useless += ["tune"] if outputs.tuning_seconds else []
    useless += ["save_task"] if outputs.save_task is not None else []
    useless += ["cross_check"] if outputs.cross_check else []
    if useless:
        option = "--" + useless[0].replace("_", "-").replace("members", "ensemble")
        raise PromptError(f"{option} with corrections", "options that change what they give", f"leave {option} out")


def _of_task(prompts: PromptSource, unknown: int, job: BatchJob) -> _Corrector:
    """Sessions that start with a task's predictions. Raises PromptError where a label of the task means unknown."""
    request = prepare_request(prompts, job.options, query_paths(job.queries), job.on_progress)
    request.check_output(job.output)
    task = request.task
    task.check_correctable()
    if unknown in task.prompts.values:
        raise PromptError(
            f"{unknown} is a label of the prompts and means unknown in corrections",
            "a value that is no label",
            "name another one with --unknown",
        )
    report_oddities("the prompts", prompt_oddities(task.prompts, task.spec), job.strict)

    def oddities(query: Volume) -> tuple[Oddity, ...]:
        return query_oddities(fit_channels(query, task.model.config.inputs, "the query"), task.prompts, task.spec)

    return _Corrector(
        lambda volume, _: task.open(volume), task.model, task.weights, task.options, request.inputs,
        request.label_names, task.prompts.posed, oddities,
    )  # fmt: skip


def _without_task(source: CorrectionSource) -> _Corrector:
    """Sessions that start with the corrections alone."""
    predictor = load(source.weights or DEFAULT_WEIGHTS, source.device)

    def open_session(volume: Volume, corrections: Corrections) -> Session:
        if not corrections.values:
            raise nothing_labeled(corrections.unknown)
        return predictor.open(volume, corrections.values)

    return _Corrector(open_session, predictor.model, predictor.name, PredictionOptions())


def _addresses(queries: Sequence[Path], source: Address) -> dict[Path, Address]:
    """The corrections of each query: one file for one query, or the files of a folder by the queries' names."""
    if is_url(source):
        if not suffix_of(name_in(source)):
            raise FileError(f"corrections at '{public(source)}'", "the URL of one label map", "name a file")
    elif Path(source).is_dir():
        return _in_folder(queries, Path(source))
    if len(queries) > 1:
        raise FileError(
            f"'{public(source)}' is one label map for {len(queries)} queries",
            "one query, or a folder of label maps with the queries' names",
            "correct one query at a time, or name a folder",
        )
    return {queries[0]: source}


def _in_folder(queries: Sequence[Path], folder: Path) -> dict[Path, Address]:
    files = files_by_name(folder)
    missing = [query.name for query in queries if name_of(query) not in files]
    if missing:
        raise FileError(
            f"'{folder}' has no corrections of {', '.join(missing)}", "a label map with each query's name", "add them"
        )
    return {query: files[name_of(query)] for query in queries}
