"""A small network that looks along a volume: what was answered for a slice is changed by what its neighbors say.

It is shown one class at a time, in the box of pixels where that class is likely, and starts as a mean of the answers
for the slices one by one and of those averaged along the volume.
"""

from enum import IntEnum

import torch
from jaxtyping import Float
from torch import Tensor

from mvg.model.fusion import SCALE
from mvg.model.slice_network import SliceNetwork

MULTIPLE = 8
"""The sides of a box of pixels are divisible by this."""
_SHARE = 0.5  # of the averaged answers in what the network starts from


class Answered(IntEnum):
    """The maps that the network receives for a slice and a class.

    alone: log-odds over `SCALE` of the answer for the slice; averaged: after averaging along the volume; others: of the
    most likely other class but the background; image: in [0, 1]; magnified: 1 in a magnified query, else 0.
    """

    alone = 0
    averaged = 1
    others = 2
    image = 3
    magnified = 4


class ThroughPlane(SliceNetwork):
    """Maps (b, 5, n, h, w) of n neighboring slices -> log-odds (b, n, h, w); h and w are divisible by `MULTIPLE`."""

    def __init__(self) -> None:
        super().__init__(len(Answered), coarse=48, outputs=3)

    def forward(self, maps: Float[Tensor, "b f n h w"]) -> Float[Tensor, "b n h w"]:
        """Both answers, weighted for each slice, plus a change per pixel and one per slice."""
        pixels, (trust, presence, share) = self.changes(maps)
        start = torch.lerp(maps[:, Answered.alone], maps[:, Answered.averaged], _SHARE + share)
        changed: Tensor = (1 + trust) * start + (pixels + presence) / 2
        return SCALE * changed
