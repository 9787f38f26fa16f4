"""Whether prompts with pictures teach anything: one prompt is predicted from the others."""

import numpy as np

from mvg.imaging.window import FULL_SCALE
from mvg.prediction.inference.held_out import held_out_outputs
from mvg.prediction.oddities import Oddity
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.selection.retrieval import evenly_spaced

_VOLUMES = 2  # prompts that are predicted from the others
_BODY = 0.05  # windowed intensities that count
_MOST_ERROR = 0.95  # of the error of one intensity


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
