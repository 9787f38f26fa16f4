"""Made-up bodies with two organs, as MR and as CT, and predictions of them by the weights that ship."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor, load
from mvg.prediction.prompted_task import PromptedTask

SHAPE = (56, 48, 3)
AFFINE = np.array([[-3.0, 0, 0, 80], [0, 3.0, 0, -70], [0, 0, 6.0, -9], [0, 0, 0, 1]])
MR, CT = (0.0, 420.0, 900.0, 180.0), (-1000.0, 20.0, 160.0, -90.0)  # air, body, two organs
CHEST, BONE, BRAIN = (-1000.0, 20.0, -850.0, -600.0), (-1000.0, 20.0, 900.0, 500.0), (-1000.0, 38.0, 32.0, 24.0)
_NESTED = (CHEST, BONE, BRAIN)  # the second organ lies within the first
_NOISE = {MR: 20.0, BRAIN: 3.0}

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def body(seed: int, levels: tuple[float, ...] = MR, affine: NDArray[np.float64] = AFFINE) -> tuple[Volume, LabelMap]:
    """An ellipse of one intensity with two organs, labels 1 and 2, whose places and sizes depend on the seed."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, length) for length in SHAPE), indexing="ij")
    shift = rng.uniform(-0.05, 0.05, 4)
    outline = (x / 0.85) ** 2 + (y / 0.8) ** 2 < 1
    left = ((x + 0.4 + shift[0]) / 0.3) ** 2 + ((y - 0.1 + shift[1]) / 0.4) ** 2 + z**2 / 9 < 1
    inner = ((x + 0.4 + shift[0]) / 0.15) ** 2 + ((y - 0.1 + shift[3]) / 0.2) ** 2 < 1
    right = (
        inner
        if levels in _NESTED
        else ((x - 0.4 + shift[2]) / 0.25) ** 2 + ((y + 0.2 + shift[3]) / 0.25) ** 2 + z**2 / 9 < 1
    )
    labels = np.where(right & outline, 2, left & outline).astype(np.uint8)
    image = np.where(labels > 0, np.take(levels, labels + 1), np.where(outline, levels[1], levels[0]))
    image = image + rng.normal(0, _NOISE.get(levels, 12.0), SHAPE)
    image = np.abs(image) if levels == MR else image
    return Volume(np.rint(image).astype(np.float32), affine), LabelMap(labels, affine)


def changed(volume: Volume, change: Change) -> Volume:
    """The volume with changed voxels."""
    return Volume(change(np.array(volume.voxels)), volume.affine)


def same(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    """No change."""
    return voxels


@cache
def predictor() -> Predictor:
    """With the weights that ship."""
    return load("tiny", device="cpu", precision="float32")


def task_of(levels: tuple[float, ...], change: Change = same) -> PromptedTask:
    """A segmentation of both organs by two bodies, whose images were changed."""
    pairs = [body(seed, levels) for seed in (1, 2)]
    images = [changed(image, change) for image, _ in pairs]
    return predictor().prompt(images, [labels for _, labels in pairs], options=PredictionOptions(zoom="off"))


def labels_of(task: PromptedTask, query: Volume) -> NDArray[np.integer]:
    """The predicted labels."""
    prediction = task(query).volume
    assert isinstance(prediction, LabelMap)
    return prediction.voxels


def dice(predicted: NDArray[np.integer], truth: NDArray[np.integer]) -> float:
    """The lowest Dice of the labels of `truth`."""
    scores = []
    for value in np.unique(truth[truth > 0]):
        one, other = predicted == value, truth == value
        scores.append(2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other)))
    return float(min(scores))
