"""Many query files at once: each query is predicted alone, and one that fails does not stop the others."""

import logging
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mvg._remote import Address, fetch, is_url, public
from mvg.errors import FileError, MvgError, PromptError
from mvg.imaging.files import stem_of
from mvg.imaging.volume import Volume
from mvg.imaging.window import Window
from mvg.prediction.answer_summary import AnswerSummary, summarize
from mvg.prediction.oddities import answer_oddities, query_oddities, report_oddities
from mvg.prediction.output_files import classes_file, write_probabilities
from mvg.prediction.output_formats import BY_QUERY, FormatOptions, Output, format_for, is_export, write_outlines
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.prompts.channels import read_channels
from mvg.prediction.prompts.pairs import fit_channels
from mvg.prediction.quality import quality_of
from mvg.prediction.queries import Query, name_of_export
from mvg.prediction.result import Prediction

_NIFTI = ".nii.gz"


@dataclass(frozen=True)
class Job:
    """One query and the files of its prediction; uncertainty, probabilities and outlines are None if not asked for.

    series: which DICOM series of the query, see `mvg.read`; written_as: how the prediction is written;
    strict: whether what is odd is refused. url: where the query is fetched from, "" for a file of this machine;
    corrections: the label map, at a path or URL, whose slices stay, None without corrections.
    """

    query: Path
    output: Path
    uncertainty: Path | None = None
    probabilities: Path | None = None
    outlines: Path | None = None
    series: str = ""
    written_as: FormatOptions = BY_QUERY
    strict: bool = False
    url: str = ""
    corrections: Address | None = None

    @property
    def name(self) -> str:
        """Of the query, for messages; of one series or volume of it, with the file of its prediction."""
        return f"{self.query.name} ({self.output.name})" if self.series else self.query.name

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that are written for the query."""
        classes = None if self.probabilities is None else classes_file(self.probabilities)
        every = (self.output, self.uncertainty, self.probabilities, classes, self.outlines)
        return tuple(path for path in every if path is not None)


@dataclass(frozen=True)
class Outcome:
    """The result of a job: the files that were written, or one line about the error.

    quality: the estimated Dice of labels; summary: for the report, None for what failed; oddities: what was said about
    the query, a line each; is_kept: whether the files were there already and nothing was predicted.
    """

    job: Job
    written: tuple[Path, ...]
    error: str | None
    quality: float | None = None
    summary: AnswerSummary | None = None
    oddities: tuple[str, ...] = ()
    is_kept: bool = False


def plan(
    queries: Sequence[Path | Query],
    output: Path,
    target_type: str,
    inputs: Sequence[Path] = (),
    extras: Collection[str] = (),
    scale: Window | None = None,
    written_as: FormatOptions = BY_QUERY,
) -> tuple[Job, ...]:
    """Where each prediction goes: OUTPUT/NAME of the query, and what its format adds.

    extras: of "uncertainty", "probabilities" and "quality"; the first two go to OUTPUT/STEM_EXTRA.nii.gz, or as the
    format has it. inputs: the files of the prompts. scale: of pictures, see `scale_of`. written_as: the format.

    Raises FileError when two predictions would have one name or one would overwrite a query or an input, or for a
    format that the query cannot have; PromptError for extras or a format that the target type does not have.
    """
    for extra in ("quality", "probabilities"):
        if extra in extras and target_type != "labels":
            raise PromptError(f"{extra} of a task that predicts pictures", "a segmentation", f"ask for no {extra}")
    known = [query if isinstance(query, Query) else Query(Path(query)) for query in queries]
    if written_as.outlines and target_type != "labels":
        raise PromptError("outlines of a task that predicts pictures", "a segmentation", "leave --outlines out")
    jobs = tuple(_job(query, Path(output), target_type, extras, scale, written_as) for query in known)
    _check_names(jobs, (*(query.path for query in known if not query.url), *inputs))
    return jobs


def scale_of(task: PromptedTask) -> Window | None:
    """The raw intensities of the targets where predictions are on their scale, as in synthesis; else None."""
    is_on_target_scale = task.spec.target_type == "image" and not task.spec.residual
    return task.prompts.target_window if is_on_target_scale else None


def predict_files(
    task: PromptedTask,
    jobs: Sequence[Job],
    progress: Callable[[Job, int, int], None] | None = None,
) -> Iterator[Outcome]:
    """Predict one query after the other; an error is an outcome and never raised.

    progress(job, slices done, slices) is called during a job.
    """
    return run_jobs(jobs, lambda job: predict_file(task, job, progress))


def run_jobs(jobs: Sequence[Job], predict: Callable[[Job], Outcome]) -> Iterator[Outcome]:
    """The outcome of one job after the other; an error is an outcome and never raised."""
    for job in jobs:
        with _notes() as notes:
            outcome = _outcome(job, predict)
        yield replace(outcome, oddities=(*outcome.oddities, *notes))


def _outcome(job: Job, predict: Callable[[Job], Outcome]) -> Outcome:
    try:
        return predict(job)
    except MvgError as error:
        return Outcome(job, (), str(error))
    except MemoryError:
        message = f"'{job.query}' does not fit into memory; expected a smaller image; crop or resample it."
        return Outcome(job, (), message)
    except Exception as error:  # a defect of mvg must not cost the other queries their predictions
        message = f"'{job.query}' met an unexpected {_location(error)}; expected none; report this line."
        return Outcome(job, (), message)


class _Notes(logging.Handler):
    """Collects what mvg's loggers say."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines = list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(" ".join(record.getMessage().split()))


@contextmanager
def _notes() -> Iterator[list[str]]:
    """What is said in the block, besides where it goes otherwise."""
    logger, handler = logging.getLogger("mvg"), _Notes()
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)


def predict_file(task: PromptedTask, job: Job, progress: Callable[[Job, int, int], None] | None) -> Outcome:
    """Predict one query and write its files. Raises what `run_jobs` makes an outcome of."""
    if job.url:
        return with_files_fetched(job, lambda one: predict_file(task, one, progress))
    query = task.prompts.posed(read_channels(job.query, task.model.config.inputs, job.series))
    checked = fit_channels(query, task.model.config.inputs, "the query")
    report_oddities(job.name, query_oddities(checked, task.prompts, task.spec), job.strict)
    prediction = task(query, None if progress is None else partial(progress, job))
    report_oddities(job.name, answer_oddities(prediction.volume, query), job.strict)
    return written_outcome(prediction, query, job, scale_of(task))


def written_outcome(prediction: Prediction, query: Volume, job: Job, scale: Window | None = None) -> Outcome:
    """Write the files of a prediction, all or none. Raises FileError, GeometryError."""
    quality = quality_of(prediction)
    written = write_prediction(prediction, query, job, scale)
    summary = summarize(prediction, query, quality.by_label if quality else None)
    return Outcome(job, written, None, quality.mean if quality else None, summary)


def with_files_fetched(job: Job, predict: Callable[[Job], Outcome]) -> Outcome:
    """Predict a job whose query or corrections lie at URLs: each is fetched whole, or not at all, and removed."""
    with tempfile.TemporaryDirectory(prefix="mvg-query-") as folder:
        local, addresses = job, dict[str, str]()
        if job.url:
            path = fetch(job.url, Path(folder) / "query")
            local, addresses = replace(local, query=path, url=""), {str(path): public(job.url)}
        if job.corrections is not None and is_url(job.corrections):
            path = fetch(job.corrections, Path(folder) / "corrections")
            local, addresses = replace(local, corrections=path), addresses | {str(path): public(job.corrections)}
        outcome = _outcome(local, predict)
    error = outcome.error
    for path_text, address in addresses.items():
        error = error and error.replace(path_text, address)
    return replace(outcome, job=job, error=error)


def write_prediction(prediction: Prediction, query: Volume, job: Job, scale: Window | None) -> tuple[Path, ...]:
    """Write all files of a prediction or none; returns their paths. Raises FileError, GeometryError."""
    written = list[Path]()
    try:
        for path in _write(prediction, query, job, scale):
            written.append(path)
    except MvgError:
        for path in written:
            _remove(path)
        raise
    return tuple(written)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _write(prediction: Prediction, query: Volume, job: Job, scale: Window | None) -> Iterator[Path]:
    """Writes the files of a prediction one by one and yields their paths."""
    output = Output(prediction.volume, query, job.query, job.series, scale, job.written_as)
    file_format = format_for(job.written_as.format, job.query)
    file_format.write(output, job.output)
    yield job.output
    if job.uncertainty is not None:
        assert prediction.uncertainty is not None, "the options ask for it"
        file_format.write_uncertainty(prediction.uncertainty, output, job.uncertainty)
        yield job.uncertainty
    if job.probabilities is not None:
        assert prediction.probabilities is not None, "the options ask for it"
        write_probabilities(prediction.probabilities, job.probabilities)
        yield from (job.probabilities, classes_file(job.probabilities))
    if job.outlines is not None:
        write_outlines(output, job.outlines)
        yield job.outlines


def _location(error: Exception) -> str:
    """The error and the line that raised it, at most 250 characters."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}: {error}"
    return " ".join(text.split())[:250]


def _job(
    query: Query,
    output: Path,
    target_type: str,
    extras: Collection[str],
    scale: Window | None,
    written_as: FormatOptions,
) -> Job:
    file_format, path = format_for(written_as.format, query.path), query.path
    stem = query.name or (name_of_export(path) if is_export(path) else stem_of(path.name))
    if written_as.outlines and not is_export(path):
        raise FileError(f"outlines for '{path}'", "a DICOM query", "leave --outlines out")
    return Job(
        path,
        output / f"{stem}{file_format.suffix(path, target_type, scale)}",
        output / f"{stem}{file_format.uncertainty_suffix(path)}" if "uncertainty" in extras else None,
        output / f"{stem}_probabilities{_NIFTI}" if "probabilities" in extras else None,
        output / f"{stem}_outlines" if written_as.outlines else None,
        query.series,
        written_as,
        url=query.url,
    )


def _check_names(jobs: Sequence[Job], inputs: Sequence[Path]) -> None:
    """Raises FileError where a file would be written twice or over an input."""
    protected = {os.path.realpath(path) for path in inputs}  # which, unlike `resolve`, ends at a loop of links
    query_of: dict[Path, Path] = {}
    for job in jobs:
        for path in job.outputs:
            if os.path.realpath(path) in protected:
                raise FileError(
                    f"the prediction for '{job.query}' would overwrite the input '{path}'",
                    "an output folder without queries and prompts",
                    "choose another output folder",
                )
            if path in query_of:
                raise FileError(
                    f"the predictions for '{query_of[path]}' and '{job.query}' would both be called '{path.name}'",
                    "queries with different names",
                    "rename one, or predict them into different folders",
                )
            query_of[path] = job.query
