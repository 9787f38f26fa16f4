"""The target encoder of the matching form: each channel of a prompt's target becomes tokens."""

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mvg.model.layers import Linear, for_layer
from mvg.model.transformer import ConvBlock, init_unit_variance, patches, to_map


class TargetEncoder(nn.Module):
    """Each target channel of each prompt as one token per cell, aware of its surroundings and of its image.

    width: of the tokens; depth: residual blocks; cell: side of a cell in pixels; image_width: of the image's tokens.
    """

    def __init__(self, width: int, depth: int, cell: int, image_width: int) -> None:
        super().__init__()
        self.cell = cell
        first, second = Linear(cell**2, width), Linear(width, width)
        init_unit_variance(first)
        init_unit_variance(second, share=1.5)
        self.embed = nn.Sequential(first, nn.GELU(), second)
        self.from_image = Linear(image_width, width)
        init_unit_variance(self.from_image, share=0.3)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.blocks = nn.Sequential(*(ConvBlock(width) for _ in range(depth)), nn.GroupNorm(1, width))

    def forward(
        self, targets: Float[Tensor, "b c s s"], visible: Bool[Tensor, "b h w"], image: Float[Tensor, "b t d"]
    ) -> Float[Tensor, "b c t e"]:
        """Tokens (t = h * w cells) of targets in [0, 1]; cells that are not visible hold the mask token."""
        channels = targets.shape[1]
        cells = patches(rearrange(targets, "b c h w -> (b c) 1 h w"), self.cell) * 2 - 1
        x = self.embed(for_layer(self.from_image, cells))
        visible_cells = repeat(visible, "b h w -> (b c) (h w) 1", c=channels)
        x = torch.where(visible_cells, x, self.mask_token.to(x.dtype))
        x = x + repeat(self.from_image(image), "b t e -> (b c) t e", c=channels)
        x = self.blocks(to_map(x, visible.shape[-2]).contiguous(memory_format=torch.channels_last))
        tokens: Tensor = rearrange(x, "(b c) e h w -> b c (h w) e", c=channels)
        return tokens


def distinct_channels(targets: Float[Tensor, "b n c s s"]) -> tuple[Int[Tensor, " k"], Int[Tensor, " c"]]:
    """The channels to encode, and for each channel its number among them: empty channels share the first of them."""
    empty = targets.amax(dim=(0, 1, 3, 4)) <= 0
    kept = ~empty | (empty & (empty.cumsum(0) == 1))
    numbers = kept.cumsum(0) - 1
    return kept.nonzero()[:, 0], torch.where(empty, numbers[empty.int().argmax()], numbers)
