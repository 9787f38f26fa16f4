"""Fits networks to what weights answer for training patients, and writes the weights with them as new weights."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mvg.app.display import OnProgress
from mvg.data import DataSet, sets_in
from mvg.data.held_out import HeldOut, check_held_out
from mvg.errors import FileError, PromptError
from mvg.imaging.volume import LabelMap, Volume
from mvg.model.generalist import Generalist
from mvg.model.weights import WeightsInfo, describe_weights, load_weights, save_weights
from mvg.prediction.fusion_fitting import fit_fusion
from mvg.prediction.fusion_samples import FusionSample, LabeledVolume, draw_samples
from mvg.prediction.predictor import Predictor
from mvg.prediction.through_plane_fitting import FEWEST_SLICES, AnsweredVolume, answered_volumes, fit_through_plane
from mvg.tasks.case_pair import CaseFiles, thinned

_CASES = 26  # of a set, at most
_SAMPLES = 72  # of a set, about
_GROUPS = (9, 3, 5, 2, 5)  # volumes that answer one another, in turn
_THINNED = 32  # slices of a volume that others answer, at most
_KEPT = 72  # answered volumes of a set, at most

_CARD = """{card}

## {title}

Fitted for {minutes:.3g} minutes of processor time by `mvg weights {command}` (seed {seed}) on {samples}
in the training patients of: {sets}.
"""


@dataclass(frozen=True)
class Fitting:
    """minutes: of processor time, after sampling; seed: of random choices; held_out: cases that must not be used."""

    minutes: float
    seed: int
    held_out: Sequence[HeldOut] = ()


def fit_annotated(
    folders: Sequence[Path], start: str, output: Path, how: Fitting, on_progress: OnProgress
) -> WeightsInfo:
    """Fit learnt fusion, which answers the slices between annotated slices of a volume.

    Raises FileError for a folder that exists, for held-out cases and for sets without labeled volumes.
    """
    model, rng = _loaded(start, output), np.random.default_rng(how.seed)
    samples: dict[str, list[FusionSample]] = {}
    for data_set in _sets(folders, how, on_progress):
        cases = [case for case in data_set.of_split("train").cases if case.labels is not None]
        chosen = [cases[at] for at in rng.permutation(len(cases))[:_CASES]]
        for case in chosen:
            volume = LabeledVolume.read(data_set.card, case, rng)
            if volume is not None:
                drawn = draw_samples(model, volume, max(2, _SAMPLES // len(chosen)), rng)
                samples.setdefault(data_set.card.name, []).extend(drawn)
    _check(samples)
    model.fusion = fit_fusion(samples, 60 * how.minutes, how.seed, _steps(how, on_progress))
    about = {"title": "Learnt fusion", "command": "fusion", "samples": "slices annotated at random"}
    return _saved(model, start, output, how, about | {"sets": ", ".join(sorted(samples))})


def fit_answered(
    folders: Sequence[Path], start: str, output: Path, how: Fitting, on_progress: OnProgress
) -> WeightsInfo:
    """Fit the network that looks along a volume whose prompts are other patients' images.

    Raises FileError for a folder that exists, for held-out cases and for sets without labeled volumes.
    """
    model, rng = _loaded(start, output), np.random.default_rng(how.seed)
    volumes: dict[str, list[AnsweredVolume]] = {}
    for data_set in _sets(folders, how, on_progress):
        for images, targets in _groups(data_set, rng):
            try:
                task = Predictor(model).prompt(images, targets, "segmentation")
            except PromptError:  # no label in any of them
                continue
            of_set = volumes.setdefault(data_set.card.name, [])
            of_set += list(answered_volumes(task))
            volumes[data_set.card.name] = [of_set[at] for at in sorted(rng.permutation(len(of_set))[:_KEPT])]
    _check(volumes)
    model.through_plane = fit_through_plane(volumes, 60 * how.minutes, how.seed, _steps(how, on_progress))
    about = {"title": "Along the volume", "command": "through-plane", "samples": "volumes that answer one another"}
    return _saved(model, start, output, how, about | {"sets": ", ".join(sorted(volumes))})


def _loaded(start: str, output: Path) -> Generalist:
    if output.exists():
        raise FileError(f"'{output}' exists already", "a new folder", "choose another --output")
    return load_weights(start)


def _sets(folders: Sequence[Path], how: Fitting, on_progress: OnProgress) -> Iterator[DataSet]:
    for number, folder in enumerate(folders):
        on_progress("sampling", number, len(folders))
        for data_set in sets_in(folder):
            check_held_out(data_set, folder, how.held_out)
            yield data_set
    on_progress("sampling", len(folders), len(folders))


def _groups(data_set: DataSet, rng: np.random.Generator) -> Iterator[tuple[list[Volume], list[LabelMap]]]:
    """Labeled volumes of training patients, of each patient one, in groups of different size."""
    by_patient = {case.patient: case for case in data_set.of_split("train").cases if case.labels is not None}
    cases = [by_patient[patient] for patient in sorted(by_patient)]
    chosen = [cases[at] for at in rng.permutation(len(cases))[:_CASES]]
    first, turn = 0, 0
    while first + 2 <= len(chosen):
        group = chosen[first : first + _GROUPS[turn % len(_GROUPS)]]
        first, turn = first + len(group), turn + 1
        images, targets = list[Volume](), list[LabelMap]()
        for case in group:
            files = CaseFiles(case, data_set.card)
            image, labels = files.image(int(rng.integers(len(case.images)))), files.labels()
            if labels is not None and len(image.pictures(image.plane)) >= FEWEST_SLICES:
                images.append(thinned(image, image.plane, _THINNED))
                targets.append(thinned(labels, image.plane, _THINNED))
        if len(images) >= 2:
            yield images, targets


def _check(samples: object) -> None:
    if not samples:
        raise FileError("no labeled volume in the sets", "volumes of at least four labeled slices", "name other sets")


def _steps(how: Fitting, on_progress: OnProgress) -> Callable[[float, float], None]:
    total = round(60 * how.minutes)
    return lambda seconds, _loss: on_progress("fitting", min(round(seconds), total), total)


def _saved(model: Generalist, start: str, output: Path, how: Fitting, about: dict[str, str]) -> WeightsInfo:
    card = describe_weights(start).card.rstrip()
    return save_weights(model, output, _CARD.format(card=card, minutes=how.minutes, seed=how.seed, **about))
