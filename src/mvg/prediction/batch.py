"""Many query files at once: each query is predicted alone, and one that fails does not stop the others."""

import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mvg.errors import FileError, MvgError, PromptError
from mvg.imaging.files import stem_of, suffix_of
from mvg.imaging.formats import LOSSY, dicom
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window
from mvg.prediction.output_files import (
    PICTURE_SUFFIXES,
    classes_file,
    fits_picture,
    write_probabilities,
    write_volume,
)
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.prompts.channels import read_channels
from mvg.prediction.queries import Query, name_of_export
from mvg.prediction.result import Prediction

_DICOM = ("", *dicom.SUFFIXES)  # predictions for these become NIfTI
_NIFTI = ".nii.gz"

Estimate = Callable[[PromptedTask, Volume, LabelMap], float]
"""Estimates the quality of the labels that a task predicted for a query."""


@dataclass(frozen=True)
class Job:
    """One query and the files of its prediction; uncertainty and probabilities are None if not asked for.

    series: which DICOM series of the query, see `mvg.read`.
    """

    query: Path
    output: Path
    uncertainty: Path | None = None
    probabilities: Path | None = None
    series: str = ""

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that are written for the query."""
        classes = None if self.probabilities is None else classes_file(self.probabilities)
        return tuple(path for path in (self.output, self.uncertainty, self.probabilities, classes) if path is not None)


@dataclass(frozen=True)
class Outcome:
    """The result of a job: the files that were written, or one line about the error; quality: if asked for."""

    job: Job
    written: tuple[Path, ...]
    error: str | None
    quality: float | None = None


def plan(
    queries: Sequence[Path | Query],
    output: Path,
    target_type: str,
    inputs: Sequence[Path] = (),
    extras: Collection[str] = (),
    scale: Window | None = None,
) -> tuple[Job, ...]:
    """Where each prediction goes: OUTPUT/NAME of the query, in its format.

    Exceptions: predictions for DICOM become .nii.gz; labels for JPEG, which would spoil them, become .png; pictures on
    a `scale` that the query's format cannot hold (see `scale_of`) become .tif. extras: of "uncertainty",
    "probabilities" and "quality"; the first two go to OUTPUT/STEM_EXTRA.nii.gz. inputs: the files of the prompts.

    Raises FileError when two predictions would have one name or one would overwrite a query or an input; PromptError
    for extras that the target type does not have.
    """
    for extra in ("quality", "probabilities"):
        if extra in extras and target_type != "labels":
            raise PromptError(f"{extra} of a task that predicts pictures", "a segmentation", f"ask for no {extra}")
    known = [query if isinstance(query, Query) else Query(Path(query)) for query in queries]
    jobs = tuple(_job(query, Path(output), target_type, extras, scale) for query in known)
    _check_names(jobs, (*(query.path for query in known), *inputs))
    return jobs


def scale_of(task: PromptedTask) -> Window | None:
    """The raw intensities of the targets where predictions are on their scale, as in synthesis; else None."""
    is_on_target_scale = task.spec.target_type == "image" and not task.spec.residual
    return task.prompts.target_window if is_on_target_scale else None


def predict_files(
    task: PromptedTask,
    jobs: Sequence[Job],
    progress: Callable[[Job, int, int], None] | None = None,
    estimate: Estimate | None = None,
) -> Iterator[Outcome]:
    """Predict one query after the other; an error is an outcome and never raised.

    progress(job, slices done, slices) is called during a job; estimate: of the quality, part of the outcome.
    """

    def predict_file(job: Job) -> Outcome:
        return _predict_file(task, job, None if progress is None else partial(progress, job), estimate)

    return run_jobs(jobs, predict_file)


def run_jobs(jobs: Sequence[Job], predict_file: Callable[[Job], Outcome]) -> Iterator[Outcome]:
    """The outcome of one job after the other; an error is an outcome and never raised."""
    for job in jobs:
        try:
            yield predict_file(job)
        except MvgError as error:
            yield Outcome(job, (), str(error))
        except MemoryError:
            yield Outcome(
                job, (), f"'{job.query}' does not fit into memory; expected a smaller image; crop or resample it."
            )
        except Exception as error:  # a defect of mvg must not cost the other queries their predictions
            yield Outcome(
                job, (), f"'{job.query}' met an unexpected {_location(error)}; expected none; report this line."
            )


def _predict_file(
    task: PromptedTask, job: Job, progress: Callable[[int, int], None] | None, estimate: Estimate | None
) -> Outcome:
    query = read_channels(job.query, task.model.config.inputs, job.series)
    prediction = task(query, progress)
    labels = prediction.volume if isinstance(prediction.volume, LabelMap) else None
    quality = None if estimate is None or labels is None else estimate(task, query, labels)
    written = list[Path]()
    try:
        for path in _write(prediction, query, job, scale_of(task)):
            written.append(path)
    except MvgError:
        for path in written:  # all files of a prediction or none
            path.unlink(missing_ok=True)
        raise
    return Outcome(job, tuple(written), None, quality)


def _write(prediction: Prediction, query: Volume, job: Job, scale: Window | None) -> Iterator[Path]:
    """Writes the files of a prediction one by one and yields their paths."""
    write_volume(prediction.volume, job.output, query, scale)
    yield job.output
    if job.uncertainty is not None:
        assert prediction.uncertainty is not None, "the options ask for it"
        write_volume(prediction.uncertainty, job.uncertainty, query, None)
        yield job.uncertainty
    if job.probabilities is not None:
        assert prediction.probabilities is not None, "the options ask for it"
        write_probabilities(prediction.probabilities, job.probabilities)
        yield from (job.probabilities, classes_file(job.probabilities))


def _location(error: Exception) -> str:
    """The error and the line that raised it, at most 250 characters."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}: {error}"
    return " ".join(text.split())[:250]


def _job(query: Query, output: Path, target_type: str, extras: Collection[str], scale: Window | None) -> Job:
    stem, suffix = _name(query.path, target_type, scale)
    stem = query.name or stem
    files = {
        extra: output / f"{stem}_{extra}{_NIFTI}" if extra in extras else None
        for extra in ("uncertainty", "probabilities")
    }
    return Job(query.path, output / f"{stem}{suffix}", files["uncertainty"], files["probabilities"], query.series)


def _name(query: Path, target_type: str, scale: Window | None) -> tuple[str, str]:
    """The stem and the suffix of a prediction's file."""
    name, suffix = query.name, suffix_of(query)
    if query.is_dir() or suffix in _DICOM:
        return name_of_export(query), _NIFTI
    stem = stem_of(name)
    if suffix in LOSSY and target_type == "labels":
        return stem, ".png"
    if suffix in PICTURE_SUFFIXES and scale is not None and not fits_picture(suffix, scale):
        return stem, ".tif"
    return stem, name[len(stem) :]


def _check_names(jobs: Sequence[Job], inputs: Sequence[Path]) -> None:
    """Raises FileError where a file would be written twice or over an input."""
    protected = {path.resolve() for path in inputs}
    query_of: dict[Path, Path] = {}
    for job in jobs:
        for path in job.outputs:
            if path.resolve() in protected:
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
