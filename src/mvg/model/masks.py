"""Masks of patches on finer grids."""

from einops import repeat
from jaxtyping import Bool
from torch import Tensor


def upsampled(mask: Bool[Tensor, "*b h w"], times: int) -> Bool[Tensor, "*b i j"]:
    """The mask on a grid that is `times` as fine."""
    return repeat(mask, "... h w -> ... (h i) (w j)", i=times, j=times)
