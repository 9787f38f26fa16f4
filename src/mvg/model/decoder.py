"""The decoder of the matching form: matched targets and the regression become a picture and class scores."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.config import MatchingConfig
from mvg.model.intensity_basis import PIXEL_FEATURES
from mvg.model.layers import Conv2d, Linear, for_layer, from_layer
from mvg.model.ridge import RIDGE_CELL
from mvg.model.transformer import ConvBlock, init_unit_variance, to_map

PICTURES, SCORES, BOTH = slice(0, 1), slice(1, 2), slice(0, 2)
"""Which maps are decoded."""


class Decoder(nn.Module):
    """The maps of each target channel at full resolution, decoded through a quarter of it.

    A map is the regression's prediction times a gate, plus a change. An untrained decoder gives the regression
    alone. The sum is taken in float32, so 16-bit inputs keep their precision.
    """

    def __init__(self, config: MatchingConfig, image_width: int) -> None:
        super().__init__()
        width, inner = config.decoder_width, config.fine // 4 * 3
        self.gather = Linear(2 * config.target_width, width)
        self.from_image = Linear(image_width, width)
        init_unit_variance(self.gather)
        init_unit_variance(self.from_image, share=0.5)
        blocks = (ConvBlock(width) for _ in range(config.decoder_depth))
        self.blocks = nn.Sequential(*blocks, nn.GroupNorm(1, width))
        self.expand = Conv2d(width, 4 * inner, 1)
        self.skip = Conv2d(config.fine_width, inner, 1)
        self.hint = Conv2d(2 * RIDGE_CELL**2, inner, 1)
        for layer in (self.expand, self.skip, self.hint):
            init_unit_variance(layer, share=0.6)
        self.pixels = Conv2d(config.inputs * PIXEL_FEATURES * RIDGE_CELL**2, inner, 1)
        self.fine_blocks = nn.Sequential(ConvBlock(inner), ConvBlock(inner), nn.GroupNorm(1, inner))
        self.read = nn.Conv2d(inner, 4 * RIDGE_CELL**2, 1)
        for parameter in (*self.pixels.parameters(), *self.read.parameters()):
            nn.init.zeros_(parameter)

    def forward(
        self,
        matched: Float[Tensor, "b c t e"],
        tokens: Float[Tensor, "b t d"],
        fine: Float[Tensor, "b f h w"],
        pixels: Float[Tensor, "b m k"],
        regression: Float[Tensor, "b two c m p"],
        kinds: slice = BOTH,
    ) -> Float[Tensor, "kinds b c s s"]:
        """Pictures and class scores of all channels, or one of both.

        matched: what each cell of 8 x 8 pixels collected from prompts' targets; tokens, fine: features of the images;
        pixels: features of the pixels of each cell of 4 x 4; regression: its prediction, plain and scaled.
        """
        channels, rows = matched.shape[1], fine.shape[-2]
        x = (self.gather(for_layer(self.gather, matched)) + self.from_image(tokens)[:, None]).flatten(0, 1)
        x = self.blocks(to_map(x, rows // 2).contiguous(memory_format=torch.channels_last))
        x = F.pixel_shuffle(self.expand(x), 2)
        base = rearrange(regression, "b two c (h w) p -> (b c) h w (two p)", h=rows).movedim(-1, 1)
        pixel_map = rearrange(for_layer(self.pixels, pixels), "b (h w) k -> b k h w", h=rows)
        pixel_map = pixel_map.contiguous(memory_format=torch.channels_last)
        skip = self.skip(fine) + self.pixels(pixel_map)
        x = (rearrange(x, "(b c) f h w -> b c f h w", c=channels) + skip[:, None]).flatten(0, 1)
        x = x + self.hint(base.to(x.dtype))
        x = from_layer(self.skip, F.gelu(self.fine_blocks(x.contiguous(memory_format=torch.channels_last))))
        change, gate = self._read(x, kinds).float().chunk(2, dim=1)
        base = rearrange(rearrange(base, "n (two p) h w -> n two p h w", two=2)[:, kinds], "n k p h w -> n (k p) h w")
        maps = F.pixel_shuffle(change + (1 + gate) * base, RIDGE_CELL)
        return rearrange(maps, "(b c) k h w -> k b c h w", c=channels)

    def _read(self, x: Float[Tensor, "n d h w"], kinds: slice) -> Float[Tensor, "n e h w"]:
        """Changes of some kinds of maps, then their gates.

        This convolution of single pixels is one product of channels-last maps: PyTorch's own is slow for few of them.
        """
        assert self.read.bias is not None
        weight, bias = (
            rearrange(part.flatten(1), "(both two p) d -> both two p d", both=2, two=2)[:, kinds].flatten(0, 2)
            for part in (self.read.weight, self.read.bias[:, None])
        )
        return F.linear(x.movedim(1, -1), weight, bias[:, 0]).movedim(-1, 1)
