"""A network that corrects predicted pictures: it sees the query, what the prompts say of it, and the prediction itself.

It looks at half the resolution and below, where the decoder of both kinds of targets works at a quarter. Weights may
have it or not. It is trained beside the other networks, which then stay as they are, so no label changes.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.config import MatchingConfig
from mvg.model.layers import Conv2d, Linear, for_layer
from mvg.model.outputs import ImageFeatures
from mvg.model.transformer import ConvBlock, init_unit_variance, to_map

_WIDTHS = 48, 96, 128  # at half, a quarter and an eighth of the resolution
_DEPTHS = 1, 2, 4  # blocks on the way down; on the way up as many but at the lowest resolution
_CONTRAST = 4.0  # pictures vary by about a quarter of [0, 1]
_CHANGE = 0.1  # of the picture, by an output of 1


class PictureRefiner(nn.Module):
    """Predicted pictures (b, c, s, s) -> better ones; without training the same ones. s is divisible by 8."""

    def __init__(self, config: MatchingConfig, image_width: int) -> None:
        """image_width: of the images' tokens."""
        super().__init__()
        half, quarter, eighth = _WIDTHS
        # Per target channel: prediction, regression, and what the prediction changes. Per input: image and filling.
        maps = 3 + 2 * config.inputs
        self.enter = Conv2d(4 * maps, half, 3, padding=1)
        self.half_down = nn.Sequential(*(ConvBlock(half) for _ in range(_DEPTHS[0])))
        self.to_quarter = Conv2d(half, quarter, 2, stride=2)
        self.fine = Conv2d(config.fine_width, quarter, 1)
        self.quarter_down = nn.Sequential(*(ConvBlock(quarter) for _ in range(_DEPTHS[1])))
        self.to_eighth = Conv2d(quarter, eighth, 2, stride=2)
        self.matched = Linear(2 * config.target_width, eighth)
        self.tokens = Linear(image_width, eighth)
        self.eighth = nn.Sequential(*(ConvBlock(eighth) for _ in range(_DEPTHS[2])))
        self.from_eighth = Conv2d(eighth, 4 * quarter, 1)
        self.quarter_up = nn.Sequential(*(ConvBlock(quarter) for _ in range(_DEPTHS[1])))
        self.from_quarter = Conv2d(quarter, 4 * half, 1)
        self.half_up = nn.Sequential(*(ConvBlock(half) for _ in range(_DEPTHS[0])), nn.GroupNorm(1, half))
        self.read = Conv2d(half, 4, 3, padding=1)
        for entering in (self.enter, self.to_quarter, self.to_eighth):
            init_unit_variance(entering)
        for added in (self.fine, self.matched, self.tokens, self.from_eighth, self.from_quarter):
            init_unit_variance(added, share=0.5)
        nn.init.zeros_(self.read.weight)
        assert self.read.bias is not None
        nn.init.zeros_(self.read.bias)

    def forward(
        self,
        predicted: Float[Tensor, "b c s s"],
        regression: Float[Tensor, "b c s s"],
        matched: Float[Tensor, "b c t e"],
        features: ImageFeatures,
    ) -> Float[Tensor, "b c s s"]:
        """The pictures with a change of each pixel; every channel is refined by itself.

        regression: its plain prediction; matched: what each cell of 8 x 8 pixels collected from the prompts' targets;
        features: of the queries.
        """
        assert features.levels is not None
        assert features.fine is not None
        assert features.filling is not None
        channels, images, rows = predicted.shape[1], features.images.float(), features.fine.shape[-2]
        of_channel = torch.stack([predicted - 0.5, regression - 0.5, predicted - images[:, :1]], dim=2)
        shared = torch.cat([images - 0.5, features.filling], dim=1)[:, None].expand(-1, channels, -1, -1, -1)
        maps = F.pixel_unshuffle(_CONTRAST * torch.cat([of_channel, shared], dim=2).flatten(0, 1), 2)
        half = self.half_down(self.enter(for_layer(self.enter, maps).contiguous(memory_format=torch.channels_last)))
        quarter = self.to_quarter(half) + _repeated(self.fine(features.fine), channels)
        quarter = self.quarter_down(quarter)
        tokens = self.matched(for_layer(self.matched, matched)) + self.tokens(features.levels[:, -1])[:, None]
        eighth = self.eighth(self.to_eighth(quarter) + to_map(tokens.flatten(0, 1), rows // 2))
        quarter = self.quarter_up(quarter + F.pixel_shuffle(self.from_eighth(eighth), 2))
        half = self.half_up(half + F.pixel_shuffle(self.from_quarter(quarter), 2))
        change = F.pixel_shuffle(self.read(F.gelu(half)), 2).float()
        return predicted + _CHANGE * rearrange(change, "(b c) 1 h w -> b c h w", c=channels)


def _repeated(maps: Float[Tensor, "b d h w"], channels: int) -> Float[Tensor, "bc d h w"]:
    """The maps of each query for each of its channels."""
    return maps if channels == 1 else maps.repeat_interleave(channels, dim=0)
