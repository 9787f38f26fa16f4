"""The answers for slices, which are predicted one by one, are joined along the volume.

First comes a mean of logarithms of probabilities over neighboring slices, pixel by pixel: a neighbor counts the more,
the more alike its pixel looks and the better the labels of both slices overlap. So thick slices, whose labels move from
one to the next, stay as they are. Where the weights have a network (`model/through_plane.py`), it changes that mean:
the more, the better a label's outlines in neighboring slices of the prompts overlap, as what it learned of organs would
remove lesions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from mvg.model.fusion import SCALE
from mvg.model.slice_network import REACH
from mvg.model.through_plane import MULTIPLE, Answered, ThroughPlane

LEAST = float(np.exp(-12))
"""Probabilities below count as this one."""
RUN = 32
"""Slices that are joined together; those within reach of them are looked at too."""
# Chosen on training patients of nine sets: all slices, every second and every third one, see docs/log.md.
_WEIGHT = 0.3  # of a neighbor beside the slice itself, where their labels are the same
_SIMILARITY = 0.1  # difference of intensities, of the window, at which a neighbor counts e^-1/2 as much
_ROUNDS = 2
_SMALL = 20.0  # pixels that are added to both sides of an overlap
_TRUSTED = 0.4, 0.8  # continuity of a label from which on the network has an effect, and all of it
_BLOCK = 2**17  # numbers of a part of maps that is averaged at a time
_LIKELY = 0.02  # probability from which on a class is looked at
_MARGIN, _SMALLEST_BOX = 10, 32  # pixels around such ones, and of the side of a box


@dataclass(frozen=True, eq=False)
class AnsweredSlices:
    """Neighboring slices as squares: images (n, s, s), and probabilities (n, K + 1, s, s), background first.

    magnified: whether the squares show a part of the slices.
    """

    images: Float[Tensor, "n s s"]
    probabilities: Float[Tensor, "n k s s"]
    magnified: bool = False

    @cached_property
    def absent(self) -> Bool[Tensor, "n k 1 1"]:
        """The classes that the prompts of a slice lack; they stay impossible there."""
        return self.probabilities.amax(dim=(2, 3), keepdim=True) == 0

    @cached_property
    def averaged(self) -> Float[Tensor, "n k s s"]:
        """The logarithms of probabilities after each slice was averaged with those around it, twice."""
        result, weights = torch.empty_like(self.probabilities), self._weights
        for rows in _blocks(self.probabilities):
            scores = _averaged(self.probabilities[:, :, rows].clamp(min=LEAST).log(), weights[:, :, rows])
            result[:, :, rows] = scores.masked_fill_(self.absent, -torch.inf).log_softmax(dim=1)
        return result

    @property
    def _weights(self) -> Float[Tensor, "m 1 s s"]:
        """How much each slice but the last, and the one after it, count in each other's mean, pixel by pixel."""
        pairs = list(zip(self.probabilities[:-1, 1:], self.probabilities[1:, 1:], strict=True))
        both = torch.tensor([float(torch.minimum(one, other).sum()) for one, other in pairs])
        areas = self.probabilities[:, 1:].sum(dim=(1, 2, 3)).cpu()
        overlap = (both + _SMALL) / (areas[:-1] + areas[1:] - both + _SMALL)
        alike = torch.exp(-(self.images.diff(dim=0) / _SIMILARITY).square() / 2)
        return (_WEIGHT * overlap.square().to(alike)[:, None, None] * alike)[:, None]

    def boxes(self) -> dict[int, tuple[slice, slice]]:
        """The rows and columns that a network looks at, by class; none for a class that is nowhere likely."""
        likely = (self.probabilities > _LIKELY).any(dim=0)
        return {number: _box(likely[number]) for number in range(1, len(likely)) if bool(likely[number].any())}

    def maps(self, number: int, box: tuple[slice, slice]) -> Float[Tensor, "f n h w"]:
        """What a network is shown of a class; see `Answered`."""
        rows, columns = box
        part = self.probabilities[:, :, rows, columns]
        others = part[:, 1:].clone()
        others[:, number - 1] = 0
        alone, most = (_log_odds(one.clamp(min=LEAST).log()) for one in (part[:, number], others.amax(dim=1)))
        averaged = _log_odds(self.averaged[:, number, rows, columns].clamp(min=float(np.log(LEAST))))
        images = self.images[:, rows, columns]
        magnified = torch.full_like(images, float(self.magnified))
        return torch.stack([alone / SCALE, averaged / SCALE, most / SCALE, images, magnified])


def joined(slices: AnsweredSlices, network: ThroughPlane | None, trust: Sequence[float]) -> Float[Tensor, "n k s s"]:
    """The probabilities of neighboring slices after all were joined.

    trust (K,): how much of the network's changes each class gets, see `trust_in`.
    """
    scores = slices.averaged if network is None else slices.averaged.clone()
    if network is not None:
        for number, (rows, columns) in slices.boxes().items():
            if trust[number - 1] > 0:
                maps = slices.maps(number, (rows, columns))
                changed = network(maps[None].to(next(network.parameters()).device))[0].cpu()
                scores[:, number, rows, columns] += trust[number - 1] * (changed - SCALE * maps[Answered.averaged])
    result = torch.empty_like(scores)
    for rows in _blocks(scores):
        result[:, :, rows] = scores[:, :, rows].masked_fill(slices.absent, -torch.inf).softmax(dim=1)
    return result


def _averaged(scores: Float[Tensor, "n k h s"], weights: Float[Tensor, "m 1 h s"]) -> Float[Tensor, "n k h s"]:
    """The means of each slice and those beside it, as often as is usual."""
    total_weight = torch.ones_like(scores[:, :1])
    total_weight[1:] += weights
    total_weight[:-1] += weights
    for _ in range(_ROUNDS):
        total = scores.clone()
        total[1:].addcmul_(weights, scores[:-1])
        total[:-1].addcmul_(weights, scores[1:])
        scores = total.div_(total_weight)
    return scores


def _blocks(maps: Float[Tensor, "n k s s"]) -> list[slice]:
    """Rows of maps that are so few that a core's cache holds several copies of them."""
    step = max(1, _BLOCK * maps.shape[2] // maps.numel())
    return [slice(first, first + step) for first in range(0, maps.shape[2], step)]


def trust_in(continuity: Float[NDArray[np.float64], " k"]) -> tuple[float, ...]:
    """How much of a network's changes each class gets (K,): by the continuity of its labels in the prompts."""
    low, high = _TRUSTED
    return tuple(np.clip((continuity - low) / (high - low), 0, 1).tolist())


def runs(count: int, network: ThroughPlane | None) -> list[tuple[range, range]]:
    """Which slices are joined together, and the slices that are looked at for them."""
    reach = _ROUNDS + (0 if network is None else REACH)
    parts = [range(first, min(first + RUN, count)) for first in range(0, count, RUN)]
    return [(part, range(max(0, part.start - reach), min(count, part.stop + reach))) for part in parts]


def _box(likely: Bool[Tensor, "s s"]) -> tuple[slice, slice]:
    """The pixels around the likely ones, as sides that the network can take."""
    sides = list[slice]()
    for axis, length in enumerate(likely.shape):
        places = torch.nonzero(likely.any(dim=1 - axis)).flatten()
        first, last = int(places[0]) - _MARGIN, int(places[-1]) + _MARGIN
        size = min(length, max(_SMALLEST_BOX, -(-(last - first + 1) // MULTIPLE) * MULTIPLE))
        start = min(max(0, (first + last + 1 - size) // 2), length - size)
        sides.append(slice(start, start + size))
    return sides[0], sides[1]


def _log_odds(scores: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """The log-odds of logarithms of probabilities."""
    return scores - torch.log1p(-scores.exp()).clamp(min=float(np.log(LEAST)))
