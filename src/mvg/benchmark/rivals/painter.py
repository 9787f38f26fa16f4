"""The Painter form (Wang et al. 2023), written by us: prompt and query stacked on one canvas, hidden patches painted.

The whole canvas is computed anew for every query: attention goes in both directions, so nothing can be kept.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._in_context import InContext
from mvg.benchmark.rivals._training import TrainingSetup, first_weights, train_for_budget
from mvg.canvas import Pairs, compose, everywhere, spread
from mvg.errors import RecipeError
from mvg.model.merged import LinearStem, PaperHead
from mvg.model.transformer import Block, Positions
from mvg.prediction.options import PredictionOptions as Shown
from mvg.tasks import Task
from mvg.training.optimization import OptimizerSettings
from mvg.training.requests import EpisodeSettings

SCOPE: Scope = "generalist"
PROMPTED = True


@dataclass(frozen=True)
class PredictionOptions:
    """size, patch: pixels; width, depth, heads, levels, merge_after: of the transformer, blocks counted from 1; inner:
    features of the head; prompts: pairs above the query; half: share of episodes that hide the query's target whole,
    the others hide `ratio` of all target patches; beta: where smooth L1 turns linear; background: weight of unlabelled
    pixels; classes: fewest and most that are painted; labels: share of episodes that are segmentation; batch: canvases
    per step; rate: peak; workers: that make episodes."""

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

    def __init__(self, settings: PredictionOptions) -> None:
        super().__init__()
        width, patch = settings.width, settings.patch
        if not settings.merge_after <= min(settings.levels) <= max(settings.levels) <= settings.depth:
            raise RecipeError(
                f"levels = {settings.levels} with merge_after = {settings.merge_after} and depth = {settings.depth}",
                "levels from merge_after to depth",
                "correct the suite",
            )
        self.levels, self.merge_after = settings.levels, settings.merge_after
        self.image_stem, self.target_stem = LinearStem(width, patch), LinearStem(width, patch)
        self.mask = nn.Parameter(torch.zeros(width))
        self.kind = nn.Parameter(torch.zeros(2, width))
        self.positions = Positions(width, width // settings.heads)
        self.blocks = nn.ModuleList(Block(width, settings.heads) for _ in range(settings.depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in settings.levels)
        self.head = PaperHead(len(settings.levels) * width, patch, settings.inner)

    def forward(
        self,
        images: Float[Tensor, "b n 1 s s"],
        targets: Float[Tensor, "b n 1 s s"],
        visible: Bool[Tensor, "b n h w"],
        first: int = 0,
    ) -> Float[Tensor, "b m 1 s s"]:
        """The painted targets of pairs `first` and after; target patches that are not visible are not looked at."""
        batch, panels, rows, columns = visible.shape
        image, target = (
            rearrange(stem(pictures.flatten(0, 1) - 0.5)[0], "(b n) t d -> b (n t) d", b=batch)
            for stem, pictures in ((self.image_stem, images), (self.target_stem, targets))
        )
        target = torch.where(visible.flatten(1)[..., None], target, self.mask.to(target.dtype))
        where = self.positions(panels * rows, columns)
        rotation = self.positions.rotation(panels * rows, columns)
        x, found = torch.cat([image + self.kind[0], target + self.kind[1]]) + where, []
        for index, block in enumerate(self.blocks, start=1):
            x = block(x, rotation)
            if index == self.merge_after:
                x = (x[:batch] + x[batch:]) / 2
            if index in self.levels:
                found.append(x)
        tokens = torch.cat([norm(level) for norm, level in zip(self.norms, found, strict=True)], dim=-1)
        asked = rearrange(tokens, "b (n t) d -> b n t d", n=panels)[:, first:].flatten(0, 1)
        painted: Tensor = self.head(asked, rows)
        return rearrange(painted, "(b m) 1 h w -> b m 1 h w", b=batch)


def serves(task: Task) -> bool:
    """Everything: labels are painted."""
    return True


def learn(settings: PredictionOptions, lesson: TrainingData) -> InContext:
    """Learn to paint hidden patches of targets, labels in random colors."""
    with first_weights(lesson.seed):
        network = StackedCanvas(settings)
    patch = settings.patch

    def loss_of(pairs: Pairs, drawn: torch.Generator) -> Tensor:
        painted = pairs.painted()
        visible = shown_patches(everywhere(painted, patch), settings, drawn)
        canvas = compose(painted, visible)
        said = network(canvas.images, canvas.targets, canvas.visible).float()
        weight = spread((~visible).float(), pairs.images.shape[-1])
        if pairs.target_type == "labels":
            weight = torch.where(painted.targets > 0, 1.0, settings.background) * weight
        error = F.smooth_l1_loss(said, painted.targets, beta=settings.beta, reduction="none")
        return (error * weight).sum() / weight.sum().clamp(min=1)

    def ask(queries: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        visible = torch.ones(*images.shape[:2], *(side // patch for side in queries.shape[-2:]), dtype=torch.bool)
        visible = torch.cat([visible, torch.zeros_like(visible[:, :1])], dim=1).to(queries.device)
        blank = torch.zeros_like(queries[:, None])
        both = torch.cat([images, queries[:, None]], dim=1), torch.cat([targets, blank], dim=1)
        answer: Tensor = network(*both, visible, images.shape[1])[:, 0]
        return answer

    panels = settings.prompts + 1
    episodes = EpisodeSettings(
        batch=settings.batch, panels=(panels, panels), classes=settings.classes, label_fraction=settings.labels
    )
    course = TrainingSetup(
        lesson.tasks, settings.size, episodes, OptimizerSettings(learning_rate=settings.rate), settings.workers
    )
    learnt = train_for_budget(network, loss_of, course, lesson)
    return InContext(ask, settings.size, "colors", Shown(num_prompts=settings.prompts), lesson.device, learnt)


def shown_patches(
    everything: Bool[Tensor, "b n h w"], settings: PredictionOptions, drawn: torch.Generator
) -> Bool[Tensor, "b n h w"]:
    """Which target patches an episode shows: all but the query's (half the canvas), or a random part of all."""
    if torch.rand((), generator=drawn) < settings.half:
        visible = everything.clone()
        visible[:, -1] = False
        return visible
    noise = torch.rand(everything.flatten(1).shape, generator=drawn)
    hidden = noise.argsort(dim=1).argsort(dim=1) < round(settings.ratio * noise.shape[1])
    return ~hidden.view(everything.shape).to(everything.device)
