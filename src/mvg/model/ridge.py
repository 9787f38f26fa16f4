"""Targets read off the image features in closed form: a ridge regression that the prompts are the data of.

Every cell of 4 x 4 pixels of a prompt is a sample: its features (learned ones, and what its pixels and their
surroundings are) and its 16 target pixels. What the regression needs of the prompts are sums over their cells, so
prompts simply add up, any number of them costs the query the same, and all target channels share one factorization.
The gradient of the answer reaches the features through the solution (after Bertinetto et al. 2019, R2-D2): they learn
to make every target that prompts may ask for a linear one.

What the prompts leave open is answered by a much simpler rule, the target pixel as a line of its own image pixel with
voids filled: the weights shrink towards it. Labels and pictures ask for more and less of what is beyond it.
"""

from typing import NamedTuple

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.outputs import TargetType

CELL = 4
"""Pixels of a sample's side."""
BLACK = 1e-4
"""Pixels up to here, in [0, 1], may be a void."""
BODY = 1 / 16
"""Pixels brighter than this are body."""
PLAIN = 3 * CELL**2
"""Features of a cell that the decoder sees too: its pixels, their means, what would fill a void."""
_HATS = 8
"""Brightnesses at which a pixel is asked how near it is to them: targets need not grow with brightness, nor fall."""
_PLAIN_SCALE = 4.0  # the plain features' size, so that they shrink as others do
_PICTURES = 20.0  # how much more the weights of pictures shrink than those of labels, before they have learnt
_BENT = 0.015  # and how much less those of brightnesses then, where targets bend
_BENDS, _STAYS = 0.55, 0.7  # share of the error on the prompts that is left where it bends: up to here, and from here
_NOTCH = 9  # voids that open to the outside are found up to two ninths of the picture's side
_CHANGE = 0.1  # how much more a cell of a picture counts where the target departs from the image as it does on average


class Sums(NamedTuple):
    """What prompts bring to the regression: sums over their cells. The last feature is 1.

    gram: (b, d, d) of features by features; cross: (b, c, d, 16) of features by each channel's target pixels;
    shades: (b, c) of each target pixel times what it lacks to 1: 0 for labels, more for pictures.
    """

    gram: Float[Tensor, "b d d"]
    cross: Float[Tensor, "b c d p"]
    shades: Float[Tensor, "b c"]


class Ridge(nn.Module):
    """The regression. `learned` features join what is known of the pixels themselves and a constant.

    shrink: (3, d), the logarithm of how much the weight of a feature shrinks: for labels, for pictures, and for
    pictures whose prompts are missed far less where they may depend on brightness as they like.
    """

    filled: Tensor

    def __init__(self, learned: int) -> None:
        super().__init__()
        parts = ((learned, 0.03), (_HATS * CELL**2, 0.02), (PLAIN, 0.004), (1, 1e-3))
        self.features = sum(count for count, _ in parts)
        labels = torch.cat([torch.full((count,), start) for count, start in parts])
        pictures = torch.cat([_PICTURES * labels[:-1], labels[-1:]])
        bent = pictures.clone()
        bent[learned : learned + _HATS * CELL**2] *= _BENT
        self.shrink = nn.Parameter(torch.stack([labels, pictures, bent]).log())
        self.register_buffer("filled", _filled_pixels(self.features), persistent=False)

    def describe(self, fine: Float[Tensor, "b f h w"], pictures: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b m d"]:
        """The features of every cell, in float32."""
        bright = F.pixel_unshuffle(hat_basis(pictures.float()), CELL)
        plain = _PLAIN_SCALE * F.pixel_unshuffle(pixel_features(pictures.float()), CELL)
        ones = torch.ones_like(plain[:, :1])
        return rearrange(torch.cat([fine.float(), bright, plain, ones], dim=1), "b d h w -> b (h w) d")

    def plain(self, features: Float[Tensor, "b m d"]) -> Float[Tensor, "b m k"]:
        """Those of the features that the decoder sees too."""
        return features[..., -PLAIN - 1 : -1]

    def sums(
        self,
        features: Float[Tensor, "b m d"],
        targets: Float[Tensor, "b c h w"],
        weight: Float[Tensor, "b m"] | None = None,
    ) -> Sums:
        """What one panel each brings; cells of `weight` 0 do not count, others in proportion (`cell_weights`)."""
        with torch.autocast(features.device.type, enabled=False):
            wanted = rearrange(targets.float(), "b c (h i) (w j) -> b (h w) (c i j)", i=CELL, j=CELL)
            left = features if weight is None else features * weight[..., None]
            across = left.transpose(1, 2)
            cross = rearrange(across @ wanted, "b d (c p) -> b c d p", c=targets.shape[1])
            gray = torch.einsum("bm,bmq->bq", left[..., -1], wanted * (1 - wanted))
            return Sums(across @ features, cross, rearrange(gray, "b (c p) -> b c p", c=targets.shape[1]).sum(2))

    def predict(
        self, sums: Sums, features: Float[Tensor, "b m d"], target_type: TargetType
    ) -> Float[Tensor, "b two c m p"]:
        """The regression's answer to every cell: as it is, and scaled so that -1 is what it says of cells without the
        class, and 1 of those with it, on average over the prompts. `sums` may be one for all queries.

        A picture's answer bends with brightness as it likes where that leaves a much smaller error on the prompts.
        """
        with torch.autocast(features.device.type, enabled=False):
            channels, count = sums.cross.shape[1], sums.gram[:, -1:, -1:].clamp(min=1)
            gram, cross = sums.gram / count, rearrange(sums.cross, "b c d p -> b d (c p)") / count
            simple = self.simple(gram, cross)
            rest = cross - gram @ simple
            labels, stiff, bent = self.shrink
            penalty = (stiff if target_type != "labels" else labels).exp().expand(len(gram), -1)
            solution = simple + _solved(gram, rest, penalty)
            if target_type != "labels":  # labels have one solution
                other = simple + _solved(gram, rest, bent.exp().expand(len(gram), -1))
                size = reduce(cross[:, -1], "b (c p) -> b c", "sum", c=channels) - sums.shades / count[:, 0]
                ratio = (_missed(gram, cross, other, size) / _missed(gram, cross, solution, size)).detach()
                bend = ((_STAYS - ratio) / (_STAYS - _BENDS)).clamp(0, 1)
                solution = solution + repeat(bend, "b c -> b 1 (c p)", p=CELL**2) * (other - solution)
            said = features @ solution
            share = cross[:, -1:]
            level = gram[:, -1:] @ solution  # the mean answer, but for the constant's own shrinkage
            inside = (cross * solution).sum(1, keepdim=True) / (share + 1e-4)
            outside = (level - (cross * solution).sum(1, keepdim=True)) / (1 - share + 1e-4)
            scaled = 2 * (said - outside) / (inside - outside).clamp(min=0.02) - 1
            both = torch.stack([said, scaled.clamp(-4, 4)], dim=1)
            return rearrange(both, "b two m (c p) -> b two c m p", c=channels)

    def simple(self, gram: Float[Tensor, "b d d"], cross: Float[Tensor, "b d q"]) -> Float[Tensor, "b d q"]:
        """What weights shrink towards: every channel's pixel as a line, one for all of its pixels, of the same pixel of
        the image with voids filled; from means over cells (q: channels x pixels).
        """
        target = rearrange(cross, "b d (c p) -> b c d p", p=CELL**2)
        along = gram @ self.filled
        mean, square = along[:, -1].mean(1), (self.filled * along).sum((1, 2)) / CELL**2
        level, product = target[:, :, -1].mean(2), (self.filled * target).sum((2, 3)) / CELL**2
        slope = (product - mean[:, None] * level) / (square - mean**2 + 1e-4)[:, None]
        line = torch.einsum("bc,dp->bdcp", slope, self.filled)
        line[:, -1] = (level - slope * mean[:, None])[..., None]
        return rearrange(line, "b d c p -> b d (c p)")


def _solved(
    gram: Float[Tensor, "b d d"], cross: Float[Tensor, "b d q"], shrink: Float[Tensor, "b d"]
) -> Float[Tensor, "b d q"]:
    factor, broken = torch.linalg.cholesky_ex(gram + torch.diag_embed(shrink))
    factor = torch.where(broken[:, None, None] > 0, torch.nan, factor)  # such a step is skipped, not the end
    return torch.cholesky_solve(cross, factor)


def _missed(
    gram: Float[Tensor, "b d d"],
    cross: Float[Tensor, "b d q"],
    solution: Float[Tensor, "b d q"],
    size: Float[Tensor, "b c"],
) -> Float[Tensor, "b c"]:
    """How much of the prompts' targets a solution misses: mean squared errors of cells whose mean square is `size`."""
    explained = (solution * (2 * cross - gram @ solution)).sum(1)
    return (size - reduce(explained, "b (c p) -> b c", "sum", c=size.shape[1])).clamp(min=1e-6)


def _filled_pixels(features: int) -> Float[Tensor, "d p"]:
    """The weights that say the pixels of the image with voids filled (less a half): the pixels and their change."""
    weights, pixels, first = torch.zeros(features, CELL**2), torch.arange(CELL**2), features - 1 - PLAIN
    weights[first + pixels, pixels] = weights[first + 2 * CELL**2 + pixels, pixels] = 1 / _PLAIN_SCALE
    return weights


def cell_weights(
    images: Float[Tensor, "b i s s"],
    targets: Float[Tensor, "b c s s"],
    visible: Float[Tensor, "b m"],
    target_type: TargetType,
) -> Float[Tensor, "b m"]:
    """How much each visible cell of a panel counts, 1 on average.

    What a task leaves alone is most of a picture, and says least of what is asked: cells count more the more a target
    departs from its image. The cells of labels count alike.
    """
    if target_type == "labels":
        return visible
    change = (
        F.avg_pool2d((targets.float() - images[:, :1].float()).abs().mean(1, keepdim=True), CELL).flatten(1) * visible
    )
    cells = visible.sum(1, keepdim=True).clamp(min=1)
    return visible + _CHANGE / (1 + _CHANGE) * (change / (change.sum(1, keepdim=True) / cells + 1e-4) - visible)


def hat_basis(pictures: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b k s s"]:
    """How near every pixel is to each of some brightnesses from 0 to 1: 1 at it, 0 from the next ones on. A sum of them
    bends as it likes between these: a target may be bright where its image is gray and dark where it is bright.
    """
    steps = torch.arange(_HATS, device=pictures.device).view(1, -1, 1, 1)
    return (1 - ((_HATS - 1) * pictures - steps).abs()).clamp(min=0)


def pixel_features(pictures: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 3 s s"]:
    """What a restoration is made of: the pictures about their middle, means over 3 x 3 pixels, and what filling voids
    would change: of black pixels inside the body or in a notch of it, and of the rim that they darken (0 elsewhere).
    """
    near = box_blur(pictures)
    black = (pictures <= BLACK).to(pictures.dtype)
    void = opening(black * _inside(pictures, black))  # specks are no voids
    change = dilate(dilate(void)) * (filled_smoothly(pictures, 1 - dilate(black)) - pictures)
    return torch.cat([pictures - 0.5, near - 0.5, change], dim=1)


def dilate(mask: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    return F.max_pool2d(mask, 3, stride=1, padding=1)


def box_blur(pictures: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    return F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def opening(mask: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """The mask without what is narrower than three pixels."""
    return dilate((F.avg_pool2d(mask, 3, stride=1, padding=1) > 0.95).to(mask.dtype))


def _inside(pictures: Float[Tensor, "b 1 s s"], black: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """1 where the body lies on all four sides (left, right, above, below), and in notches of it that are narrow and
    have it on three sides, single specks aside; else 0.
    """
    body = (box_blur(1 - black) > 0.5).to(pictures.dtype)
    sides = torch.stack([part for axis in (-2, -1) for part in (body.cummax(axis).values, _backwards(body, axis))])
    count = sides.sum(0)
    notch = closing((box_blur((pictures > BODY).to(pictures.dtype)) > 0.5).to(pictures.dtype))
    return ((count > 3.5) | ((count > 2.5) & (notch > 0))).to(pictures.dtype)


def closing(body: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """The body dilated by a disk, then eroded by it: notches up to the disk's width are closed."""
    reach = max(1, body.shape[-1] // _NOTCH)
    wide = _sums_over_disks(F.pad(body, (2 * reach,) * 4), reach) > 0.5
    return (_sums_over_disks((~wide).to(body.dtype), reach) < 0.5).to(body.dtype)


def _sums_over_disks(mask: Float[Tensor, "b 1 s s"], reach: int) -> Float[Tensor, "b 1 r r"]:
    """Sums over the disk round every pixel that has a whole one (r = s - 2 * reach): a disk's rows, each the difference
    of two running sums. A convolution with so large a kernel takes several times as long.
    """
    running, side = F.pad(mask.cumsum(-1), (1, 0)), mask.shape[-1] - 2 * reach
    total = torch.zeros_like(mask[..., :side, :side])
    for down in range(-reach, reach + 1):
        across = int((reach * (reach + 0.5) - down**2) ** 0.5)
        row = running[..., reach + down : reach + down + side, :]
        first, last = reach - across, reach + across + 1
        total = total + row[..., last : last + side] - row[..., first : first + side]
    return total


def _backwards(body: Float[Tensor, "b 1 s s"], axis: int) -> Float[Tensor, "b 1 s s"]:
    return body.flip(axis).cummax(axis).values.flip(axis)


def filled_smoothly(pictures: Float[Tensor, "b 1 s s"], shown: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """Pictures whose pixels that are not `shown` go smoothly from one edge of a void to the other: down a pyramid of
    means of what is shown, and up again where nothing is (the pull-push of Gortler et al. 1996).
    """
    levels = [(pictures, shown)]
    while levels[-1][0].shape[-1] % 2 == 0 and levels[-1][0].shape[-1] > 4:
        value, weight = levels[-1]
        share = F.avg_pool2d(weight, 2)
        mean = F.avg_pool2d(value * weight, 2) / (share + 1e-6)
        levels.append((mean, (4 * share).clamp(max=1)))
    value, weight = levels.pop()
    everywhere = (value * weight).mean((-2, -1), keepdim=True) / (weight.mean((-2, -1), keepdim=True) + 1e-6)
    full = value * weight + everywhere * (1 - weight)
    for value, weight in reversed(levels):
        full = F.interpolate(full, scale_factor=2.0, mode="bilinear")
        full = value * weight + full * (1 - weight)
    return full
