"""Voids of a picture, black regions where something is missing, are found and filled smoothly.

A void is black inside the body, or in a notch of the body. The black background around a body is not a void, and
neither is a speck narrower than three pixels. Pictures are filled once; regression and decoder get what filling adds as
an input.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

BLACK = 1e-4
"""Pixels up to this intensity, in [0, 1], may belong to a void."""
BODY = 1 / 16
"""Pixels brighter than this belong to the body."""
_NOTCH = 9  # notches of the body count as inside up to a width of two ninths of the picture's side


def void_filling(pictures: Float[Tensor, "b i s s"]) -> Float[Tensor, "b i s s"]:
    """What filling the voids adds to each picture: 0 except in voids and in the rim that they darken.

    `pictures + void_filling(pictures)` are the filled pictures. Each channel is filled for itself.
    """
    planes = pictures.flatten(0, 1)[:, None].float()
    filling = torch.zeros_like(planes)
    black = (planes <= BLACK).to(planes.dtype)
    inside = _inside(planes, black)
    void = opening(black * inside)
    held = void.flatten(1).any(1)  # most pictures hold no void, and filling them would add 0
    if bool(held.any()):
        whole = planes[held]
        change = filled_smoothly(whole, 1 - dilate(black[held])) - whole
        filling[held] = dilate(dilate(void[held])) * change
    return filling.reshape(pictures.shape)


def dilate(mask: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """The mask grown by one pixel in all eight directions."""
    return F.max_pool2d(mask, 3, stride=1, padding=1)


def box_blur(pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Means over 3 x 3 pixels; edges are repeated."""
    return F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def opening(mask: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """The mask without what is narrower than three pixels."""
    return dilate((F.avg_pool2d(mask, 3, stride=1, padding=1) > 0.95).to(mask.dtype))


def closing(body: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """The body dilated by a disk, then eroded by it: closes notches up to the disk's diameter."""
    radius = max(1, body.shape[-1] // _NOTCH)
    dilated = _disk_sums(F.pad(body, (2 * radius,) * 4), radius) > 0.5
    return (_disk_sums((~dilated).to(body.dtype), radius) < 0.5).to(body.dtype)


def filled_smoothly(pictures: Float[Tensor, "b 1 s s"], known: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """Pictures whose pixels that are not `known` (0 there, else 1) pass smoothly from one edge of a void to the other.

    Means of known pixels go down a pyramid, and come up again where nothing is known (pull-push, Gortler et al. 1996).
    """
    levels = [(pictures, known)]
    while levels[-1][0].shape[-1] % 2 == 0 and levels[-1][0].shape[-1] > 4:
        value, weight = levels[-1]
        share = F.avg_pool2d(weight, 2)
        mean = F.avg_pool2d(value * weight, 2) / (share + 1e-6)
        levels.append((mean, (4 * share).clamp(max=1)))
    value, weight = levels.pop()
    overall = (value * weight).mean((-2, -1), keepdim=True) / (weight.mean((-2, -1), keepdim=True) + 1e-6)
    full = value * weight + overall * (1 - weight)
    for value, weight in reversed(levels):
        full = F.interpolate(full, scale_factor=2.0, mode="bilinear")
        full = value * weight + full * (1 - weight)
    return full


def _inside(pictures: Float[Tensor, "b 1 s s"], black: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """1 where the body lies on all four sides, and in narrow notches of it with the body on three sides; else 0.

    Sides are left, right, above and below. Single bright pixels do not count as body.
    """
    body = (box_blur(1 - black) > 0.5).to(pictures.dtype)
    sides = torch.stack([ray for axis in (-2, -1) for ray in (body.cummax(axis).values, _reversed_cummax(body, axis))])
    count = sides.sum(0)
    enclosed, open_to_one_side = count > 3.5, (count > 2.5) & (count < 3.5)
    return (enclosed | _notches(pictures, open_to_one_side, black)).to(pictures.dtype)


def _notches(
    pictures: Float[Tensor, "b 1 s s"], candidates: Bool[Tensor, "b 1 s s"], black: Float[Tensor, "b 1 s s"]
) -> Bool[Tensor, "b 1 s s"]:
    """Which candidates lie in narrow notches of the body; pictures with no black candidate are skipped."""
    notches = torch.zeros_like(candidates)
    held = (candidates & (black > 0)).flatten(1).any(1)
    if bool(held.any()):
        body = (box_blur((pictures[held] > BODY).to(pictures.dtype)) > 0.5).to(pictures.dtype)
        notches[held] = candidates[held] & (closing(body) > 0)
    return notches


def _reversed_cummax(body: Float[Tensor, "b 1 s s"], axis: int) -> Float[Tensor, "b 1 s s"]:
    return body.flip(axis).cummax(axis).values.flip(axis)


def _disk_sums(mask: Float[Tensor, "b 1 s s"], radius: int) -> Float[Tensor, "b 1 r r"]:
    """Sums over the disk around every pixel that has a whole one (r = s - 2 * radius).

    Each row of a disk is the difference of two running sums: a convolution with so large a kernel takes several times
    as long.
    """
    running, side = F.pad(mask.cumsum(-1), (1, 0)), mask.shape[-1] - 2 * radius
    total = torch.zeros_like(mask[..., :side, :side])
    for down in range(-radius, radius + 1):
        across = int((radius * (radius + 0.5) - down**2) ** 0.5)
        row = running[..., radius + down : radius + down + side, :]
        first, last = radius - across, radius + across + 1
        total = total + row[..., last : last + side] - row[..., first : first + side]
    return total
