"""Targets read off the image features in closed form: a ridge regression that the prompts are the data of.

Every cell of 4 x 4 pixels of a prompt is a sample: its features (learned ones, and what its pixels and their
surroundings are) and its 16 target pixels. What the regression needs of the prompts are two sums over their cells, so
prompts simply add up, any number of them costs the query the same, and all target channels share one factorization.
The gradient of the answer reaches the features through the solution (after Bertinetto et al. 2019, R2-D2): they learn
to make every target that prompts may ask for a linear one.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

CELL = 4
"""Pixels of a sample's side."""
PLAIN = 3 * CELL**2
"""Features of a cell that are not learned: its pixels, their means, what would fill a void."""
_BLACK = 1 / 255  # pixels up to here may be a void


@dataclass(frozen=True)
class Sums:
    """What prompts bring to the regression: sums over their cells. The last feature is 1.

    gram: (b, d, d) of features by features; cross: (b, c, d, 16) of features by each channel's target pixels.
    """

    gram: Float[Tensor, "b d d"]
    cross: Float[Tensor, "b c d p"]


class Ridge(nn.Module):
    """The regression. `learned` features join those of the pixels themselves and a constant."""

    def __init__(self, learned: int) -> None:
        super().__init__()
        self.features = learned + PLAIN + 1
        start = torch.cat([torch.full((learned,), 0.03), torch.full((PLAIN,), 0.004), torch.full((1,), 1e-3)])
        self.shrink = nn.Parameter(start.log())

    def describe(self, fine: Float[Tensor, "b f h w"], pictures: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b m d"]:
        """The features of every cell, in float32."""
        plain = 4 * F.pixel_unshuffle(surroundings(pictures.float()), CELL)
        ones = torch.ones_like(plain[:, :1])
        return rearrange(torch.cat([fine.float(), plain, ones], dim=1), "b d h w -> b (h w) d")

    def plain(self, features: Float[Tensor, "b m d"]) -> Float[Tensor, "b m k"]:
        """Those of the features that are not learned."""
        return features[..., -PLAIN - 1 : -1]

    def sums(
        self,
        features: Float[Tensor, "b m d"],
        targets: Float[Tensor, "b c h w"],
        weight: Float[Tensor, "b m"] | None = None,
    ) -> Sums:
        """What one panel each brings; cells of `weight` 0 do not count."""
        with torch.autocast(features.device.type, enabled=False):
            wanted = rearrange(targets.float(), "b c (h i) (w j) -> b (h w) (c i j)", i=CELL, j=CELL)
            left = features if weight is None else features * weight[..., None]
            across = left.transpose(1, 2)
            cross = rearrange(across @ wanted, "b d (c p) -> b c d p", c=targets.shape[1])
            return Sums(across @ features, cross)

    def read(self, sums: Sums, features: Float[Tensor, "b m d"]) -> Float[Tensor, "b two c m p"]:
        """The regression's answer to every cell: as it is, and scaled so that -1 is what it says of cells without the
        class, and 1 of those with it, on average over the prompts. `sums` may be one for all queries.
        """
        with torch.autocast(features.device.type, enabled=False):
            channels = sums.cross.shape[1]
            count = sums.gram[:, -1:, -1:].clamp(min=1)
            gram = sums.gram / count + torch.diag_embed(self.shrink.exp())
            cross = rearrange(sums.cross, "b c d p -> b d (c p)") / count
            factor, broken = torch.linalg.cholesky_ex(gram)  # a step with infinite features is skipped, not the end
            factor = torch.where(broken[:, None, None] > 0, torch.nan, factor)
            solution = torch.cholesky_solve(cross, factor)
            said = features @ solution
            share = cross[:, -1:]
            level = gram[:, -1:] @ solution  # the mean answer, but for the constant's own shrinkage
            inside = (cross * solution).sum(1, keepdim=True) / (share + 1e-4)
            outside = (level - (cross * solution).sum(1, keepdim=True)) / (1 - share + 1e-4)
            scaled = 2 * (said - outside) / (inside - outside).clamp(min=0.02) - 1
            both = torch.stack([said, scaled.clamp(-4, 4)], dim=1)
            return rearrange(both, "b two m (c p) -> b two c m p", c=channels)


def surroundings(pictures: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 3 s s"]:
    """What a restoration is made of: the pictures about their middle, means over 3 x 3 pixels, and what would fill
    black pixels: the mean over some 40 pixels around of what is not black.
    """
    near = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    shown = (pictures > _BLACK).to(pictures.dtype)
    wide = F.avg_pool2d(F.avg_pool2d(torch.cat([pictures, shown], dim=1), 8), 5, stride=1, padding=2)
    fill = F.interpolate(wide[:, :1] / (wide[:, 1:] + 1e-3), pictures.shape[-2:], mode="bilinear")
    return torch.cat([pictures - 0.5, near - 0.5, fill * (1 - shown)], dim=1)
