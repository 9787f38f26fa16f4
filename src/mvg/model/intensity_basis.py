"""What the regression knows of pixels without having learned it: a basis of intensities, and pixels as they are."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from mvg.model.voids import box_blur

HATS = 8
"""Hat functions of each input, with peaks evenly spaced from 0 to 1."""
PIXEL_FEATURES = 3
"""Features of a pixel of each input: its value, the mean about it, what filling voids adds to it."""


def hat_basis(pictures: Float[Tensor, "b i s s"]) -> Float[Tensor, "b k s s"]:
    """Hat functions of each pixel's intensity (k = i * 8): 1 at a hat's peak, 0 from the next peaks on.

    A weighted sum of them is any piecewise linear curve: a target may be bright where its image is gray and dark where
    the image is bright.
    """
    peaks = torch.arange(HATS, device=pictures.device).view(1, 1, -1, 1, 1)
    hats = (1 - ((HATS - 1) * pictures[:, :, None] - peaks).abs()).clamp(min=0)
    return rearrange(hats, "b i k h w -> b (i k) h w")


def pixel_features(pictures: Float[Tensor, "b i s s"], filling: Float[Tensor, "b i s s"]) -> Float[Tensor, "b k s s"]:
    """Pixels and means over 3 x 3 pixels, both less 0.5, and what filling voids adds (k = 3 * i; inputs vary fastest).

    Restorations are made of these. `filling` is that of `void_filling`.
    """
    return torch.cat([pictures - 0.5, box_blur(pictures) - 0.5, filling], dim=1)
