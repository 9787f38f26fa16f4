"""Painter (Wang et al. 2023), reimplemented: prompt and query on one canvas, whose hidden patches it paints.

The whole canvas is computed for every query: attention goes in both directions, so nothing can be cached.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._episodes import TrainingSetup, train_on_episodes
from mvg.benchmark.rivals._in_context import InContext
from mvg.benchmark.rivals._training import initial_weights
from mvg.canvas import Pairs, all_visible, compose, per_pixel
from mvg.errors import RecipeError
from mvg.model.merged import LinearStem, PaperHead
from mvg.model.transformer import Block, Positions
from mvg.prediction.options import PredictionOptions
from mvg.tasks import Task
from mvg.training.optimization import OptimizerSettings
from mvg.training.requests import EpisodeSettings

SCOPE: Scope = "generalist"
USES_PROMPTS = True


@dataclass(frozen=True)
class Options:
    """size, patch: pixels. width, depth, heads, levels, merge_after: of the transformer, blocks counted from 1; inner:
    features of the head. prompts: pairs above the query. half: fraction of episodes that hide the query's whole target;
    the others hide `ratio` of all target patches. beta: where smooth L1 turns linear; background: weight of unlabeled
    pixels. classes: smallest and largest number that is painted; labels: fraction of episodes that are segmentation.
    batch: canvases per step; rate: peak learning rate; workers: processes that make episodes."""

    size: int = 128
    patch: int = 8
    width: int = 192
    depth: int = 8
    heads: int = 3
    levels: tuple[int, ...] = (4, 6, 8)
    merge_after: int = 3
    inner: int = 32
    prompts: int = 1
    half: float = 0.5
    ratio: float = 0.75
    beta: float = 0.01
    background: float = 0.1
    classes: tuple[int, int] = (1, 3)
    labels: float = 0.5
    batch: int = 4
    rate: float = 1e-3
    workers: int = 1


class StackedCanvas(nn.Module):
    """A plain vision transformer over n pairs stacked as one canvas of n s x s pixels (rows x columns).

    Images and targets go through the first blocks side by side, are averaged, and go on as one.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        width, patch = options.width, options.patch
        if not options.merge_after <= min(options.levels) <= max(options.levels) <= options.depth:
            raise RecipeError(
                f"levels = {options.levels} with merge_after = {options.merge_after} and depth = {options.depth}",
                "levels from merge_after to depth",
                "correct the suite",
            )
        self.levels, self.merge_after = options.levels, options.merge_after
        self.image_stem, self.target_stem = LinearStem(width, patch), LinearStem(width, patch)
        self.mask = nn.Parameter(torch.zeros(width))
        self.kind = nn.Parameter(torch.zeros(2, width))
        self.positions = Positions(width, width // options.heads)
        self.blocks = nn.ModuleList(Block(width, options.heads) for _ in range(options.depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in options.levels)
        self.head = PaperHead(len(options.levels) * width, patch, options.inner)

    def forward(
        self,
        images: Float[Tensor, "b n 1 s s"],
        targets: Float[Tensor, "b n 1 s s"],
        visible: Bool[Tensor, "b n h w"],
        first: int = 0,
    ) -> Float[Tensor, "b m 1 s s"]:
        """The painted targets of pairs `first` and after; target patches that are not visible have no influence."""
        batch, panels, rows, columns = visible.shape
        image, target = (
            rearrange(stem(pictures.flatten(0, 1) - 0.5)[0], "(b n) t d -> b (n t) d", b=batch)
            for stem, pictures in ((self.image_stem, images), (self.target_stem, targets))
        )
        target = torch.where(visible.flatten(1)[..., None], target, self.mask.to(target.dtype))
        positions = self.positions(panels * rows, columns)
        rotation = self.positions.rotation(panels * rows, columns)
        x, features = torch.cat([image + self.kind[0], target + self.kind[1]]) + positions, []
        for index, block in enumerate(self.blocks, start=1):
            x = block(x, rotation)
            if index == self.merge_after:
                x = (x[:batch] + x[batch:]) / 2
            if index in self.levels:
                features.append(x)
        tokens = torch.cat([norm(level) for norm, level in zip(self.norms, features, strict=True)], dim=-1)
        panel_tokens = rearrange(tokens, "b (n t) d -> b n t d", n=panels)[:, first:].flatten(0, 1)
        painted: Tensor = self.head(panel_tokens, rows)
        return rearrange(painted, "(b m) 1 h w -> b m 1 h w", b=batch)


def serves(task: Task) -> bool:
    """Label maps, which are painted, and pictures; from one image."""
    return task.spec.target_type != "field"


def fit(options: Options, data: TrainingData) -> InContext:
    """Train to paint hidden patches of targets, labels in random colors."""
    with initial_weights(data.seed):
        network = StackedCanvas(options)
    patch = options.patch

    def loss(pairs: Pairs, generator: torch.Generator) -> Tensor:
        painted = pairs.painted()
        visible = visible_patches(all_visible(painted, patch), options, generator)
        canvas = compose(painted, visible)
        output = network(canvas.images, canvas.targets, canvas.visible).float()
        weight = per_pixel((~visible).float(), pairs.images.shape[-1])
        if pairs.target_type == "labels":
            weight = torch.where(painted.targets > 0, 1.0, options.background) * weight
        error = F.smooth_l1_loss(output, painted.targets, beta=options.beta, reduction="none")
        return (error * weight).sum() / weight.sum().clamp(min=1)

    def predict(queries: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        visible = torch.ones(*images.shape[:2], *(side // patch for side in queries.shape[-2:]), dtype=torch.bool)
        visible = torch.cat([visible, torch.zeros_like(visible[:, :1])], dim=1).to(queries.device)
        blank = torch.zeros_like(queries[:, None])
        stacked = torch.cat([images, queries[:, None]], dim=1), torch.cat([targets, blank], dim=1)
        painted: Tensor = network(*stacked, visible, images.shape[1])[:, 0]
        return painted

    panels = options.prompts + 1
    episodes = EpisodeSettings(
        batch=options.batch, panels=(panels, panels), classes=options.classes, label_fraction=options.labels
    )
    setup = TrainingSetup(
        data.tasks, options.size, episodes, OptimizerSettings(learning_rate=options.rate), options.workers
    )
    log = train_on_episodes(network, loss, setup, data)
    return InContext(predict, options.size, "colors", PredictionOptions(num_prompts=options.prompts), data.device, log)


def visible_patches(
    all_patches: Bool[Tensor, "b n h w"], options: Options, generator: torch.Generator
) -> Bool[Tensor, "b n h w"]:
    """The target patches that an episode shows: all but the query's, or a random part of all."""
    if torch.rand((), generator=generator) < options.half:
        visible = all_patches.clone()
        visible[:, -1] = False
        return visible
    noise = torch.rand(all_patches.flatten(1).shape, generator=generator)
    hidden = noise.argsort(dim=1).argsort(dim=1) < round(options.ratio * noise.shape[1])
    return ~hidden.view(all_patches.shape).to(all_patches.device)
