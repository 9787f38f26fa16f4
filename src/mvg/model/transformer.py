"""Attention, blocks, patches and positions: the parts of both forms of the model."""

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.attention import attention
from mvg.model.layers import Conv2d, Linear, for_layer, from_layer
from mvg.model.recomputation import recomputed


def patches(pictures: Float[Tensor, "b c s s"], side: int) -> Float[Tensor, "b t d"]:
    """Cut pictures into non-overlapping patches of `side` pixels, one token of c * side * side values each."""
    return rearrange(pictures, "b c (h i) (w j) -> b (h w) (c i j)", i=side, j=side)


def unpatch(tokens: Float[Tensor, "b t d"], side: int, rows: int) -> Float[Tensor, "b c h w"]:
    """Undo `patches`: `rows` is the number of token rows, the channels are what remains of the token's width."""
    return rearrange(tokens, "b (h w) (c i j) -> b c (h i) (w j)", h=rows, i=side, j=side)


def to_map(tokens: Float[Tensor, "b t d"], rows: int) -> Float[Tensor, "b d h w"]:
    """Lay tokens out as a feature map in channels-last memory (a view: nothing is copied)."""
    return rearrange(tokens, "b (h w) d -> b d h w", h=rows)


def to_tokens(features: Float[Tensor, "b d h w"]) -> Float[Tensor, "b t d"]:
    """Read a feature map as one token per position."""
    return rearrange(features, "b d h w -> b (h w) d")


def _grid(rows: int, columns: int, device: torch.device) -> Float[Tensor, "t 2"]:
    row, column = torch.meshgrid(
        torch.arange(rows, device=device, dtype=torch.float32),
        torch.arange(columns, device=device, dtype=torch.float32),
        indexing="ij",
    )
    return torch.stack([row.flatten(), column.flatten()], dim=-1)


def init_unit_variance(layer: nn.Linear | nn.Conv2d, share: float = 1.0, inputs: int | None = None) -> None:
    """Start a layer so that inputs of variance 1 give outputs of standard deviation `share`, and no offset.

    The terms of a sum must be of one size from the first step on, or the smaller one is learned late: targets must not
    drown in positions. `inputs`: the sum of the inputs' variances, where they are not 1 each.
    """
    fan = inputs if inputs is not None else layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=share * fan**-0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Positions(nn.Module):
    """The positions of tokens in their picture, in two ways.

    `forward` gives an absolute code to add to the tokens: waves from edge to edge of the picture, whatever its size.
    `rotation` gives the cosines and sines of 2D rotary attention, which sees distances in tokens (Su et al. 2021, split
    over the two axes). Neither depends on the panel's number, so any number of panels works.
    """

    WAVES = 6

    def __init__(self, width: int, head_width: int) -> None:
        super().__init__()
        if head_width % 4:
            raise ValueError(f"a head is {head_width} wide; 2D rotary positions need a multiple of 4")
        self.head_width = head_width
        self.absolute = nn.Linear(4 * self.WAVES, width)
        init_unit_variance(self.absolute, share=0.3, inputs=2 * self.WAVES)

    def forward(self, rows: int, columns: int) -> Float[Tensor, "t d"]:
        grid = _grid(rows, columns, self.absolute.weight.device)
        grid = (grid + 0.5) / torch.tensor([rows, columns], device=grid.device) - 0.5
        angles = grid[:, :, None] * torch.pi * 2.0 ** torch.arange(self.WAVES, device=grid.device)
        code: Tensor = self.absolute(torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1))
        return code

    def rotation(self, rows: int, columns: int) -> Float[Tensor, "2 t d"]:
        grid = _grid(rows, columns, self.absolute.weight.device)
        count = self.head_width // 4
        speed = 100.0 ** (-torch.arange(count, device=grid.device) / count)
        angles = (grid[:, :, None] * speed).flatten(1).repeat(1, 2)
        return torch.stack([angles.cos(), angles.sin()])


def rotate(x: Float[Tensor, "b h t d"], rotation: Float[Tensor, "2 t d"]) -> Float[Tensor, "b h t d"]:
    """Rotate queries or keys by the positions of their tokens."""
    cos, sin = rotation.to(x.dtype)
    left, right = x.chunk(2, dim=-1)
    rotated: Tensor = x * cos + torch.cat([-right, left], dim=-1) * sin
    return rotated


class DropPath(nn.Module):
    """Leave a residual branch out for a random share `rate` of the samples while training (stochastic depth)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand(x.shape[0], 1, 1, device=x.device) >= self.rate
        return x * keep.to(x.dtype) / (1 - self.rate)


class Attention(nn.Module):
    """Multi-head attention in separate steps, projection and attention, so that keys and values can be kept."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)

    def project(self, x: Float[Tensor, "b t d"], rotation: Float[Tensor, "2 t e"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (b, heads, t, head width), queries and keys turned by position."""
        projected = from_layer(self.qkv, self.qkv(x))
        heads = rearrange(projected, "b t (three h d) -> b (three h) t d", three=3, h=self.heads)
        q, k = rotate(heads[:, : 2 * self.heads], rotation).chunk(2, dim=1)
        return q, k, heads[:, 2 * self.heads :]

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "b t d"]:
        """Attend and project back to the model's width."""
        out: Tensor = self.out(rearrange(attention(q, k, v), "b h t d -> b t (h d)"))
        return out


Attend = Callable[[Attention, Tensor, Tensor, Tensor], Tensor]
"""(attention, queries, keys, values), each (b, heads, t, head width), -> attended values (b, t, d)."""


class Block(nn.Module):
    """A pre-norm transformer block.

    recompute: in training, keep its input alone and compute the rest again in the backward pass.
    """

    def __init__(self, width: int, heads: int, expansion: int = 4, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(Linear(width, expansion * width), nn.GELU(), Linear(expansion * width, width))
        self.drop = DropPath(drop_path)
        self.recompute = False

    def forward(
        self, x: Float[Tensor, "b t d"], rotation: Float[Tensor, "2 t e"], attend: Attend = Attention.attend
    ) -> Float[Tensor, "b t d"]:
        """Attend within each sequence of the batch, or as `attend` does."""
        return recomputed(self._forward, self.recompute, x, rotation, attend)

    def _forward(self, x: Tensor, rotation: Tensor, attend: Attend) -> Tensor:
        return self.finish(x, attend(self.attention, *self.attention.project(self.norm1(x), rotation)))

    def finish(self, x: Float[Tensor, "b t d"], attended: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Add the attended values, then the MLP."""
        x = x + self.drop(attended)
        out: Tensor = x + self.drop(self.mlp(for_layer(self.mlp[0], self.norm2(x))))
        return out


class ConvBlock(nn.Module):
    """A residual pair of 3 x 3 convolutions in channels-last memory. recompute: as in `Block`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.first = Conv2d(width, width, 3, padding=1)
        self.second = Conv2d(width, width, 3, padding=1)
        self.recompute = False

    def forward(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        return recomputed(self._forward, self.recompute, x)

    def _forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(self.first.activated(self.norm(x), "gelu"))
        return out


class ConvStem(nn.Module):
    """A picture's first features: quarter resolution by unshuffled pixels and convolutions, then one token per patch.

    It avoids work at full resolution: it reads the picture as 4 x 4 cells of 16 values, where matrix products are fast.
    """

    CELL = 4
    CONTRAST = 4.0  # pictures vary by about a quarter of [0, 1]

    def __init__(self, channels: int, fine: int, width: int, patch: int) -> None:
        super().__init__()
        if patch % self.CELL:
            raise ValueError(f"the patch is {patch} pixels; the convolutional stem needs a multiple of {self.CELL}")
        self.enter = nn.Conv2d(channels * self.CELL**2, fine, 3, padding=1)
        init_unit_variance(self.enter)
        self.blocks = nn.Sequential(ConvBlock(fine), ConvBlock(fine))
        self.norm = nn.GroupNorm(1, fine)
        self.reduce = nn.Conv2d(fine, width, patch // self.CELL, stride=patch // self.CELL)
        init_unit_variance(self.reduce)

    def forward(self, pictures: Float[Tensor, "b c s s"]) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b f h w"]]:
        """Tokens, and the fine map at a quarter of the resolution."""
        cells = F.pixel_unshuffle(self.CONTRAST * pictures, self.CELL).contiguous(memory_format=torch.channels_last)
        fine = self.norm(self.blocks(self.enter(cells)))
        return to_tokens(self.reduce(fine)), fine


class FineHead(nn.Module):
    """Tokens and the picture's fine map -> maps at full resolution, through quarter resolution.

    Each output map is a correction plus a gate times the picture, so that a restoration is a change of the query and an
    unchanged pixel costs nothing. The sum is taken in float32, so 16-bit inputs keep their precision.
    """

    CELL = ConvStem.CELL

    def __init__(self, width: int, fine: int, patch: int, maps: int) -> None:
        super().__init__()
        self.scale, self.maps = patch // self.CELL, maps
        self.expand = nn.Linear(width, fine * self.scale**2)
        self.skip = nn.Conv2d(fine, fine, 1)
        self.blocks = nn.Sequential(ConvBlock(fine), ConvBlock(fine))
        self.norm = nn.GroupNorm(1, fine)
        self.read = nn.Conv2d(fine, 2 * maps * self.CELL**2, 1)
        init_unit_variance(self.expand)
        init_unit_variance(self.skip, share=0.5)
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.read.bias)  # type: ignore[arg-type]

    def shared(self, fine: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
        """The part that does not depend on the target channel, to compute once for all channels."""
        out: Tensor = self.skip(fine)
        return out

    def forward(
        self, tokens: Float[Tensor, "b t d"], skip: Float[Tensor, "b f h w"], pictures: Float[Tensor, "b 1 s s"]
    ) -> Float[Tensor, "b m s s"]:
        rows = pictures.shape[-2] // (self.CELL * self.scale)
        x = F.pixel_shuffle(to_map(self.expand(tokens), rows), self.scale) + skip
        x = self.blocks(x.contiguous(memory_format=torch.channels_last))
        maps = F.pixel_shuffle(self.read(F.gelu(self.norm(x))), self.CELL).float()
        correction, gate = maps.chunk(2, dim=1)
        return correction + gate * pictures.float()
