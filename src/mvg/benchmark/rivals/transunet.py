"""TransUNet: residual convolutions, a transformer over the coarsest of their features, and a decoder with skips.

Written from its description (Chen et al., 2021); no package offers it.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._specialist import Specialist, halved, specialist
from mvg.benchmark.rivals._supervised import Learning
from mvg.tasks import Task

SCOPE: Scope = "specialist"
PROMPTED = False
_GROUPS = 8


@dataclass(frozen=True)
class Settings(Learning):
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
    """Pictures (b, 1, s, s) -> (b, outputs, s, s); s is that of the settings."""

    def __init__(self, settings: Settings, outputs: int) -> None:
        super().__init__()
        widths, hidden = settings.widths, settings.hidden
        grid = settings.size // 2 ** len(widths)
        self.down = nn.ModuleList(
            nn.Sequential(*(_Residual(a if n == 0 else b, b, 2 if n == 0 else 1) for n in range(settings.blocks)))
            for a, b in zip((widths[0], *widths), widths, strict=False)
        )
        self.stem = _convolved(1, widths[0])
        self.embed = nn.Conv2d(widths[-1], hidden, 1)
        self.place = nn.Parameter(0.02 * torch.randn(1, grid * grid, hidden))
        layer = nn.TransformerEncoderLayer(
            hidden, settings.heads, 4 * hidden, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.look = nn.TransformerEncoder(layer, settings.depth, nn.LayerNorm(hidden), enable_nested_tensor=False)
        self.bottom = _convolved(hidden, widths[-1])
        skips = (*widths[-2::-1], widths[0])  # the stem's, at full resolution, comes last
        self.up = nn.ModuleList(_convolved(a + b, b) for a, b in zip((widths[-1], *skips), skips, strict=False))
        self.head = nn.Conv2d(widths[0], outputs, 3, padding=1)

    def forward(self, images: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b outputs s s"]:
        kept = [self.stem(images)]
        for stage in self.down:
            kept.append(stage(kept[-1]))
        tokens = rearrange(self.embed(kept[-1]), "b c h w -> b (h w) c") + self.place
        x = rearrange(self.look(tokens), "b (h w) c -> b c h w", h=kept[-1].shape[-1])
        x = self.bottom(x)
        for stage, skip in zip(self.up, kept[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = stage(torch.cat([x, skip], dim=1))
        said: Tensor = self.head(x)
        return said


class _Residual(nn.Module):
    """Two convolutions beside a straight way, the first of them with a stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _convolved(inputs, outputs, stride)
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.GroupNorm(_GROUPS, outputs)
        )
        self.straight = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.straight(x) + self.second(self.first(x)))


def _convolved(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.GroupNorm(_GROUPS, outputs), nn.ReLU()
    )


def serves(task: Task) -> bool:
    """Labels and pictures alike."""
    return True


def learn(settings: Settings, lesson: TrainingData) -> Specialist:
    """Learn one task of one set."""
    halved(settings, len(settings.widths))
    return specialist(lambda outputs: TransUNet(settings, outputs), settings, lesson)
