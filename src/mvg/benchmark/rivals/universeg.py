"""UniverSeg (Butoi et al. 2023), reimplemented: a U-Net whose blocks let query and prompts interact.

Binary segmentation: one pass per class; any number of prompts, whose order has no influence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._episodes import TrainingSetup, train_on_episodes
from mvg.benchmark.rivals._in_context import InContext
from mvg.benchmark.rivals._training import initial_weights
from mvg.canvas import Pairs
from mvg.prediction.options import PredictionOptions
from mvg.tasks import Task
from mvg.training.optimization import OptimizerSettings
from mvg.training.requests import EpisodeSettings

SCOPE: Scope = "generalist"
USES_PROMPTS = True


@dataclass(frozen=True)
class Options:
    """size: picture side; widths: features per level, each at half the resolution. prompts: slices per query slice.
    panels: smallest and largest number of pairs in an episode; batch: queries per step; rate: peak learning rate;
    workers: processes that make episodes."""

    size: int = 128
    widths: tuple[int, ...] = (24, 24, 24, 24)
    prompts: int = 8
    panels: tuple[int, int] = (4, 7)
    batch: int = 2
    rate: float = 1e-3
    workers: int = 1


class CrossConv(nn.Conv2d):
    """A 3 x 3 convolution over the channels of the query followed by those of a prompt, for every prompt.

    Convolutions are linear: the query's part is computed once and added to that of each prompt.
    """

    def __init__(self, query: int, prompt: int, features: int) -> None:
        super().__init__(query + prompt, features, 3, padding=1)
        self.split = query

    def forward(  # type: ignore[override]
        self, query: Float[Tensor, "b c h w"], prompts: Float[Tensor, "b n d h w"]
    ) -> Float[Tensor, "b n e h w"]:
        of_query = F.conv2d(query, self.weight[:, : self.split], self.bias, padding=1)
        of_prompts = F.conv2d(prompts.flatten(0, 1), self.weight[:, self.split :], padding=1)
        return of_query[:, None] + rearrange(of_prompts, "(b n) e h w -> b n e h w", b=len(query))


class CrossBlock(nn.Module):
    """Each query-prompt pair is convolved together; the query continues with the mean, a prompt with its own pair."""

    def __init__(self, query: int, prompt: int, features: int) -> None:
        super().__init__()
        self.cross = CrossConv(query, prompt, features)
        self.query = nn.Conv2d(features, features, 3, padding=1)
        self.prompt = nn.Conv2d(features, features, 3, padding=1)

    def forward(
        self, query: Float[Tensor, "b c h w"], prompts: Float[Tensor, "b n d h w"]
    ) -> tuple[Float[Tensor, "b e h w"], Float[Tensor, "b n e h w"]]:
        pairs = self.cross(query, prompts)
        next_prompts = F.leaky_relu(self.prompt(pairs.flatten(0, 1)))
        return F.leaky_relu(self.query(pairs.mean(1))), rearrange(
            next_prompts, "(b n) e h w -> b n e h w", b=len(query)
        )

    def last(self, query: Float[Tensor, "b c h w"], prompts: Float[Tensor, "b n d h w"]) -> Float[Tensor, "b e h w"]:
        """The query alone; the mean of all pairs is the pair with the mean prompt."""
        return F.leaky_relu(self.query(self.cross(query, prompts.mean(1, keepdim=True))[:, 0]))


class CrossUNet(nn.Module):
    """Cross blocks down and up again with skips; outputs logits of the class of the prompts' masks."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            CrossBlock(before or 1, before or 2, width) for before, width in zip((0, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList()
        before = widths[-1]
        for width in reversed(widths[:-1]):
            self.up.append(CrossBlock(before + width, before + width, width))
            before = width
        self.read = nn.Conv2d(before, 1, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="leaky_relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(
        self, queries: Float[Tensor, "b 1 s s"], images: Float[Tensor, "b n 1 s s"], targets: Float[Tensor, "b n 1 s s"]
    ) -> Float[Tensor, "b 1 s s"]:
        query, prompts, skips = queries, torch.cat([images, targets], dim=2), []
        for level, block in enumerate(self.down):
            if level:
                query, prompts = F.max_pool2d(query, 2), _each(F.max_pool2d, prompts, 2)
            query, prompts = block(query, prompts)
            skips.append((query, prompts))
        for block in self.up:
            skips.pop()
            query_skip, prompts_skip = skips[-1]
            query = torch.cat([_upsampled(query), query_skip], dim=1)
            prompts = torch.cat([_each(_upsampled, prompts), prompts_skip], dim=2)
            if block is self.up[-1]:
                query = cast(CrossBlock, block).last(query, prompts)
            else:
                query, prompts = block(query, prompts)
        logits: Tensor = self.read(query)
        return logits


def overlap_loss(logits: Float[Tensor, "b 1 s s"], masks: Float[Tensor, "b 1 s s"]) -> Float[Tensor, ""]:
    """Soft Dice of each query plus cross-entropy; for an absent class, false positives cost."""
    logits = logits.float()
    probability = logits.sigmoid()
    smoothing = 1e-3 * masks[0].numel()
    intersection = 2 * (probability * masks).sum((1, 2, 3)) + smoothing
    dice = 1 - intersection / ((probability + masks).sum((1, 2, 3)) + smoothing)
    return dice.mean() + F.binary_cross_entropy_with_logits(logits, masks)


def serves(task: Task) -> bool:
    """Label maps, from one image."""
    return task.spec.target_type == "labels"


def fit(options: Options, data: TrainingData) -> InContext:
    """Train on episodes of one random class each."""
    with initial_weights(data.seed):
        network = CrossUNet(options.widths)

    def loss(pairs: Pairs, generator: torch.Generator) -> Tensor:
        logits = network(pairs.images[:, -1], pairs.images[:, :-1], pairs.targets[:, :-1])
        return overlap_loss(logits, pairs.targets[:, -1])

    setup = TrainingSetup(
        data.tasks,
        options.size,
        EpisodeSettings(batch=options.batch, panels=options.panels, coloring="binary"),
        OptimizerSettings(learning_rate=options.rate),
        options.workers,
    )
    log = train_on_episodes(network, loss, setup, data)
    return InContext(network, options.size, "binary", PredictionOptions(num_prompts=options.prompts), data.device, log)


def _upsampled(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c i j"]:
    return F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=True)


def _each(
    function: Callable[..., Tensor], features: Float[Tensor, "b n c h w"], *arguments: Any
) -> Float[Tensor, "b n c i j"]:
    """The function applied to the features of every prompt."""
    return rearrange(function(features.flatten(0, 1), *arguments), "(b n) c h w -> b n c h w", b=len(features))
