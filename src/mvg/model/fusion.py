"""A small network that turns what is known about the slices of a volume into one answer: learnt fusion.

It looks along the volume: its convolutions also go across neighboring slices, at a half to an eighth of a square's
resolution. It starts as the log-odds that it is shown, and changes them, one class at a time.
"""

from enum import IntEnum

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

REACH = 6
"""Slices on each side that have an effect on a slice."""
SCALE = 8.0
"""Log-odds, and pixels of signed distances, are divided by this in the evidence."""
_WIDTH, _COARSE_WIDTH = 24, 40  # channels at half of the resolution, and below


class Evidence(IntEnum):
    """The maps that the network receives for a slice and a class; distances are signed, positive inside.

    log_odds: of the model, or of the annotation. prior: distances interpolated between the nearest annotated slices
    below and above; change: by how much they differ from those of the nearest one, extrapolated beyond the last one.
    below, above: distances in these slices. steps, gap: log(1 + slices) to the nearest annotated slice, and between
    both; reach: millimetres to the nearest one over the radius of the class. outside: 1 beyond the last annotated
    slice; known: 1 in annotated slices. area: of the class in the nearest annotated slice over its largest; radius: of
    the class in pixels. others: the highest log-odds of the other classes. image, image_below, image_above: pictures.
    """

    log_odds = 0
    prior = 1
    change = 2
    below = 3
    above = 4
    steps = 5
    gap = 6
    reach = 7
    outside = 8
    known = 9
    area = 10
    radius = 11
    others = 12
    image = 13
    image_below = 14
    image_above = 15


class Fusion(nn.Module):
    """Evidence (b, 16, n, s, s) about n neighboring slices -> log-odds (b, n, s, s); s is divisible by 8."""

    def __init__(self) -> None:
        super().__init__()
        fine, coarse = _WIDTH, _COARSE_WIDTH
        self.stem = nn.Conv2d(len(Evidence), fine, 4, stride=2, padding=1)
        self.first_half = _Block(fine)
        self.to_quarter = nn.Conv2d(fine, coarse, 2, stride=2)
        self.first_quarter = _Block(coarse)
        self.to_eighth = nn.Conv2d(coarse, coarse, 2, stride=2)
        self.first_eighth = _Block(coarse)
        self.whole_slice = nn.Linear(2 * coarse, coarse)
        self.last_eighth = _Block(coarse)
        self.from_eighth = nn.Conv2d(coarse, coarse, 1)
        self.last_quarter = _Block(coarse)
        self.from_quarter = nn.Conv2d(coarse, fine, 1)
        self.last_half = _Block(fine)
        self.pixels = nn.Conv2d(fine, 4, 1)
        self.slices = nn.Linear(2 * coarse, 3)
        for parameter in (*self.pixels.parameters(), *self.slices.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, evidence: Float[Tensor, "b f n s s"]) -> Float[Tensor, "b n s s"]:
        """Log-odds and prior, weighted for each slice, plus a change per pixel and one per slice."""
        count = evidence.shape[2]
        half = self.first_half(self.stem(rearrange(evidence, "b f n h w -> (b n) f h w")), count)
        quarter = self.first_quarter(self.to_quarter(half), count)
        eighth = self.first_eighth(self.to_eighth(quarter), count)
        whole = F.gelu(self.whole_slice(_summary(eighth)))
        eighth = self.last_eighth(eighth + whole[..., None, None], count)
        trust, weight, presence = rearrange(self.slices(_summary(eighth)), "(b n) k -> k b n 1 1", n=count)
        quarter = self.last_quarter(quarter + _doubled(self.from_eighth(eighth)), count)
        half = self.last_half(half + _doubled(self.from_quarter(quarter)), count)
        pixels = rearrange(self.pixels(half), "(b n) (y x) h w -> b n (h y) (w x)", n=count, y=2, x=2)
        log_odds, prior = evidence[:, Evidence.log_odds], evidence[:, Evidence.prior]
        fused: Tensor = (1 + trust) * log_odds + weight * prior + (pixels + presence) / 2
        return SCALE * fused


class _Block(nn.Module):
    """A residual block: a convolution within slices, then a product across neighboring slices."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, width)
        self.within = nn.Conv2d(width, width, 3, padding=1)
        self.across = nn.Conv2d(3 * width, width, 1)

    def forward(self, x: Float[Tensor, "bn c h w"], count: int) -> Float[Tensor, "bn c h w"]:
        """`count`: slices of a volume; those of several volumes follow one another."""
        inner = rearrange(F.gelu(self.within(self.norm(x))), "(b n) c h w -> b n c h w", n=count)
        padded = F.pad(inner, (0, 0, 0, 0, 0, 0, 1, 1))
        neighbors = torch.cat([padded[:, :-2], inner, padded[:, 2:]], dim=2)
        change: Tensor = self.across(rearrange(neighbors, "b n c h w -> (b n) c h w"))
        return x + change


def _summary(x: Float[Tensor, "bn c h w"]) -> Float[Tensor, "bn k"]:
    """Mean and maximum of each slice."""
    return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)


def _doubled(x: Float[Tensor, "bn c h w"]) -> Float[Tensor, "bn c h2 w2"]:
    return F.interpolate(x, scale_factor=2, mode="nearest")
