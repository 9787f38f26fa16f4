"""Voids of a picture, black regions where something is missing, are found and filled smoothly.

A void is black inside the body, or in a notch of the body. The black background around a body is not a void, and
neither is a speck narrower than three pixels. Pictures are filled once; regression and decoder get what filling adds as
an input.
"""

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F

BLACK = 1e-4
"""Pixels up to this intensity, in [0, 1], may belong to a void."""
BODY = 1 / 16
"""Pixels brighter than this belong to the body."""
_LARGEST_COUNT = 2**15 - 1  # of pixels in 16 bits
_NOTCH = 9  # notches of the body count as inside up to a width of two ninths of the picture's side


def void_filling(pictures: Float[Tensor, "b i s s"]) -> Float[Tensor, "b i s s"]:
    """What filling the voids adds to each picture: 0 except in voids and in the rim that they darken.

    `pictures + void_filling(pictures)` are the filled pictures. Each channel is filled for itself.
    """
    planes = pictures.flatten(0, 1)[:, None].float()
    black = planes <= BLACK
    void = _voids(planes, black)
    if torch.compiler.is_exporting():  # a graph has no branches
        return _change(planes, black, void).reshape(pictures.shape)
    filling = torch.zeros_like(planes)
    held = void.flatten(1).any(1)  # most pictures hold no void, and filling them would add 0
    if bool(held.any()):
        filling[held] = _change(planes[held], black[held], void[held])
    return filling.reshape(pictures.shape)


def _change(
    planes: Float[Tensor, "b 1 s s"], black: Bool[Tensor, "b 1 s s"], void: Bool[Tensor, "b 1 s s"]
) -> Float[Tensor, "b 1 s s"]:
    change = filled_smoothly(planes, 1 - dilate(black.to(planes.dtype))) - planes
    return dilate(dilate(void.to(planes.dtype))) * change


def dilate(mask: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """The mask grown by one pixel in all eight directions."""
    return F.max_pool2d(mask, 3, stride=1, padding=1)


def box_blur(pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Means over 3 x 3 pixels; edges are repeated."""
    return F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def opening(mask: Bool[Tensor, "b 1 h w"]) -> Bool[Tensor, "b 1 h w"]:
    """The mask without what is narrower than three pixels; outside of the picture nothing is set."""
    whole = _box_counts(F.pad(_numbers(mask), (1, 1, 1, 1))) == 9
    return _box_counts(F.pad(_numbers(whole), (1, 1, 1, 1))) > 0


def closing(body: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """The body dilated by a disk, then eroded by it: closes notches up to the disk's diameter."""
    radius = max(1, body.shape[-1] // _NOTCH)
    dilated = _disk_sums(F.pad(body, (2 * radius,) * 4), radius) > 0
    return (_disk_sums(~dilated, radius) == 0).to(body.dtype)


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


def _voids(pictures: Float[Tensor, "b 1 s s"], black: Bool[Tensor, "b 1 s s"]) -> Bool[Tensor, "b 1 s s"]:
    """Black regions with the body on all four sides, and those in narrow notches with the body on three sides.

    Sides are left, right, above and below. Single bright pixels do not count as body. Notches are costly to find, so
    only pictures where they could make a difference are searched.
    """
    body = _majority(~black)
    above, below, left, right = (_numbers(side) for axis in (-2, -1) for side in _sides(body, axis))
    count = above + below + left + right
    enclosed, open_to_one_side = count == 4, count == 3
    if torch.compiler.is_exporting():
        return opening(black & (enclosed | (open_to_one_side & _notches(pictures))))
    void, largest = opening(black & enclosed), opening(black & (enclosed | open_to_one_side))
    unsure = (void != largest).flatten(1).any(1)
    if bool(unsure.any()):
        notches = _notches(pictures[unsure])
        void[unsure] = opening(black[unsure] & (enclosed[unsure] | (open_to_one_side[unsure] & notches)))
    return void


def _notches(pictures: Float[Tensor, "b 1 s s"]) -> Bool[Tensor, "b 1 s s"]:
    """The body with its narrow notches."""
    return closing(_majority(pictures > BODY).to(pictures.dtype)) > 0


def _numbers(mask: Bool[Tensor, "b 1 h w"]) -> Integer[Tensor, "b 1 h w"]:
    """The mask as whole numbers; runtimes of exported graphs do not add those of 8 bits."""
    return mask.to(torch.int32 if torch.compiler.is_exporting() else torch.uint8)


def _sides(body: Bool[Tensor, "b 1 s s"], axis: int) -> tuple[Tensor, Tensor]:
    """Along an axis: where some body lies at a pixel or before it, and where at the pixel or after it."""
    length = body.shape[axis]
    kind = torch.int32 if torch.compiler.is_exporting() else torch.int16
    position = torch.arange(1, length + 1, dtype=kind, device=body.device)
    position = position[:, None] if axis == -2 else position
    last = (body * position).amax(axis, keepdim=True)
    first = length + 1 - (body * (length + 1 - position)).amax(axis, keepdim=True)
    return position >= first, position <= last


def _majority(mask: Bool[Tensor, "b 1 h w"]) -> Bool[Tensor, "b 1 h w"]:
    """Where most of the 3 x 3 pixels are set; edges are repeated."""
    rows, cols = (torch.arange(-1, n + 1, device=mask.device).clamp(0, n - 1) for n in mask.shape[-2:])
    return _box_counts(_numbers(mask)[..., rows, :][..., cols]) > 4


def _box_counts(padded: Integer[Tensor, "b 1 h w"]) -> Integer[Tensor, "b 1 i j"]:
    """Sums over 3 x 3 pixels of every pixel that has a whole neighborhood (i = h - 2, j = w - 2)."""
    rows = padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]
    return rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]


def _disk_sums(mask: Float[Tensor, "b 1 s s"] | Bool[Tensor, "b 1 s s"], radius: int) -> Integer[Tensor, "b 1 r r"]:
    """Sums over the disk around every pixel that has a whole one (r = s - 2 * radius).

    Each row of a disk is the difference of two running sums: a convolution with so large a kernel takes several times
    as long.
    """
    is_small = (2 * radius + 1) ** 2 <= _LARGEST_COUNT and not torch.compiler.is_exporting()
    kind = torch.int16 if is_small else torch.int32
    running, side = F.pad(mask.cumsum(-1, dtype=kind), (1, 0)), mask.shape[-1] - 2 * radius
    total = torch.zeros_like(running[..., :side, :side])
    for down in range(-radius, radius + 1):
        across = int((radius * (radius + 0.5) - down**2) ** 0.5)
        row = running[..., radius + down : radius + down + side, :]
        first, last = radius - across, radius + across + 1
        total += row[..., last : last + side]
        total -= row[..., first : first + side]
    return total
