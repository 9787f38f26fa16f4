"""Deliberately imperfect prompts: labels as a hurried hand leaves them, so that a model weighs what it is shown."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

_MAX_SHIFT = 4  # pixels of a picture of training, which has about 100
_MAX_RADIUS = 2  # of erosion and dilation


def imperfect_labels(labels: Float[Tensor, "1 s s"], rng: np.random.Generator) -> Float[Tensor, "1 s s"]:
    """A label map with one random defect: shifted, eroded, dilated, or with one of several labels forgotten.

    A map without labels stays as it is. No label vanishes by erosion: such a map is dilated instead.
    """
    values = torch.unique(labels[labels > 0])
    defect = rng.choice(["shift", "erode", "dilate", "forget"] if len(values) > 1 else ["shift", "erode", "dilate"])
    if defect == "forget":
        forgotten = values[int(rng.integers(len(values)))]
        return torch.where(labels == forgotten, torch.zeros_like(labels), labels)
    if defect == "shift":
        return _shifted(labels, rng)
    radius = int(rng.integers(1, _MAX_RADIUS + 1))
    eroded = _eroded(labels, radius)
    whole = len(torch.unique(eroded[eroded > 0])) == len(values)
    return eroded if defect == "erode" and whole else _dilated(labels, radius)


def _shifted(labels: Float[Tensor, "1 s s"], rng: np.random.Generator) -> Float[Tensor, "1 s s"]:
    """Moved by one to a few pixels along rows, columns or both; background comes in."""
    down, right = (int(step) for step in rng.integers(-_MAX_SHIFT, _MAX_SHIFT + 1, 2))
    down = down if down or right else 1
    rows, columns = labels.shape[-2:]
    padded = F.pad(labels, (_MAX_SHIFT,) * 4)
    top, left = _MAX_SHIFT - down, _MAX_SHIFT - right
    return padded[:, top : top + rows, left : left + columns]


def _dilated(labels: Float[Tensor, "1 s s"], radius: int) -> Float[Tensor, "1 s s"]:
    """Labels grow into the background alone; where two meet, the larger value wins."""
    grown = F.max_pool2d(labels, 2 * radius + 1, stride=1, padding=radius)
    return torch.where(labels > 0, labels, grown)


def _eroded(labels: Float[Tensor, "1 s s"], radius: int) -> Float[Tensor, "1 s s"]:
    """Labels lose their pixels near background; borders between labels stay."""
    background = F.max_pool2d((labels == 0).float(), 2 * radius + 1, stride=1, padding=radius)
    return torch.where(background > 0, torch.zeros_like(labels), labels)
