"""TransUNet: residual convolutions, a transformer over the coarsest of their features, and a decoder with skips.

Written from its description (Chen et al. 2021); no package offers it.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._options import TrainingOptions
from mvg.benchmark.rivals._specialist import Specialist, check_halvings, fit_specialist
from mvg.tasks import Task

SCOPE: Scope = "specialist"
USES_PROMPTS = False
_GROUPS = 8


@dataclass(frozen=True)
class Options(TrainingOptions):
    """widths: channels at 1/2, 1/4, ... of the side, multiples of 8; blocks: residual blocks at each.

    hidden, depth, heads: of the transformer. The default has 2.9 million parameters. hidden 768, depth 12 and heads 12
    are the published transformer; with widths (64, 256, 512, 1024) and 4 blocks it is 196 million in all.
    """

    rate: float = 1e-3
    widths: tuple[int, ...] = (32, 64, 96, 128)
    blocks: int = 1
    hidden: int = 192
    depth: int = 4
    heads: int = 4


class TransUNet(nn.Module):
    """Pictures (b, 1, s, s) -> (b, outputs, s, s); s is the `size` of the options."""

    def __init__(self, options: Options, outputs: int) -> None:
        super().__init__()
        widths, hidden = options.widths, options.hidden
        grid = options.size // 2 ** len(widths)
        self.down = nn.ModuleList(
            nn.Sequential(*(_Residual(a if n == 0 else b, b, 2 if n == 0 else 1) for n in range(options.blocks)))
            for a, b in zip((widths[0], *widths), widths, strict=False)
        )
        self.stem = _conv_norm_relu(1, widths[0])
        self.embed = nn.Conv2d(widths[-1], hidden, 1)
        self.positions = nn.Parameter(0.02 * torch.randn(1, grid * grid, hidden))
        layer = nn.TransformerEncoderLayer(
            hidden, options.heads, 4 * hidden, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, options.depth, nn.LayerNorm(hidden), enable_nested_tensor=False)
        self.bottom = _conv_norm_relu(hidden, widths[-1])
        skips = (*widths[-2::-1], widths[0])  # the stem's, at full resolution, comes last
        self.up = nn.ModuleList(_conv_norm_relu(a + b, b) for a, b in zip((widths[-1], *skips), skips, strict=False))
        self.head = nn.Conv2d(widths[0], outputs, 3, padding=1)

    def forward(self, images: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b outputs s s"]:
        features = [self.stem(images)]
        for stage in self.down:
            features.append(stage(features[-1]))
        tokens = rearrange(self.embed(features[-1]), "b c h w -> b (h w) c") + self.positions
        x = rearrange(self.transformer(tokens), "b (h w) c -> b c h w", h=features[-1].shape[-1])
        x = self.bottom(x)
        for stage, skip in zip(self.up, features[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = stage(torch.cat([x, skip], dim=1))
        output: Tensor = self.head(x)
        return output


class _Residual(nn.Module):
    """Two convolutions, the first with a stride, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _conv_norm_relu(inputs, outputs, stride)
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.GroupNorm(_GROUPS, outputs)
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.second(self.first(x)))


def _conv_norm_relu(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.GroupNorm(_GROUPS, outputs), nn.ReLU()
    )


def serves(task: Task) -> bool:
    """Label maps and pictures, from one image."""
    return task.spec.target_type != "field"


def fit(options: Options, data: TrainingData) -> Specialist:
    """Train on one task of one set."""
    check_halvings(options, len(options.widths))
    return fit_specialist(lambda outputs: TransUNet(options, outputs), options, data)
