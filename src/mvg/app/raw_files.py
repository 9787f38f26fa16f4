"""What `mvg degrade`, `mvg measure` and `mvg reconstruct` do: files in, files out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from mvg._atomic import atomic_file, atomic_folder, unwritable
from mvg._plugins import contributions, named
from mvg.app.display import OnProgress
from mvg.errors import FileError, PromptError, UnknownNameError
from mvg.imaging.files import read_gray, write
from mvg.imaging.folder import files_by_name, name_of
from mvg.imaging.volume import Volume
from mvg.prediction.predictor import load
from mvg.prediction.reconstruction import ReconstructionOptions
from mvg.tasks import kinds, operators
from mvg.tasks.measurement import read_measurement
from mvg.tasks.restoration import Degradation

_LEVELS = {"kspace": 4.0, "views": 60.0}  # the usual ones


def write_pairs(kind: str, clean: Sequence[Path], output: Path, level: float | None, seed: int) -> str:
    """Write a folder of prompts, whole or not at all; returns a line about it. Raises MvgErrors."""
    degradation = _degradation(kind)
    chosen = degradation.levels[0] if level is None else level
    if chosen not in degradation.levels:
        known = ", ".join(f"{known:g}" for known in degradation.levels)
        raise PromptError(f"the level {chosen:g} of {kind}", f"one of {known}", "choose one of them")
    names = [name_of(path) for path in clean]
    if len(set(names)) < len(names):
        raise PromptError("two clean images of one name", "a name for each", "rename one of them")
    if output.exists() and (output.is_file() or any(output.iterdir())):
        raise FileError(f"'{output}' exists and is not empty", "a new folder", "choose another output")
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(output, partial(unwritable, output)) as folder:
        for name in ("images", "targets"):
            (folder / name).mkdir()
        for number, (name, path) in enumerate(zip(names, clean, strict=True)):
            image = read_gray(path)
            degraded = degradation.degraded(image, chosen, np.random.default_rng([seed, number]))
            write(degraded, folder / "images" / f"{name}.nii.gz")
            write(image, folder / "targets" / f"{name}.nii.gz")
    return f"{len(names)} pairs of {kind} at level {chosen:g}"


def _degradation(kind: str) -> Degradation:
    known = {
        name: module.DEGRADATION for name, module in contributions(kinds).items() if hasattr(module, "DEGRADATION")
    }
    if kind not in known:
        raise UnknownNameError("kind of task that can degrade images", kind, known)
    degradation: Degradation = known[kind]
    return degradation


def write_raw(clean: Path, output: Path, operator: str, level: float | None, seed: int) -> None:
    """Measure an image and write the raw data. Raises MvgErrors."""
    kind = named(operators, operator).MEASUREMENT
    image = read_gray(clean)
    chosen = _LEVELS[operator] if level is None else level
    kind.check(image, chosen)
    if output.suffix not in (".h5", ".hdf5"):
        raise FileError(f"the output '{output}'", "a name that ends in .h5", "name it so")
    measurement = kind.simulate(image, chosen, np.random.default_rng(seed))
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(output, partial(unwritable, output)) as temporary, h5py.File(temporary, "w") as file:
        measurement.write(file)


@dataclass(frozen=True)
class RawRequest:
    """What `mvg reconstruct` is asked for; see its options."""

    raw: tuple[Path, ...]
    prompts: Path
    output: Path
    rounds: int
    smoothing: int
    weights: str
    device: str


def reconstruct_files(request: RawRequest, on_progress: OnProgress) -> Iterator[Path]:
    """Reconstruct and write volume after volume. All inputs are checked before the first one. Raises MvgErrors."""
    options = ReconstructionOptions(request.rounds, request.smoothing)
    measurements = {_result(request, path): read_measurement(path) for path in request.raw}
    if len(measurements) < len(request.raw):
        raise FileError("two files of raw data with one name", "a name for each", "rename one of them")
    complete = _complete(request.prompts)
    predictor = load(request.weights, request.device)
    for number, (path, measurement) in enumerate(measurements.items()):
        on_progress("reconstruction", number, len(measurements))
        write(predictor.reconstruct(measurement, complete, options), path)
        yield path
    on_progress("reconstruction", len(measurements), len(measurements))


def _result(request: RawRequest, raw: Path) -> Path:
    return request.output / f"{raw.stem}.nii.gz"


def _complete(folder: Path) -> list[Volume]:
    if not folder.is_dir():
        raise FileError(f"no folder '{folder}'", "a folder of complete images", "check the path")
    files = files_by_name(folder / "targets" if (folder / "targets").is_dir() else folder)
    if not files:
        raise PromptError(f"'{folder}' without images", "complete images of other patients", "add some")
    return [read_gray(path) for path in files.values()]
