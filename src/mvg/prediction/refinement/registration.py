"""Labels of prompts, warped onto the query by registration, as a prior: it helps where bodies look alike, as brains do.

Prompts and query are registered as stacks of squares, which is what a task keeps of its prompts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.errors import GeometryError
from mvg.imaging.frame import extent_of
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.inference.context import PredictionContext
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.registration.register import register

# Chosen on training patients of OASIS and hippocampus, see docs/log.md.
_WEIGHT = 0.5  # of the prior's logarithms beside those of the network
_LEAST = 1e-3, 1e-2  # probabilities of network and prior below count as these
_RESEMBLANCE = 0.7  # of a prompt that was registered, from which on its labels count
_VOLUMES = 3  # prompt volumes that are registered
_FEWEST = 8  # slices of a volume
_COMPLETE = 0.5  # share of a prompt's slices that the task keeps
_BLUR = 0.6  # pixels of a square, for edges of warped labels


@dataclass(frozen=True, eq=False)
class _Stack:
    """Squares (n, s, s) of a volume in order; pixel, step: distances in mm within and between slices."""

    squares: NDArray[np.float32]
    pixel: float
    step: float

    @property
    def affine(self) -> NDArray[np.float64]:
        """From (slice, row, column) to mm, with the middle of the stack at 0: where scans lie says nothing here."""
        spacing = np.array([self.step, self.pixel, self.pixel])
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = -spacing * (np.array(self.squares.shape) - 1) / 2
        return affine

    @property
    def volume(self) -> Volume:
        return Volume(self.squares, self.affine)


def refine(context: PredictionContext, prediction: VolumePrediction) -> VolumePrediction:
    """Multiply probabilities by a power of the shares of warped labels, where prompts resemble the query.

    Pixels and probabilities are replaced in place. Nothing changes where the options do not ask for it, in volumes of
    few slices, or where the first prompt does not resemble the query once it was registered.
    """
    query = context.query
    if not context.uses_registration or prediction.probabilities is None or len(query.frames) > 1:
        return prediction
    warped = list(_warped(context)) if len(query) >= _FEWEST else []
    if not warped:
        return prediction
    for number in range(len(query)):
        labels = np.stack([volume[number] for volume in warped])
        fused = _fused(context, prediction.probabilities[:, number], labels)
        prediction.probabilities[:, number] = fused
        prediction.pixels[number] = fused.argmax(axis=0)
    return prediction


def _warped(context: PredictionContext) -> Iterator[NDArray[np.uint8]]:
    """The class numbers (n, s, s) of prompts on the query's squares; ends with the first that does not resemble it."""
    query, size = context.query, context.prompts.images.shape[-1]
    squares = np.stack([query.squares(number)[0, 0] for number in range(len(query))])
    pixel = max(extent_of((query.shape[1], query.shape[2]), context.spacing)) / size
    fixed = _Stack(squares, pixel, context.slice_distance)
    for moving, labels in _prompt_stacks(context.prompts):
        try:
            registration = register(moving.volume, fixed.volume)
        except GeometryError:  # such as images of one intensity
            return
        if registration.resemblance < _RESEMBLANCE:
            return
        yield registration.field.warp_labels(LabelMap(labels, moving.affine)).voxels.astype(np.uint8)


def _prompt_stacks(prompts: PromptSet) -> Iterator[tuple[_Stack, NDArray[np.uint8]]]:
    """The first prompt volumes of which the task keeps enough slices, each with its class numbers.

    A slice that was not kept is taken from the nearest one that was.
    """
    numbers = np.unique(prompts.volume)[:_VOLUMES]
    for number in numbers[numbers < len(prompts.scans)].tolist():
        rows, scan = np.flatnonzero(prompts.volume == number), prompts.scans[number]
        count = int(prompts.count[rows[0]])
        if count < _FEWEST or len(rows) < _COMPLETE * count:
            continue
        nearest = rows[np.abs(prompts.index[rows][:, None] - np.arange(count)).argmin(axis=0)]
        squares = prompts.image_batch(nearest.tolist())[:, 0]
        pixel = max(scan.extent) / squares.shape[-1]
        yield _Stack(squares, pixel, scan.spacing[2]), prompts.targets[nearest].astype(np.uint8)


def _fused(
    context: PredictionContext, probabilities: NDArray[np.float16], labels: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Probabilities (K + 1, rows, cols) of a slice with the prior of class numbers (m, s, s) of warped prompts."""
    frame = context.query.frames[0]
    scores = np.log(np.maximum(probabilities, _LEAST[0], dtype=np.float32))
    for number, score in enumerate(scores):
        share = (labels == number).mean(axis=0, dtype=np.float32)
        if share.any():
            share = frame.restore(ndimage.gaussian_filter(share, _BLUR))
            score += _WEIGHT * np.log(np.maximum(share, _LEAST[1]))
        else:
            score += _WEIGHT * np.log(_LEAST[1])
    scores -= scores.max(axis=0)
    fused = np.exp(scores)
    return np.asarray(fused / fused.sum(axis=0), np.float32)
