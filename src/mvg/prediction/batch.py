"""Many query files at once: every query is answered on its own, and one that fails does not stop the others."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mvg.errors import FileProblem, MvgError, PromptProblem
from mvg.imaging.files import read, stem_of, suffix_of, write
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import Answer, PromptedTask

_DICOM = ("", ".dcm", ".dicom", ".ima")  # answers to these become NIfTI
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
_LOSSY = (".jpg", ".jpeg")
_ANYTHING = ".nii.gz"


@dataclass(frozen=True)
class Job:
    """One query and where its answer goes; uncertainty: where its uncertainty goes, None if it is not asked for."""

    query: Path
    output: Path
    uncertainty: Path | None


@dataclass(frozen=True)
class Outcome:
    """What became of a query: what was written, or one line that says what is wrong; quality: if asked for."""

    job: Job
    written: tuple[Path, ...]
    problem: str | None
    quality: float | None = None


def plan(
    queries: Sequence[Path], output: Path, answers: str, inputs: Sequence[Path] = (), extras: Sequence[str] = ()
) -> tuple[Job, ...]:
    """Where each answer goes: OUTPUT/NAME of the query, in its format; `extras` may name "uncertainty" and "quality".

    Exceptions: DICOM is answered as .nii.gz, and labels for JPEG, which would spoil them, as .png. Uncertainty is
    OUTPUT/STEM_uncertainty.nii.gz. Raises FileProblem when two answers would have one name, or an answer would
    overwrite a query or one of `inputs` (the prompts); PromptProblem for the quality of pictures.
    """
    if "quality" in extras and answers != "labels":
        raise PromptProblem("--quality for a task that answers with pictures", "a segmentation", "leave --quality out")
    jobs = tuple(_job(Path(query), Path(output), answers, extras) for query in queries)
    kept = {path.resolve() for path in (*queries, *inputs)}
    taken: dict[Path, Path] = {}
    for job in jobs:
        for path in _outputs(job):
            if path.resolve() in kept:
                raise FileProblem(
                    f"the answer to '{job.query}' would overwrite '{path}', which is read",
                    "an output folder apart from queries and prompts",
                    "choose another --output",
                )
            if path in taken:
                raise FileProblem(
                    f"the answers to '{taken[path]}' and '{job.query}' would both be called '{path.name}'",
                    "queries with different names",
                    "rename one, or answer them into different folders",
                )
            taken[path] = job.query
    return jobs


def predict_files(
    task: PromptedTask,
    jobs: Sequence[Job],
    progress: Callable[[Job, int, int], None] | None = None,
    estimate: Callable[[PromptedTask, Volume, LabelMap], float] | None = None,
) -> Iterator[Outcome]:
    """Answer one query after the other; `progress(job, slices done, slices)` while at it. Never raises for a query.

    estimate(task, query, labels): how good an answer is, noted in its outcome.
    """
    for job in jobs:
        try:
            query = read(job.query)
            answer = task(query, None if progress is None else partial(progress, job))
            written = _write(answer, query, job)
            labels = answer.volume if isinstance(answer.volume, LabelMap) else None
            quality = None if estimate is None or labels is None else estimate(task, query, labels)
        except MvgError as error:
            yield Outcome(job, (), str(error))
        except MemoryError:
            yield Outcome(
                job, (), f"'{job.query}' does not fit into memory; expected a smaller image; crop or resample it."
            )
        except Exception as error:  # a defect of ours must not cost the other queries their answers
            logging.getLogger(__name__).debug("unexpected", exc_info=error)
            said = " ".join(str(error).split())[:200]
            yield Outcome(
                job, (), f"'{job.query}' met an unexpected {type(error).__name__} ({said}); expected none; report it."
            )
        else:
            yield Outcome(job, written, None, quality)


def write_qualities(output: Path, outcomes: Sequence[Outcome]) -> tuple[Path, ...]:
    """OUTPUT/quality.csv with a row per answered query; rows of other queries that it holds already stay.

    Raises FileProblem where it cannot be written.
    """
    path, rows = output / "quality.csv", dict[str, str]()
    if path.exists():
        rows = dict(line.rsplit(",", 1) for line in path.read_text(encoding="utf-8").splitlines()[1:] if "," in line)
    rows |= {one.job.output.name: f"{one.quality:.3f}" for one in outcomes if one.quality is not None}
    if not rows:
        return ()
    fresh = path.with_suffix(".partial")
    try:
        fresh.write_text("".join(f"{name},{said}\n" for name, said in [("answer", "quality"), *rows.items()]), "utf-8")
        fresh.replace(path)
    except OSError as error:
        raise FileProblem(
            f"'{path}' cannot be written ({error.strerror or error})", "a writable file", "close or remove it"
        ) from error
    return (path,)


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """Makes the output folder and sees that files can be written there; folders left empty in the end are removed.

    Raises FileProblem where nothing can be written.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"\0")
        except OSError as error:
            raise FileProblem(
                f"nothing can be written to '{folder}' ({error.strerror or error})",
                "a writable folder with space left",
                "choose another --output, free space or change its permissions",
            ) from error
        yield
    finally:
        with suppress(OSError):  # the first one that is not empty
            for path in missing:
                path.rmdir()


def _job(query: Path, output: Path, answers: str, extras: Sequence[str]) -> Job:
    name = query.name if query.name not in ("", "..") else query.resolve().name
    if query.is_dir():
        stem, suffix = name, _ANYTHING
    else:
        stem, suffix = stem_of(name), suffix_of(name)
        if suffix in _DICOM:
            suffix = _ANYTHING
        elif suffix in _LOSSY and answers == "labels":
            suffix = ".png"
        else:
            suffix = name[len(stem) :]
    doubt = output / f"{stem}_uncertainty{_ANYTHING}" if "uncertainty" in extras else None
    return Job(query, output / f"{stem}{suffix}", doubt)


def _outputs(job: Job) -> tuple[Path, ...]:
    return (job.output,) if job.uncertainty is None else (job.output, job.uncertainty)


def _write(answer: Answer, query: Volume, job: Job) -> tuple[Path, ...]:
    write(_storable(answer, query, suffix_of(job.output)), job.output)
    if job.uncertainty is not None:
        assert answer.uncertainty is not None, "asked for with an ensemble"
        try:
            write(answer.uncertainty, job.uncertainty)
        except MvgError:
            job.output.unlink(missing_ok=True)  # all of an answer or nothing
            raise
    return _outputs(job)


def _storable(answer: Answer, query: Volume, suffix: str) -> Volume | LabelMap:
    """Pictures of 8 or 16 bits hold no more than their query's range: what lies beyond is clipped."""
    volume = answer.volume
    if isinstance(volume, LabelMap) or suffix not in _PICTURES:
        return volume
    most = 255 if query.voxels.max() <= 255 else 65535
    return Volume(np.clip(volume.voxels, 0, most), volume.affine, volume.header)
