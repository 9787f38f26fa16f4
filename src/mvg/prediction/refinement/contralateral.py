"""What the other side of the body shows of a void.

Many bodies are about symmetric, and voids seldom are. The picture is mirrored about its line of symmetry, and the
mirror image is shifted a little to fit the surroundings of each void. What it shows beyond a smooth fill is what the
void may have held. How much of it is used depends on the correlation of both sides, of the whole picture and around the
void.
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

from mvg.model.voids import BODY, filled_smoothly

_SIDE = 64  # pixels of the square in which the line of symmetry is searched
_SHIFTS, _TURNS = torch.arange(-5, 5.1, 0.75), torch.arange(-9, 9.1, 3)  # of the line: pixels, degrees
_MIN_PIXELS = 20  # fewer give no correlation
_REACH = 1 / 64  # of the picture's side: the largest shift of the mirror image, and the scale of coarse detail
_SHIFT_COST = 0.004  # correlation that a shift must gain per pixel (of 256 a side)
_COARSE, _FINE = 0.7, 0.3  # shares of coarse and fine detail with the smallest error
# The correlation where use starts, and where it is full.
_GLOBAL_CORRELATION, _LOCAL_CORRELATION = (0.6, 0.72), (0.2, 0.5)


def filled_smooth(picture: NDArray[np.float32], hole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A picture (rows, cols) in [0, 1] whose `hole` is interpolated from the body around it."""
    side = 1 << (max(picture.shape) - 1).bit_length()
    known = (picture > BODY) & ~ndimage.binary_dilation(hole)
    square, mask = (_square(part, side)[None, None] for part in (picture, known))
    full = filled_smoothly(square, mask)[0, 0, : picture.shape[0], : picture.shape[1]]
    return np.where(hole, full.numpy(), picture)


class ContralateralEvidence(NamedTuple):
    """What the other side of a picture (rows, cols) shows of a hole in it.

    share: how much of it is used, from 0 to 1; detail: that share of what it adds to a smooth fill, 0 outside of the
    hole; body: where it shows body; outside: pixels with no body nearby on either side; set only if share is 1.
    """

    share: float
    detail: NDArray[np.float32]
    body: NDArray[np.bool_]
    outside: NDArray[np.bool_]


def contralateral_evidence(picture: NDArray[np.float32], hole: NDArray[np.bool_]) -> ContralateralEvidence:
    """What the other side of a picture (rows, cols) in [0, 1] shows of its `hole`."""
    nothing = ContralateralEvidence(0.0, np.zeros_like(picture), np.zeros_like(hole), np.zeros_like(hole))
    line = _mirror_line(picture, hole)
    if line is None:
        return nothing
    correlation, places = line
    mirrored = ndimage.map_coordinates(picture, places, order=1)
    mirrored_hole = ndimage.map_coordinates(hole.astype(np.float32), places, order=1) > 0.05
    fitting, local_correlation = _shifted_to_fit(picture, mirrored, hole)
    share = _ramp(correlation, _GLOBAL_CORRELATION) * _ramp(local_correlation, _LOCAL_CORRELATION)
    if share == 0:
        return nothing
    known = hole & ~mirrored_hole
    detail = np.where(known, fitting - filled_smooth(fitting, hole), 0)
    reach = _REACH * max(picture.shape)
    coarse = ndimage.gaussian_filter(detail, reach)
    detail = np.where(hole, share * (_COARSE * coarse + _FINE * (detail - coarse)), 0)
    body = fitting > BODY
    near_body = ndimage.binary_dilation(body | mirrored_hole, iterations=max(1, round(2 * reach)))
    return ContralateralEvidence(share, detail, known & body, hole & ~near_body if share == 1 else nothing.outside)


def _square(part: NDArray[np.generic], side: int) -> Float[Tensor, "s s"]:
    return torch.from_numpy(np.pad(part, [(0, side - length) for length in part.shape]).astype(np.float32))


def _mirror_line(
    picture: NDArray[np.float32], hole: NDArray[np.bool_]
) -> tuple[float, tuple[NDArray[np.float32], NDArray[np.float32]]] | None:
    """The correlation of a picture's two sides, and the row and column (rows, cols) of each pixel on the other side.

    None where there is hardly a body. The line is nearly upright and close to the body's center.
    """
    largest, visible = max(picture.shape), ~ndimage.binary_dilation(hole, iterations=2)
    both = torch.stack([_square(part, largest) for part in (picture, visible)])[None]
    both = F.interpolate(both, (_SIDE, _SIDE), mode="area")
    body = (both[0, 0] > BODY).float()
    if body.sum() < _MIN_PIXELS:
        return None
    number = torch.arange(_SIDE, dtype=torch.float32)
    middle = (body * number).sum() / body.sum(), (body * number[:, None]).sum() / body.sum()
    _, shift, turn = _best_symmetry(both, middle, _SHIFTS, _TURNS)
    correlation, shift, turn = _best_symmetry(
        both, middle, shift + torch.arange(-0.5, 0.6, 0.25), turn + torch.arange(-2, 2.1, 1)
    )
    scale, sin, cos = largest / _SIDE, math.sin(math.radians(turn)), math.cos(math.radians(turn))
    rows, cols = np.indices(picture.shape, dtype=np.float32)
    column, row = ((float(part) + 0.5) * scale - 0.5 for part in (middle[0] + shift, middle[1]))
    across = (cols - column) * cos + (rows - row) * sin
    return correlation, (rows - 2 * across * sin, cols - 2 * across * cos)


def _best_symmetry(
    both: Float[Tensor, "1 two s s"], middle: tuple[Tensor, Tensor], shifts: Float[Tensor, " n"],
    turns: Float[Tensor, " m"],
) -> tuple[float, float, float]:  # fmt: skip
    """The largest correlation of the picture with its mirror image, and the line's shift and turn."""
    shift, turn = torch.cartesian_prod(shifts, turns).T[:, :, None, None]
    row, column = torch.meshgrid(*[torch.arange(_SIDE, dtype=torch.float32)] * 2, indexing="ij")
    sin, cos = torch.deg2rad(turn).sin(), torch.deg2rad(turn).cos()
    across = (column - middle[0] - shift) * cos + (row - middle[1]) * sin
    places = torch.stack([column - 2 * across * cos, row - 2 * across * sin], dim=-1)
    mirrored = F.grid_sample(both.expand(len(places), -1, -1, -1), (2 * places + 1) / _SIDE - 1, align_corners=False)
    left, right = both[:, 0], mirrored[:, 0]
    known = ((torch.maximum(left, right) > BODY) & (both[:, 1] > 0.9) & (mirrored[:, 1] > 0.9)).float()
    count = known.sum((1, 2), keepdim=True).clamp(min=1)
    left, right = (known * (part - (known * part).sum((1, 2), keepdim=True) / count) for part in (left, right))
    size = (left.square().sum((1, 2)) * right.square().sum((1, 2))).sqrt()
    correlation = (left * right).sum((1, 2)) / size.clamp(min=1e-6)
    best = int(correlation.argmax())
    return float(correlation[best]), float(shift[best]), float(turn[best])


def _shifted_to_fit(
    picture: NDArray[np.float32], mirrored: NDArray[np.float32], hole: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], float]:
    """The mirror image, shifted near each part of the hole to fit its surroundings; the mean correlation there."""
    reach = max(1, round(_REACH * max(picture.shape)))
    shifts = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    cost = _SHIFT_COST * np.hypot(*shifts.T) * 256 / max(picture.shape)
    wide, known = np.pad(mirrored, reach), ~ndimage.binary_dilation(hole, iterations=2)
    parts, count = ndimage.label(hole)
    fitting, total = mirrored.copy(), 0.0
    for number in range(1, count + 1):
        part = parts == number
        radius = max(3, round((part.sum() / np.pi) ** 0.5))
        surroundings = np.argwhere(ndimage.binary_dilation(part, iterations=radius) & known)
        if len(surroundings) < _MIN_PIXELS:
            continue
        values = picture[tuple(surroundings.T)]
        rows, cols = (surroundings[None] + reach - shifts[:, None]).transpose(2, 0, 1)
        others = wide[rows, cols]
        values, others = values - values.mean(), others - others.mean(axis=1, keepdims=True)
        correlation = others @ values / np.sqrt((others**2).sum(axis=1) * (values**2).sum() + 1e-9)
        best = int((correlation - cost).argmax())
        total += float(correlation[best]) * int(part.sum())
        near = np.argwhere(ndimage.binary_dilation(part, iterations=3))
        fitting[tuple(near.T)] = wide[tuple((near + reach - shifts[best]).T)]
    return fitting, total / max(int(hole.sum()), 1)


def _ramp(value: float, ends: tuple[float, float]) -> float:
    """0 up to the first end, 1 from the second on."""
    return min(max((value - ends[0]) / (ends[1] - ends[0]), 0.0), 1.0)
