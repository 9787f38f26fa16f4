"""Many query files at once: every query is answered on its own, and one that fails does not stop the others."""

import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mvg._atomic import atomic_file
from mvg.errors import FileError, MvgError, PromptError
from mvg.imaging.files import read, stem_of, suffix_of, write
from mvg.imaging.formats import LOSSY
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window
from mvg.prediction.predictor import Prediction, PromptedTask

_DICOM = ("", ".dcm", ".dicom", ".ima")  # answers to these become NIfTI
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
_MOST = (255, 65535)  # of 8 and of 16 bits
_GRAYS = 16  # fewer whole numbers than that are no picture
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
    queries: Sequence[Path],
    output: Path,
    answers: str,
    inputs: Sequence[Path] = (),
    extras: Sequence[str] = (),
    scale: Window | None = None,
) -> tuple[Job, ...]:
    """Where each answer goes: OUTPUT/NAME of the query, in its format; `extras` may name "uncertainty" and "quality".

    Exceptions: DICOM is answered as .nii.gz, labels for JPEG, which would spoil them, as .png, and pictures on a
    `scale` of their own that the query's format cannot hold (see `scale_of`) as .tif. Uncertainty is
    OUTPUT/STEM_uncertainty.nii.gz. Raises FileError when two answers would have one name, or an answer would
    overwrite a query or one of `inputs` (the prompts); PromptError for the quality of pictures.
    """
    if "quality" in extras and answers != "labels":
        raise PromptError("--quality for a task that answers with pictures", "a segmentation", "leave --quality out")
    jobs = tuple(_job(Path(query), Path(output), answers, extras, scale) for query in queries)
    kept = {path.resolve() for path in (*queries, *inputs)}
    taken: dict[Path, Path] = {}
    for job in jobs:
        for path in _outputs(job):
            if path.resolve() in kept:
                raise FileError(
                    f"the answer to '{job.query}' would overwrite '{path}', which is read",
                    "an output folder apart from queries and prompts",
                    "choose another --output",
                )
            if path in taken:
                raise FileError(
                    f"the answers to '{taken[path]}' and '{job.query}' would both be called '{path.name}'",
                    "queries with different names",
                    "rename one, or answer them into different folders",
                )
            taken[path] = job.query
    return jobs


def scale_of(task: PromptedTask) -> Window | None:
    """The raw intensities of answers that have a scale of their own, as targets of a synthesis have; else None."""
    own = task.spec.target_type == "image" and not task.spec.residual
    return task.prompts.target_window if own else None


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
            labels = answer.volume if isinstance(answer.volume, LabelMap) else None
            quality = None if estimate is None or labels is None else estimate(task, query, labels)
            written = _write(answer, query, job, scale_of(task))
        except MvgError as error:
            yield Outcome(job, (), str(error))
        except MemoryError:
            yield Outcome(
                job, (), f"'{job.query}' does not fit into memory; expected a smaller image; crop or resample it."
            )
        except Exception as error:  # a defect of ours must not cost the other queries their answers
            at = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__} in {Path(at.filename).name}, line {at.lineno}: {error}"
            said = " ".join(said.split())[:250]
            yield Outcome(job, (), f"'{job.query}' met an unexpected {said}; expected none; report this line.")
        else:
            yield Outcome(job, written, None, quality)


def write_qualities(output: Path, outcomes: Sequence[Outcome]) -> tuple[Path, ...]:
    """OUTPUT/quality.csv with a row per answered query; rows of other queries that it holds already stay.

    Raises FileError where it cannot be written.
    """
    path = output / "quality.csv"
    new = {one.job.output.name: f"{one.quality:.3f}" for one in outcomes if one.quality is not None}
    if not new:
        return ()
    try:
        held = path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else []
        rows = dict(line.rsplit(",", 1) for line in held if "," in line) | new
        lines = [f"{name},{value}\n" for name, value in [("answer", "quality"), *rows.items()]]
        with atomic_file(path) as temporary:
            temporary.write_text("".join(lines), "utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(
            f"'{path}' cannot be read and written again ({getattr(error, 'strerror', None) or error})",
            "a file that 'mvg predict --quality' wrote",
            "close, move or remove it",
        ) from error
    return (path,)


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """Makes the output folder and sees that files can be written there; folders left empty in the end are removed.

    Raises FileError where nothing can be written.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"\0")
        except OSError as error:
            raise FileError(
                f"nothing can be written to '{folder}' ({error.strerror or error})",
                "a writable folder with space left",
                "choose another --output, free space or change its permissions",
            ) from error
        yield
    finally:
        with suppress(OSError):  # the first one that is not empty
            for path in missing:
                path.rmdir()


def _job(query: Path, output: Path, answers: str, extras: Sequence[str], scale: Window | None) -> Job:
    name = query.name if query.name not in ("", "..") else query.resolve().name
    if query.is_dir():
        stem, suffix = name, _ANYTHING
    else:
        stem, suffix = stem_of(name), suffix_of(name)
        if suffix in _DICOM:
            suffix = _ANYTHING
        elif suffix in LOSSY and answers == "labels":
            suffix = ".png"
        elif suffix in _PICTURES and scale is not None and not _holds(suffix, scale):
            suffix = ".tif"
        else:
            suffix = name[len(stem) :]
    doubt = output / f"{stem}_uncertainty{_ANYTHING}" if "uncertainty" in extras else None
    return Job(query, output / f"{stem}{suffix}", doubt)


def _holds(suffix: str, scale: Window) -> bool:
    """Whether a picture format of whole numbers can hold the scale."""
    most = _MOST[-1] if suffix == ".png" else _MOST[0]
    return scale.low >= 0 and scale.high <= most and scale.high - scale.low >= _GRAYS


def _outputs(job: Job) -> tuple[Path, ...]:
    return (job.output,) if job.uncertainty is None else (job.output, job.uncertainty)


def _write(answer: Prediction, query: Volume, job: Job, scale: Window | None) -> tuple[Path, ...]:
    write(_storable(answer, query, suffix_of(job.output), scale), job.output)
    if job.uncertainty is not None:
        assert answer.uncertainty is not None, "asked for with an ensemble"
        try:
            write(answer.uncertainty, job.uncertainty)
        except MvgError:
            job.output.unlink(missing_ok=True)  # all of an answer or nothing
            raise
    return _outputs(job)


def _storable(answer: Prediction, query: Volume, suffix: str, scale: Window | None) -> Volume | LabelMap:
    """Pictures of 8 or 16 bits hold no more than their query's range, or the scale's: what lies beyond is clipped."""
    volume = answer.volume
    if isinstance(volume, LabelMap) or suffix not in _PICTURES:
        return volume
    top = query.voxels.max() if scale is None else scale.high
    most = next((bits for bits in _MOST if top <= bits), _MOST[-1])
    return Volume(np.clip(volume.voxels, 0, most), volume.affine, volume.header)
