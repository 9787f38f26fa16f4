"""The image encoder of the matching form: each image becomes features by itself, whatever the task.

Convolutions from half to an eighth of the resolution, a transformer over one token per patch, and back up to a quarter
of the resolution. Convolutions learn outlines from little data; the transformer relates regions of the whole picture.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.config import MatchingConfig
from mvg.model.layers import Conv2d, for_layer, from_layer
from mvg.model.masks import upsampled
from mvg.model.pretrained import PretrainedFeatures
from mvg.model.transformer import Block, ConvBlock, ConvStem, Positions, init_unit_variance, to_map, to_tokens


class DownBlock(nn.Module):
    """Half the resolution and another width, then residual blocks."""

    def __init__(self, width: int, wider: int, blocks: int) -> None:
        super().__init__()
        self.reduce = Conv2d(width, wider, 2, stride=2)
        init_unit_variance(self.reduce)
        self.blocks = nn.Sequential(*(ConvBlock(wider) for _ in range(blocks)))

    def forward(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b e i j"]:
        out: Tensor = self.blocks(self.reduce(x))
        return out


class UpBlock(nn.Module):
    """`times` the resolution, added to the map of that resolution on the way down."""

    def __init__(self, width: int, narrower: int, times: int) -> None:
        super().__init__()
        self.times = times
        self.expand = Conv2d(width, times**2 * narrower, 1)
        init_unit_variance(self.expand)
        self.block = ConvBlock(narrower)
        self.norm = nn.GroupNorm(1, narrower)

    def forward(self, x: Float[Tensor, "b d h w"], skip: Float[Tensor, "b e i j"]) -> Float[Tensor, "b e i j"]:
        x = F.pixel_shuffle(self.expand(x), self.times).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.norm(self.block(x + skip))
        return out


class ImageEncoder(nn.Module):
    """A small U-Net over one image at a time, with a vision transformer at its bottom.

    width: of the tokens of its levels.
    """

    CELL = 8
    """Pixels of the side of a cell of the levels; patches are one or several cells wide."""

    def __init__(self, config: MatchingConfig) -> None:
        super().__init__()
        patch, fine, width, depth = config.patch, config.fine, config.width, config.depth
        if patch % self.CELL:
            raise ValueError(f"the patch is {patch} pixels; the image encoder needs a multiple of {self.CELL}")
        self.patch, self.width, times = patch, 2 * fine, patch // self.CELL
        self.enter = nn.Conv2d(4 * (config.inputs + 1), fine // 2, 3, padding=1)
        init_unit_variance(self.enter)
        self.detail = ConvBlock(fine // 2)
        self.quarter = DownBlock(fine // 2, fine, 2)
        self.eighth = DownBlock(fine, self.width, 2)
        self.reduce = Conv2d(self.width, width, times, stride=times)
        init_unit_variance(self.reduce)
        self.positions = Positions(width, width // config.heads)
        rates = (config.drop_path * number / max(depth - 1, 1) for number in range(depth))
        self.blocks = nn.ModuleList(Block(width, config.heads, drop_path=rate) for rate in rates)
        self.norm = nn.LayerNorm(width)
        self.level_norm = nn.GroupNorm(1, self.width)
        self.to_eighth = UpBlock(width, self.width, times)
        self.to_quarter = UpBlock(self.width, fine, 2)
        self.photographs = PretrainedFeatures(config.pretrained, self.width) if config.pretrained else None

    def forward(
        self, images: Float[Tensor, "b i s s"], visible: Bool[Tensor, "b h w"] | None = None
    ) -> tuple[Float[Tensor, "b l t d"], Float[Tensor, "b f q q"]]:
        """Two levels of tokens, one per cell of 8 x 8 pixels (before and after the transformer), and a map (s/4, s/4).

        Patches that are not visible are blank, and a further plane marks them.
        """
        visible_pixels = torch.ones_like(images[:, :1])
        if visible is not None:
            visible_pixels = upsampled(visible, self.patch)[:, None].to(images.dtype)
        planes = torch.cat([ConvStem.CONTRAST * (images - 0.5) * visible_pixels, 1 - visible_pixels], dim=1)
        half = F.pixel_unshuffle(planes, 2).contiguous(memory_format=torch.channels_last)
        quarter = self.quarter(self.detail(for_layer(self.detail.first, self.enter(half))))
        eighth, added = self.eighth(quarter), list[Tensor]()
        if self.photographs is not None:
            maps, level = self.photographs(images * visible_pixels)
            eighth, added = eighth + level.to(eighth.dtype), [maps.to(eighth.dtype)]
        upper = self.to_eighth(for_layer(self.to_eighth.expand, self._transformed(eighth)), eighth)
        fine = torch.cat([self.to_quarter(upper, quarter), *added], dim=1)
        return torch.stack([to_tokens(self.level_norm(eighth)), to_tokens(upper)], dim=1), fine

    def _transformed(self, eighth: Float[Tensor, "b d h w"]) -> Float[Tensor, "b e i j"]:
        """The transformer over patches, as a map with one position per patch."""
        patches = from_layer(self.reduce, self.reduce(eighth))
        rows, columns = patches.shape[-2:]
        x = to_tokens(patches)
        x = x + self.positions(rows, columns).to(x.dtype)
        rotation = self.positions.rotation(rows, columns)
        for block in self.blocks:
            x = block(x, rotation)
        return to_map(self.norm(x), rows)
