"""Tuning on the prompts alone: an adapter learns to correct the model's predictions, and is kept if it does.

Every prompt volume is predicted from the others (`stacked`), so the adapter learns from errors like those in new
queries. Its members each leave some volumes out, as in the ensembles of nnU-Net, and are measured on those. That
decides how long they are trained and which share of their change is used: none where it does not help for certain.
With many volumes there are fewer members, so that each learns for longer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import nn

from mvg.model.adapter import Adapter, AdapterConfig
from mvg.model.outputs import TargetType
from mvg.prediction.adapter_choice import choose, folds_of, thresholds
from mvg.prediction.adapter_training import MemberTraining
from mvg.prediction.inference.adaptation import TaskAdapter
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.refinement.rejection import keep_thresholds
from mvg.prediction.stacked import stack

_PARTS = 3  # of the volumes; each member leaves out another one
_MANY, _MEMBERS_OF_MANY = 9, 2  # volumes, and members from that many on; the volumes of one part are not measured then
_STACKING, _TRAINING = 0.3, 0.9  # shares of the time after which all prompts are predicted, all members trained


@dataclass(frozen=True)
class Tuning:
    """The result of tuning: the mean score over the volumes before and after, as cross-validation measured it.

    measure: "IoU", or "PSNR" in dB for pictures; volumes: how many there were, and `measured` of them; steps: of
    training in all.
    """

    measure: str
    before: float
    after: float
    volumes: int
    measured: int
    steps: int

    @property
    def kept(self) -> bool:
        """Whether predictions change."""
        return self.after > self.before

    @property
    def message(self) -> str:
        """The result in one line."""
        if self.volumes < 2:
            return "nothing was tuned: with one annotated volume nothing shows whether tuning helps; give two or more"
        number = f"{self.measured} of {self.volumes}" if self.measured < self.volumes else f"{self.volumes}"
        on = f"by cross-validation over {number} volumes ({self.steps} steps)"
        digits = 3 if self.measure == "IoU" else 2
        if not self.kept:
            return f"tuning was discarded: no certain gain over a mean {self.measure} of {self.before:.{digits}f} {on}"
        return f"tuning was kept: mean {self.measure} {self.before:.{digits}f} -> {self.after:.{digits}f} {on}"


def tune(
    task: PromptedTask,
    seconds: float,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[PromptedTask, Tuning]:
    """The same task with an adapter that was trained on its prompts for `seconds`, or the task itself if none helps.

    The model stays as it is. How probable a corrected label must be in a slice, where the options name no minimum, is
    determined from volumes that a member did not learn from. `progress(seconds done, seconds)` is called often;
    `clock` returns the time in seconds.
    """
    volumes, started = len(np.unique(task.prompts.volume)), clock()
    target_type: TargetType = "labels" if task.prompts.has_labels else "image"
    measure = "IoU" if target_type == "labels" else "PSNR"
    if volumes < 2:
        return task, Tuning(measure, 0.0, 0.0, volumes, 0, 0)

    def show() -> None:
        if progress is not None:
            progress(min(round(clock() - started), round(seconds)), round(seconds))

    def has_time() -> bool:
        show()
        return clock() - started < _STACKING * seconds

    rng, (whole, *magnified) = np.random.default_rng(seed), task.adapted(None).caches
    decisive = _decisive(task)
    scales = ([] if decisive else [whole], magnified if task.options.zoom == "auto" else [])
    slices = stack(scales, task.options, rng, has_time)
    folds = folds_of(slices.volume, _PARTS, rng)[: _PARTS if volumes < _MANY else _MEMBERS_OF_MANY]
    config = AdapterConfig.of(task.model.config, target_type, len(task.prompts.values))
    device = next(task.model.parameters()).device
    warped = task.spec.sampling == "whole"
    training = MemberTraining(config, slices, warped, device, clock, show)
    trained = []
    for number, fold in enumerate(folds):
        left = started + _TRAINING * seconds - clock()
        rows = np.flatnonzero(~np.isin(slices.volume, fold))
        trained.append(training.train(rows, max(0.0, left) / (len(folds) - number), seed))
    choice = choose(slices, folds, [snapshots for snapshots, _ in trained], config)
    measured = sum(len(fold) for fold in folds)
    tuning = Tuning(measure, choice.before, choice.after, volumes, measured, sum(steps for _, steps in trained))
    if not tuning.kept:
        return task, tuning
    members = [snapshots[choice.snapshot] for snapshots, _ in trained]
    tuned = task.adapted(TaskAdapter(Adapter(config, nn.ModuleList(members)).eval(), choice.whole, choice.zoom))
    if target_type == "labels":
        zoomed, strength = (True, choice.zoom) if decisive else (False, choice.whole)
        if strength > 0:
            minimum = thresholds(slices, folds, members, strength, zoomed)
            keep_thresholds(tuned.caches[decisive], task.options, minimum)
    return tuned, tuning


def _decisive(task: PromptedTask) -> int:
    """Which of `caches` all labels come from in the end: that of a region about all of them, or 0, whole slices."""
    regions = task.zoom.regions if task.zoom is not None and task.options.zoom == "auto" else ()
    about_all = (number for number, region in enumerate(regions, 1) if region.position is None and not region.classes)
    return next(about_all, 0)
