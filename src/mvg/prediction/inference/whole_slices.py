"""What whole slices say of their labels, for magnified parts of the same slices; the answers of both are combined.

A label that one of both lacks is the other's alone: whole slices miss what is small, magnified ones what the region
holds too little of, such as a lesion that fills it. Where both show a label, its log-odds are averaged.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mvg.imaging.frame import Frame

# Chosen on training patients of 28 sets with regions about labels and six with a grid, see docs/log.md.
_LACKS = 0.25  # share of the other's pixels of a label below which it counts as missed
_ELSEWHERE = 0.2  # Dice of both below which they do not mean the same
LEAST = 1e-5
"""Probabilities below count as this one."""


@dataclass(frozen=True, eq=False)
class _Kept:
    """The probabilities of a slice: per class that is likely anywhere, the box of those pixels and what is in it."""

    boxes: dict[int, tuple[slice, slice]]
    parts: dict[int, Float[Tensor, "h w"]]
    classes: int

    @classmethod
    def of(cls, probabilities: Float[Tensor, "k s s"]) -> "_Kept":
        boxes, parts = dict[int, tuple[slice, slice]](), dict[int, Tensor]()
        for number in range(1, len(probabilities)):
            likely = probabilities[number] > LEAST
            if bool(likely.any()):
                rows, columns = (torch.nonzero(likely.any(dim=1 - axis)).flatten() for axis in range(2))
                box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
                boxes[number], parts[number] = box, probabilities[number][box].half()
        return cls(boxes, parts, len(probabilities))

    def whole(self, size: int) -> Float[Tensor, "k s s"]:
        result = torch.zeros(self.classes, size, size)
        for number, box in self.boxes.items():
            result[number][box] = self.parts[number].float()
        result[0] = 1 - result[1:].sum(dim=0)
        return result


@dataclass(frozen=True, eq=False)
class WholeSlices:
    """The probabilities of the slices of a query, which were predicted whole, by their numbers in the volume."""

    frame: Frame
    _slices: dict[int, _Kept] = field(default_factory=dict)

    def keep(self, number: int, probabilities: Float[Tensor, "k s s"]) -> None:
        """Remember a slice; background comes first. A slice that is predicted again replaces what was known."""
        self._slices[number] = _Kept.of(probabilities)

    def part(self, number: int, frame: Frame) -> Float[Tensor, "k s s"]:
        """The probabilities of a slice in another frame of it; nothing but background beyond the whole slice."""
        sides = [_side(whole, part, frame.size) for whole, part in zip(_axes(self.frame), _axes(frame), strict=True)]
        (row, rows), (column, columns) = sides
        return cropped(self._slices[number].whole(self.frame.size), (row, column), (rows, columns))


def combined(whole: Float[Tensor, "k s s"], magnified: Float[Tensor, "k s s"], weight: float) -> Float[Tensor, "k s s"]:
    """The probabilities of a magnified square from those of both, background first.

    weight: of the magnified one where both show a label, in [0, 1]; with 1 it stands alone.
    """
    if weight == 1:
        return magnified
    weights = _weights(whole, magnified, weight)[:, None, None]
    ratios = torch.lerp(_ratios(whole), _ratios(magnified), weights)
    absent = (torch.maximum(whole, magnified)[1:] == 0).all(dim=(1, 2), keepdim=True)
    return F.pad(ratios.masked_fill(absent, -torch.inf), (0, 0, 0, 0, 1, 0)).softmax(dim=0)


def cropped(
    square: Float[Tensor, "k s s"], center: tuple[float, float], sides: tuple[float, float]
) -> Float[Tensor, "k s s"]:
    """The part of a square of probabilities about a center (row, column), as a square of the same size.

    center, sides: in pixels. Beyond the square there is nothing but background, which comes first.
    """
    size = square.shape[-1]
    row, column = (2 * at / size - 1 for at in center)
    matrix = torch.tensor([[[sides[1] / size, 0.0, column], [0.0, sides[0] / size, row]]])
    grid = F.affine_grid(matrix, [1, 1, size, size], align_corners=False)
    part = F.grid_sample(square[None].float(), grid, align_corners=False)[0]
    part[0] += 1 - part.sum(dim=0)
    return part


def _ratios(probabilities: Float[Tensor, "k s s"]) -> Float[Tensor, "labels s s"]:
    """The logarithm of each label's probability divided by the background's."""
    logarithms = probabilities.clamp(min=LEAST).log()
    return logarithms[1:] - logarithms[:1]


def _weights(
    whole: Float[Tensor, "k s s"], magnified: Float[Tensor, "k s s"], weight: float
) -> Float[Tensor, " labels"]:
    """How much the magnified answer counts for each label."""
    count, first, second = len(whole), whole.argmax(dim=0).flatten(), magnified.argmax(dim=0).flatten()
    area, area_magnified = (torch.bincount(winners, minlength=count)[1:].float() for winners in (first, second))
    both = torch.bincount(first[first == second], minlength=count)[1:].float()
    weights = torch.full_like(area, weight)
    elsewhere = 2 * both < _ELSEWHERE * (area + area_magnified)
    weights[elsewhere | (area < _LACKS * area_magnified)] = 1.0
    weights[area_magnified < _LACKS * area] = 0.0
    return weights


def _axes(frame: Frame) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """Along rows and columns: where the frame's source and target begin, and their lengths."""
    source, target = frame.source, frame.target
    return (
        (source.top, source.rows, target.top, target.rows),
        (source.left, source.cols, target.left, target.cols),
    )


def _side(whole: tuple[int, int, int, int], part: tuple[int, int, int, int], size: int) -> tuple[float, float]:
    """The center and the side of another frame's square in the square of whole slices, in pixels, along one axis."""
    ends = [part[0] + (end - part[2]) * part[1] / part[3] for end in (0, size)]
    first, last = (whole[2] + (end - whole[0]) * whole[3] / whole[1] for end in ends)
    return (first + last) / 2, last - first
