"""The image stream of the matching form: every picture on its own becomes features, whatever will be asked of it.

Convolutions from half to eighth resolution, a transformer over one token per patch, and back up to quarter resolution:
convolutions learn outlines from little data, the transformer tells what lies where in the whole picture.
"""

from dataclasses import dataclass

import torch
from einops import repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.transformer import Block, ConvBlock, ConvStem, Positions, init_unit_variance, to_map, to_tokens


@dataclass(frozen=True)
class Features:
    """What the image stream says of each picture.

    levels: (b, 2, t, d) one token per cell of an eighth of the resolution, before and after the transformer; fine:
    (b, f, s/4, s/4).
    """

    levels: Float[Tensor, "b l t d"]
    fine: Float[Tensor, "b f h w"]


class DownBlock(nn.Module):
    """Half the resolution and another width, then residual blocks."""

    def __init__(self, width: int, wider: int, blocks: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, wider, 2, stride=2)
        init_unit_variance(self.reduce)
        self.blocks = nn.Sequential(*(ConvBlock(wider) for _ in range(blocks)))

    def forward(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b e i j"]:
        out: Tensor = self.blocks(self.reduce(x))
        return out


class UpBlock(nn.Module):
    """`times` the resolution, added to what was seen there on the way down."""

    def __init__(self, width: int, narrower: int, times: int) -> None:
        super().__init__()
        self.times = times
        self.expand = nn.Conv2d(width, times**2 * narrower, 1)
        init_unit_variance(self.expand)
        self.block = ConvBlock(narrower)
        self.norm = nn.GroupNorm(1, narrower)

    def forward(self, x: Float[Tensor, "b d h w"], seen: Float[Tensor, "b e i j"]) -> Float[Tensor, "b e i j"]:
        x = F.pixel_shuffle(self.expand(x), self.times).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.norm(self.block(x + seen))
        return out


class ImageEncoder(nn.Module):
    """A small U-Net with a vision transformer of `depth` blocks at its bottom, over one picture at a time."""

    CELL = 8
    """Pixels of the side of a cell of `Features.levels`; patches are one or several cells wide."""

    def __init__(self, width: int, depth: int, heads: int, patch: int, fine: int, drop: float) -> None:
        super().__init__()
        if patch % self.CELL:
            raise ValueError(f"the patch is {patch} pixels; the image stream needs a multiple of {self.CELL}")
        self.patch, self.width, times = patch, 2 * fine, patch // self.CELL
        self.enter = nn.Conv2d(8, fine // 2, 3, padding=1)
        init_unit_variance(self.enter)
        self.detail = ConvBlock(fine // 2)
        self.quarter = DownBlock(fine // 2, fine, 2)
        self.eighth = DownBlock(fine, self.width, 2)
        self.reduce = nn.Conv2d(self.width, width, times, stride=times)
        init_unit_variance(self.reduce)
        self.positions = Positions(width, width // heads)
        self.blocks = nn.ModuleList(Block(width, heads, drop_path=drop * i / max(depth - 1, 1)) for i in range(depth))
        self.norm = nn.LayerNorm(width)
        self.level_norm = nn.GroupNorm(1, self.width)
        self.to_eighth = UpBlock(width, self.width, times)
        self.to_quarter = UpBlock(self.width, fine, 2)

    def forward(self, pictures: Float[Tensor, "b 1 s s"], visible: Bool[Tensor, "b h w"] | None = None) -> Features:
        """Patches that are not visible are blank, and a second plane says so."""
        seen = torch.ones_like(pictures)
        if visible is not None:
            seen = repeat(visible, "b h w -> b 1 (h p) (w q)", p=self.patch, q=self.patch).to(pictures.dtype)
        shown = ConvStem.CONTRAST * (pictures - 0.5) * seen
        cells = F.pixel_unshuffle(torch.cat([shown, 1 - seen], dim=1), 2).contiguous(memory_format=torch.channels_last)
        quarter = self.quarter(self.detail(self.enter(cells)))
        eighth = self.eighth(quarter)
        x = to_tokens(self.reduce(eighth))
        rows, columns = pictures.shape[-2] // self.patch, pictures.shape[-1] // self.patch
        x = x + self.positions(rows, columns).to(x.dtype)
        rotation = self.positions.rotation(rows, columns)
        for block in self.blocks:
            x = block(x, rotation)
        upper = self.to_eighth(to_map(self.norm(x), rows), eighth)
        fine = self.to_quarter(upper, quarter)
        levels = torch.stack([to_tokens(self.level_norm(eighth)), to_tokens(upper)], dim=1)
        return Features(levels, fine)
