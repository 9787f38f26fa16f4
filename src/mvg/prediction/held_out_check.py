"""Whether prompts teach anything: some are predicted from the others."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.window import FULL_SCALE
from mvg.prediction.inference.held_out import held_out_outputs
from mvg.prediction.oddities import IDENTICAL, Oddity
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.selection.retrieval import evenly_spaced

_FEWEST = 3  # prompts, so that most agree
_MOST_NAMES = 5  # in a message
_VOLUMES = 2  # prompts that are predicted from the others
_BODY = 0.05  # windowed intensities that count
_MOST_ERROR = 0.95  # of the error of one intensity
_FEW = 4  # prompts of which each is predicted from the others
_MEETS = 0.5  # Dice of a predicted label with what it should not be
_MIRRORED = 0.65  # the same, of mirrored labels, which small ones meet by chance
_DIFFERENT = 0.5  # share of labeled pixels in which the labels of one image contradict one another
_CONTRADICTS, _AGREES = 0.2, 0.5  # Dice of a prompt that contradicts the others, and of one that agrees with them


def held_out_check(task: PromptedTask) -> tuple[Oddity, ...]:
    """An oddity where held-out prompts are predicted worse than by one intensity; none for labels or one prompt."""
    cache, prompts = task.cache, task.prompts
    volumes = np.unique(prompts.volume)
    if prompts.has_labels or len(volumes) < 2:
        return ()
    errors = []
    for volume in evenly_spaced(volumes, _VOLUMES).tolist():
        members = np.flatnonzero(prompts.volume == volume)
        number = int(members[len(members) // 2])
        (output,) = held_out_outputs(cache, task.options, volume, [number])
        inside = prompts.images[number, 0] > _BODY * FULL_SCALE
        predicted = output.mean[0].float().numpy().reshape(inside.shape)[inside]
        truth = prompts.targets[number][inside] / FULL_SCALE
        errors.append((float(((predicted - truth) ** 2).sum()), float(((truth - truth.mean()) ** 2).sum())))
    if sum(error for error, _ in errors) <= _MOST_ERROR * sum(variance for _, variance in errors):
        return ()
    message = "a held-out prompt is predicted worse from the others than by its mean intensity: the pairs teach nothing"
    return (Oddity("cross-check", message),)


def label_contradictions(task: PromptedTask) -> tuple[Oddity, ...]:
    """An oddity where a few prompts label one structure differently: with another label, mirrored or inverted.

    A slice of each is predicted from the others. A hard task is none: what counts is that another label, or the labels
    mirrored, are met clearly and the labels themselves are not. Of many prompts `contradictions` finds the wrong one.
    """
    prompts = task.prompts
    volumes = np.unique(prompts.volume)
    if not prompts.has_labels or not 2 <= len(volumes) <= _FEW:
        return ()
    same = _same_image(task)
    if same is not None:
        message = f"prompts {same[0] + 1} and {same[1] + 1} show the same image with different labels"
        return (Oddity("contradiction", message),)
    faults = {volume: fault for volume in volumes.tolist() if (fault := _fault_of(task, volume))}
    if len(volumes) == 2 and any(fault.is_exchange for fault in faults.values()):
        exchanged = {frozenset((fault.predicted, fault.present)) for fault in faults.values()}
        if len(faults) < 2 or len(exchanged) > 1:
            return ()  # labels that were exchanged are so in both directions, those that look alike seldom
    if not faults:
        return ()
    volume, fault = next(iter(faults.items()))
    others = "the other prompt" if len(volumes) == 2 else "the other prompts"
    return (Oddity("contradiction", f"prompt {volume + 1} contradicts {others}: {fault.message(prompts.values)}"),)


def _same_image(task: PromptedTask) -> tuple[int, int] | None:
    """Two prompts that have most labeled slices in common, with other labels on them."""
    prompts = task.prompts
    pictures, labeled = prompts.retrieval_index.thumbnails, prompts.classes.any(axis=1)
    for one, other in combinations(np.unique(prompts.volume).tolist(), 2):
        rows, columns = (np.flatnonzero((prompts.volume == volume) & labeled) for volume in (one, other))
        pairs = np.argwhere(pictures[rows] @ pictures[columns].T > IDENTICAL)
        if not pairs.size or len(np.unique(pairs[:, 0])) <= len(rows) / 2:
            continue
        ours, theirs = prompts.targets[rows[pairs[:, 0]]], prompts.targets[columns[pairs[:, 1]]]
        if np.count_nonzero(ours != theirs) > _DIFFERENT * np.count_nonzero((ours > 0) | (theirs > 0)):
            return one, other
    return None


@dataclass(frozen=True)
class _Fault:
    """How the labels of a slice contradict those that are predicted: kind, and the class numbers that it is about."""

    kind: str
    predicted: int
    present: int = 0

    @property
    def is_exchange(self) -> bool:
        return self.kind == "exchanged"

    def message(self, values: tuple[int, ...]) -> str:
        predicted = values[self.predicted - 1]
        if self.kind == "exchanged":
            return f"it has the label {values[self.present - 1]} where the label {predicted} is predicted from there"
        if self.kind == "mirrored":
            return "its labels look mirrored"
        return f"its label {predicted} looks inverted, as background"


def _fault_of(task: PromptedTask, volume: int) -> _Fault | None:
    """The fault of a labeled slice of a prompt, predicted from the other prompts."""
    cache, prompts = task.cache, task.prompts
    is_ours = prompts.volume == volume
    members = np.flatnonzero(is_ours & prompts.classes.any(axis=1))
    if not members.size:
        return None
    number = int(members[len(members) // 2])
    (output,) = held_out_outputs(cache, task.options, volume, [number])
    predicted, truth = output.mean[0].numpy().argmax(0), prompts.targets[number]
    fault = _fault(predicted, truth)
    if fault is None or fault.kind != "inverted":
        return fault
    others = prompts.targets[~is_ours & prompts.classes.any(axis=1)]
    share, usual = (float((targets > 0).mean()) for targets in (truth, others))
    is_inverted = len(prompts.values) == 1 and abs(share - (1 - usual)) < abs(share - usual)
    return fault if is_inverted else None  # else the image may be inverted, and its labels right


def _fault(predicted: NDArray[np.integer], truth: NDArray[np.integer]) -> _Fault | None:
    """How the class numbers of a slice (s, s) contradict those that are predicted; None where they do not."""
    for number in np.unique(predicted[predicted > 0]).tolist():
        mask = predicted == number
        if _dice(mask, truth == number) > _CONTRADICTS:
            continue
        scores = {other: _dice(mask, truth == other) for other in np.unique(truth[truth > 0]).tolist()}
        other = max(scores, key=lambda one: scores[one])
        if scores[other] > _MEETS:
            if not (truth == number).any() or _dice(predicted == other, truth == number) > _CONTRADICTS:
                return _Fault("exchanged", number, other)
            continue  # they look alike here, and only one of them was exchanged
        if any(_all_meet(predicted, np.flip(truth, axis)) for axis in (0, 1)):
            return _Fault("mirrored", number)
        if _dice(mask, truth == 0) > _MEETS:
            return _Fault("inverted", number)
    return None


def _all_meet(predicted: NDArray[np.integer], truth: NDArray[np.integer]) -> bool:
    """Whether all labels that a slice shows lie where they are predicted, as far as they are."""
    numbers = np.intersect1d(predicted[predicted > 0], truth)
    return numbers.size > 0 and all(_dice(predicted == number, truth == number) > _MIRRORED for number in numbers)


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return 2 * float((one & other).sum()) / max(1.0, float(one.sum() + other.sum()))


def contradictions(task: PromptedTask) -> tuple[Oddity, ...]:
    """Prompts whose labels contradict those of the others, as far as predictions have measured it: costs nothing.

    None before the thresholds of rejection were determined, for tasks that are hard for each prompt, and of two
    prompts, where either may be the wrong one and a hard task looks the same.
    """
    measured = {volume: dice for cache in task.caches for volume, dice in cache.held_out.items()}
    wrong = [volume for volume, dice in measured.items() if dice < _CONTRADICTS]
    if not wrong or len(measured) < _FEWEST or max(measured.values()) < _AGREES:
        return ()
    which = ", ".join(f"{volume + 1} (Dice {measured[volume]:.2f})" for volume in wrong[:_MOST_NAMES])
    plural = len(wrong) > 1
    message = (
        f"prompt{'s' * plural} {which} {'are' if plural else 'is'} not predicted from the other prompts: check that"
        f" {'their' if plural else 'its'} labels lie on {'their' if plural else 'its'} image and mean the same"
    )
    return (Oddity("cross-check", message),)
