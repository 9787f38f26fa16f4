"""The decoder of the matching form: what was found for a target channel becomes its picture and class scores."""

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.image_encoder import Features
from mvg.model.ridge import CELL, PLAIN
from mvg.model.transformer import ConvBlock, init_unit_variance, to_map


class Decoder(nn.Module):
    """What was found for a target channel -> its maps at full resolution, through a quarter of it.

    A map is the regression's answer times a gate, plus what the decoder says itself. It starts as the regression's
    answer alone. The sum is taken in float32: 16-bit inputs keep their precision.
    """

    def __init__(self, width: int, depth: int, fine: int, image_width: int, target_width: int) -> None:
        super().__init__()
        inner = fine // 4 * 3
        self.gather = nn.Linear(target_width, width)
        self.see = nn.Linear(image_width, width)
        init_unit_variance(self.gather)
        init_unit_variance(self.see, share=0.5)
        self.blocks = nn.Sequential(*(ConvBlock(width) for _ in range(depth)), nn.GroupNorm(1, width))
        self.expand = nn.Conv2d(width, 4 * inner, 1)
        self.skip = nn.Conv2d(fine, inner, 1)
        self.hint = nn.Conv2d(2 * CELL**2, inner, 1)
        for layer in (self.expand, self.skip, self.hint):
            init_unit_variance(layer, share=0.6)
        self.pixels = nn.Conv2d(PLAIN, inner, 1)
        nn.init.zeros_(self.pixels.weight)
        nn.init.zeros_(self.pixels.bias)  # type: ignore[arg-type]
        self.fine_blocks = nn.Sequential(ConvBlock(inner), ConvBlock(inner), nn.GroupNorm(1, inner))
        self.read = nn.Conv2d(inner, 4 * CELL**2, 1)
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.read.bias)  # type: ignore[arg-type]

    def forward(
        self,
        collected: Float[Tensor, "b c t w"],
        seen: Features,
        cells: Float[Tensor, "b m k"],
        said: Float[Tensor, "b two c m p"],
    ) -> Float[Tensor, "two b c s s"]:
        """Picture and class scores of every channel; cells: what the regression knows of the pixels themselves."""
        channels, rows = collected.shape[1], seen.fine.shape[-2]
        tokens = (self.gather(collected) + self.see(seen.levels[:, -1])[:, None]).flatten(0, 1)
        x = self.blocks(to_map(tokens, rows // 2).contiguous(memory_format=torch.channels_last))
        x = F.pixel_shuffle(self.expand(x), 2)
        base = rearrange(said, "b two c (h w) p -> (b c) (two p) h w", h=rows)
        pixels = rearrange(cells, "b (h w) k -> b k h w", h=rows).contiguous(memory_format=torch.channels_last)
        skip = repeat(self.skip(seen.fine) + self.pixels(pixels), "b f h w -> (b c) f h w", c=channels)
        x = (x + skip + self.hint(base.to(x.dtype))).contiguous(memory_format=torch.channels_last)
        read = self.read(F.gelu(self.fine_blocks(x))).float()
        own, gate = read.chunk(2, dim=1)
        maps = F.pixel_shuffle(own + (1 + gate) * base, CELL)
        return rearrange(maps, "(b c) two h w -> two b c h w", c=channels)
