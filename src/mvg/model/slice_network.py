"""A small network over neighboring slices: a U-Net within slices, whose blocks also go across them."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.layers import Conv2d

REACH = 6
"""Slices on each side that have an effect on a slice."""
_WIDTH = 24  # channels at half of the resolution


class SliceNetwork(nn.Module):
    """Maps of n neighboring slices -> changes per pixel, and numbers per slice, which are 0 before anything is learned.

    Convolutions go across slices at a half to an eighth of the resolution. They are computed in 16 bits where the
    processor is faster at it, see `layers.py`.
    """

    def __init__(self, inputs: int, coarse: int, outputs: int) -> None:
        """inputs: maps of a slice; coarse: channels below half of the resolution; outputs: numbers per slice."""
        super().__init__()
        fine = _WIDTH
        self.stem = Conv2d(inputs, fine, 4, stride=2, padding=1)
        self.first_half = _Block(fine)
        self.to_quarter = Conv2d(fine, coarse, 2, stride=2)
        self.first_quarter = _Block(coarse)
        self.to_eighth = Conv2d(coarse, coarse, 2, stride=2)
        self.first_eighth = _Block(coarse)
        self.whole_slice = nn.Linear(2 * coarse, coarse)
        self.last_eighth = _Block(coarse)
        self.from_eighth = Conv2d(coarse, coarse, 1)
        self.last_quarter = _Block(coarse)
        self.from_quarter = Conv2d(coarse, fine, 1)
        self.last_half = _Block(fine)
        self.pixels = Conv2d(fine, 4, 1)
        self.slices = nn.Linear(2 * coarse, outputs)
        for parameter in (*self.pixels.parameters(), *self.slices.parameters()):
            nn.init.zeros_(parameter)

    def changes(self, maps: Float[Tensor, "b f n h w"]) -> tuple[Float[Tensor, "b n h w"], Float[Tensor, "k b n 1 1"]]:
        """A number per pixel, and k per slice; h and w are divisible by 8."""
        count = maps.shape[2]
        inputs = maps.bfloat16() if self.stem.is_reduced else maps
        slices = rearrange(inputs, "b f n h w -> (b n) f h w").contiguous(memory_format=torch.channels_last)
        half = self.first_half(self.stem(slices), count)
        quarter = self.first_quarter(self.to_quarter(half), count)
        eighth = self.first_eighth(self.to_eighth(quarter), count)
        whole = F.gelu(self.whole_slice(_summary(eighth)))
        eighth = self.last_eighth(eighth + whole[..., None, None].to(eighth.dtype), count)
        of_slices = rearrange(self.slices(_summary(eighth)), "(b n) k -> k b n 1 1", n=count)
        quarter = self.last_quarter(quarter + _doubled(self.from_eighth(eighth)), count)
        half = self.last_half(half + _doubled(self.from_quarter(quarter)), count)
        pixels = rearrange(self.pixels(half).float(), "(b n) (y x) h w -> b n (h y) (w x)", n=count, y=2, x=2)
        return pixels, of_slices


class _Block(nn.Module):
    """A residual block: a convolution within slices, then a product across neighboring slices."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, width)
        self.within = Conv2d(width, width, 3, padding=1)
        self.across = Conv2d(3 * width, width, 1)

    def forward(self, x: Float[Tensor, "bn c h w"], count: int) -> Float[Tensor, "bn c h w"]:
        """`count`: slices of a volume; those of several volumes follow one another."""
        inner = rearrange(self.within.activated(self.norm(x), "gelu"), "(b n) c h w -> b n h w c", n=count)
        padded = F.pad(inner, (0, 0, 0, 0, 0, 0, 1, 1))
        neighbors = torch.cat([padded[:, :-2], inner, padded[:, 2:]], dim=-1)  # channels-last memory, as x has
        change: Tensor = self.across(rearrange(neighbors, "b n h w c -> (b n) c h w"))
        return x + change


def _summary(x: Float[Tensor, "bn c h w"]) -> Float[Tensor, "bn k"]:
    """Mean and maximum of each slice, in 32 bits."""
    return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1).float()


def _doubled(x: Float[Tensor, "bn c h w"]) -> Float[Tensor, "bn c h2 w2"]:
    return F.interpolate(x, scale_factor=2, mode="nearest")
