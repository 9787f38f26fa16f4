"""How a void is filled at a slice's own resolution: smoothly from edge to edge, and as the other side of the body is.

Many bodies are about the same on both sides, and voids seldom are. The picture is mirrored about the line that it is
most alike about, and moved a little to fit about each void. What it then shows beyond a smooth fill is what the void
may have held. How much of that is believed depends on how alike the sides are, as a whole and about the void: nothing
where they are not.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from mvg.model.ridge import BODY, filled_smoothly

_SIDE = 64  # pixels of the square in which the line is looked for
_SHIFTS, _TURNS = torch.arange(-5, 5.1, 0.75), torch.arange(-9, 9.1, 3)  # of the line: pixels, degrees
_FEWEST = 20  # pixels, fewer tell nothing of likeness
_REACH = 1 / 64  # of the picture's side: how far the mirrored picture moves to fit, and what is coarse in it
_STAY = 0.004  # correlation that a pixel (of 256 a side) farther must bring
_COARSE, _FINE = 0.7, 0.3  # shares of coarse and fine detail that errors are least with, where sides are alike
_WHOLE, _ROUND = (0.6, 0.72), (0.2, 0.5)  # correlations of the sides: none is believed up to here, all from here on


def smooth(picture: NDArray[np.float32], hole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A picture (rows, cols) in [0, 1] whose `hole` goes smoothly from one edge of the body about it to the other."""
    side = 1 << (max(picture.shape) - 1).bit_length()
    shown = (picture > BODY) & ~ndimage.binary_dilation(hole)
    square, seen = (_square(part, side)[None, None] for part in (picture, shown))
    full = filled_smoothly(square, seen)[0, 0, : picture.shape[0], : picture.shape[1]]
    return np.where(hole, full.numpy(), picture)


class OtherSide(NamedTuple):
    """What the other side of a picture (rows, cols) in [0, 1] tells of a hole in it.

    share: how much of it is believed, from 0 to 1; detail: that share of what it adds to a smooth fill, 0 elsewhere;
    body: where it shows some; bare: where there is none about, if all is believed.
    """

    share: float
    detail: NDArray[np.float32]
    body: NDArray[np.bool_]
    bare: NDArray[np.bool_]


def other_side(picture: NDArray[np.float32], hole: NDArray[np.bool_]) -> OtherSide:
    """What the other side of a picture (rows, cols) in [0, 1] tells of its `hole`."""
    nothing = OtherSide(0.0, np.zeros_like(picture), np.zeros_like(hole), np.zeros_like(hole))
    line = _mirror_line(picture, hole)
    if line is None:
        return nothing
    alike, places = line
    mirrored = ndimage.map_coordinates(picture, places, order=1)
    gone = ndimage.map_coordinates(hole.astype(np.float32), places, order=1) > 0.05
    fitting, round_it = _fitted(picture, mirrored, hole)
    share = _ramp(alike, _WHOLE) * _ramp(round_it, _ROUND)
    if share == 0:
        return nothing
    told = hole & ~gone
    detail = np.where(told, fitting - smooth(fitting, hole), 0)
    reach = _REACH * max(picture.shape)
    coarse = ndimage.gaussian_filter(detail, reach)
    detail = np.where(hole, share * (_COARSE * coarse + _FINE * (detail - coarse)), 0)
    body = fitting > BODY
    about = ndimage.binary_dilation(body | gone, iterations=max(1, round(2 * reach)))
    return OtherSide(share, detail, told & body, hole & ~about if share == 1 else nothing.bare)


def _square(part: NDArray[np.generic], side: int) -> Float[Tensor, "s s"]:
    return torch.from_numpy(np.pad(part, [(0, side - length) for length in part.shape]).astype(np.float32))


def _mirror_line(
    picture: NDArray[np.float32], hole: NDArray[np.bool_]
) -> tuple[float, tuple[NDArray[np.float32], NDArray[np.float32]]] | None:
    """How alike (correlation) the sides of a picture are, and the row and column (rows, cols) that each pixel has on
    the other side; None where there is hardly a body. The line is about upright and about in the body's middle.
    """
    largest, shown = max(picture.shape), ~ndimage.binary_dilation(hole, iterations=2)
    both = torch.stack([_square(part, largest) for part in (picture, shown)])[None]
    both = F.interpolate(both, (_SIDE, _SIDE), mode="area")
    body = (both[0, 0] > BODY).float()
    if body.sum() < _FEWEST:
        return None
    number = torch.arange(_SIDE, dtype=torch.float32)
    middle = (body * number).sum() / body.sum(), (body * number[:, None]).sum() / body.sum()
    _, shift, turn = _likest(both, middle, _SHIFTS, _TURNS)
    alike, shift, turn = _likest(both, middle, shift + torch.arange(-0.5, 0.6, 0.25), turn + torch.arange(-2, 2.1, 1))
    scale, sin, cos = largest / _SIDE, math.sin(math.radians(turn)), math.cos(math.radians(turn))
    rows, cols = np.indices(picture.shape, dtype=np.float32)
    column, row = ((float(part) + 0.5) * scale - 0.5 for part in (middle[0] + shift, middle[1]))
    across = (cols - column) * cos + (rows - row) * sin
    return alike, (rows - 2 * across * sin, cols - 2 * across * cos)


def _likest(
    both: Float[Tensor, "1 two s s"], middle: tuple[Tensor, Tensor], shifts: Float[Tensor, " n"],
    turns: Float[Tensor, " m"],
) -> tuple[float, float, float]:  # fmt: skip
    """The correlation of the picture with its mirror image where both are shown, and the line's shift and turn, where
    that is largest.
    """
    shift, turn = torch.cartesian_prod(shifts, turns).T[:, :, None, None]
    row, column = torch.meshgrid(*[torch.arange(_SIDE, dtype=torch.float32)] * 2, indexing="ij")
    sin, cos = torch.deg2rad(turn).sin(), torch.deg2rad(turn).cos()
    across = (column - middle[0] - shift) * cos + (row - middle[1]) * sin
    places = torch.stack([column - 2 * across * cos, row - 2 * across * sin], dim=-1)
    seen = F.grid_sample(both.expand(len(places), -1, -1, -1), (2 * places + 1) / _SIDE - 1, align_corners=False)
    own, other = both[:, 0], seen[:, 0]
    told = ((torch.maximum(own, other) > BODY) & (both[:, 1] > 0.9) & (seen[:, 1] > 0.9)).float()
    count = told.sum((1, 2), keepdim=True).clamp(min=1)
    own, other = (told * (part - (told * part).sum((1, 2), keepdim=True) / count) for part in (own, other))
    size = (own.square().sum((1, 2)) * other.square().sum((1, 2))).sqrt()
    likeness = (own * other).sum((1, 2)) / size.clamp(min=1e-6)
    best = int(likeness.argmax())
    return float(likeness[best]), float(shift[best]), float(turn[best])


def _fitted(
    picture: NDArray[np.float32], mirrored: NDArray[np.float32], hole: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], float]:
    """The mirrored picture, moved about each part of the hole to fit best round it; how well it does (correlation)."""
    reach = max(1, round(_REACH * max(picture.shape)))
    moves = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    cost = _STAY * np.hypot(*moves.T) * 256 / max(picture.shape)
    wide, kept = np.pad(mirrored, reach), ~ndimage.binary_dilation(hole, iterations=2)
    parts, count = ndimage.label(hole)
    fitting, total = mirrored.copy(), 0.0
    for number in range(1, count + 1):
        part = parts == number
        radius = max(3, round((part.sum() / np.pi) ** 0.5))
        round_it = np.argwhere(ndimage.binary_dilation(part, iterations=radius) & kept)
        if len(round_it) < _FEWEST:
            continue
        own = picture[tuple(round_it.T)]
        rows, cols = (round_it[None] + reach - moves[:, None]).transpose(2, 0, 1)
        others = wide[rows, cols]
        own, others = own - own.mean(), others - others.mean(axis=1, keepdims=True)
        likeness = others @ own / np.sqrt((others**2).sum(axis=1) * (own**2).sum() + 1e-9)
        best = int((likeness - cost).argmax())
        total += float(likeness[best]) * int(part.sum())
        there = np.argwhere(ndimage.binary_dilation(part, iterations=3))
        fitting[tuple(there.T)] = wide[tuple((there + reach - moves[best]).T)]
    return fitting, total / max(int(hole.sum()), 1)


def _ramp(value: float, ends: tuple[float, float]) -> float:
    """0 up to the first end, 1 from the second on."""
    return min(max((value - ends[0]) / (ends[1] - ends[0]), 0.0), 1.0)
