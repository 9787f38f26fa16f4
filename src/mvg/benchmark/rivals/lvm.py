"""The LVM form (Bai et al. 2024), written by us: pictures are tokens, and a causal transformer says the next one.

A request is one sentence: image, target, image, target, ..., query; the answer is how the sentence goes on.
"""

import math
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.benchmark.protocol.method import Budget, Scope, TrainingData
from mvg.benchmark.rivals._in_context import InContext
from mvg.benchmark.rivals._training import TrainingLog, TrainingSetup, first_weights, train_for_budget
from mvg.canvas import Pairs
from mvg.model.transformer import Block, ConvBlock, Positions, init_unit_variance
from mvg.prediction.options import PredictionOptions as Shown
from mvg.tasks import Task
from mvg.training.optimization import OptimizerSettings
from mvg.training.requests import EpisodeSettings

SCOPE: Scope = "generalist"
PROMPTED = True
_CELL = 4


@dataclass(frozen=True)
class PredictionOptions:
    """size, patch: pixels of a picture and of a token; steps: of each number that a token is made of, odd (their
    product is the vocabulary); features: of the tokenizer; width, depth, heads: of the transformer; prompts: pairs in
    the sentence; tokenizer: share of the budget; classes: fewest and most that are painted; labels: share of episodes
    that are segmentation; batch: sentences per step; rate: peak; workers: that make episodes."""

    size: int = 128
    patch: int = 8
    steps: tuple[int, ...] = (7, 5, 5, 5)
    features: int = 48
    width: int = 192
    depth: int = 6
    heads: int = 3
    prompts: int = 2
    tokenizer: float = 0.2
    classes: tuple[int, int] = (1, 3)
    labels: float = 0.5
    batch: int = 2
    rate: float = 1e-3
    workers: int = 1


class Tokenizer(nn.Module):
    """Pictures <-> tokens: each patch becomes a few numbers, rounded to few steps (finite scalar quantization)."""

    def __init__(self, settings: PredictionOptions) -> None:
        super().__init__()
        features, scale = settings.features, settings.patch // _CELL
        self.steps: Tensor
        self.places: Tensor
        steps = torch.tensor(settings.steps)
        self.register_buffer("steps", steps)
        self.register_buffer("places", torch.cumprod(torch.cat([torch.ones_like(steps[:1]), steps[:-1]]), 0))
        self.enter = nn.Conv2d(_CELL**2, features, 3, padding=1)
        self.shrink = nn.Conv2d(features, features, scale, stride=scale)
        self.read = nn.Sequential(ConvBlock(features), ConvBlock(features), nn.Conv2d(features, len(steps), 1))
        self.write = nn.Sequential(
            nn.Conv2d(len(steps), features, 3, padding=1), ConvBlock(features), ConvBlock(features)
        )
        self.grow = nn.ConvTranspose2d(features, features, scale, stride=scale)
        self.leave = nn.Sequential(ConvBlock(features), nn.Conv2d(features, _CELL**2, 3, padding=1))
        init_unit_variance(self.enter)

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return int(self.steps.prod())

    def rounded(self, pictures: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b k h w"]:
        """The numbers of each patch, in [-1, 1], with the gradient of numbers that are not rounded."""
        found = self.enter(F.pixel_unshuffle(4 * (pictures - 0.5), _CELL))
        free = self.read(self.shrink(F.gelu(found))).tanh()
        reach = self._reach()
        rounded: Tensor = free + ((free * reach).round() / reach - free).detach()
        return rounded

    def painted(self, numbers: Float[Tensor, "b k h w"]) -> Float[Tensor, "b 1 s s"]:
        """Pictures from the numbers of their patches."""
        said: Tensor = F.pixel_shuffle(self.leave(self.grow(self.write(numbers))), _CELL) + 0.5
        return said

    def tokens(self, pictures: Float[Tensor, "b 1 s s"]) -> Int[Tensor, "b t"]:
        """Pictures as tokens, row by row."""
        reach = self._reach()
        digits = (self.rounded(pictures) * reach + reach).round().long()
        tokens: Tensor = (digits * self.places.view(-1, 1, 1)).sum(1)
        return tokens.flatten(1)

    def pictures(self, tokens: Int[Tensor, "b t"], rows: int) -> Float[Tensor, "b 1 s s"]:
        """Undo `tokens`, as far as that can be."""
        digits = tokens[:, None] // self.places[:, None] % self.steps[:, None]
        numbers = rearrange(digits, "b k (h w) -> b k h w", h=rows) / self._reach() - 1
        return self.painted(numbers)

    def _reach(self) -> Float[Tensor, "k 1 1"]:
        return ((self.steps - 1) / 2).view(-1, 1, 1)


class Speaker(nn.Module):
    """A causal transformer over the tokens of a sentence of pictures (rows x columns patches each)."""

    def __init__(self, settings: PredictionOptions) -> None:
        super().__init__()
        width = settings.width
        self.rows, self.head_width = settings.size // settings.patch, width // settings.heads
        self.words = nn.Embedding(math.prod(settings.steps), width)
        self.kind = nn.Parameter(torch.zeros(2, width))
        self.positions = Positions(width, self.head_width)
        self.blocks = nn.ModuleList(Block(width, settings.heads) for _ in range(settings.depth))
        self.norm = nn.LayerNorm(width)
        self.next = nn.Linear(width, math.prod(settings.steps))
        nn.init.normal_(self.words.weight, std=0.5)

    def forward(
        self, tokens: Int[Tensor, "b t"], start: int = 0, memory: list[tuple[Tensor, Tensor]] | None = None
    ) -> Float[Tensor, "b t d"]:
        """Features that tell the token after each; `tokens` are those from place `start` of the sentence on.

        memory: per block keys and values (b, heads, places, e) of the whole sentence, filled as it grows; the tokens
        are then the first ones, or a single one.
        """
        picture, count = self.rows**2, tokens.shape[1]
        place = torch.arange(start, start + count, device=tokens.device)
        where = self.positions(self.rows, self.rows)[place % picture] + self.kind[place // picture % 2]
        x, rotation = self.words(tokens) + where, self._rotation(place)
        for number, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            q, k, v = block.attention.project(block.norm1(x), rotation)
            if memory is not None:
                for kept, new in zip(memory[number], (k, v), strict=True):
                    kept[:, :, start : start + count] = new
                k, v = (kept[:, :, : start + count] for kept in memory[number])
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=count > 1)
            x = block.finish(x, block.attention.out(rearrange(mixed, "b h t d -> b t (h d)")))
        features: Tensor = self.norm(x)
        return features

    def go_on(self, tokens: Int[Tensor, "b t"], count: int) -> Int[Tensor, "b m"]:
        """The likeliest next `count` tokens, one after the other."""
        batch, known = tokens.shape
        room = (batch, self.words.embedding_dim // self.head_width, known + count, self.head_width)
        memory = [
            (torch.zeros(room, device=tokens.device), torch.zeros(room, device=tokens.device)) for _ in self.blocks
        ]
        said = [self.next(self(tokens, 0, memory)[:, -1]).argmax(-1)]
        while len(said) < count:
            said.append(self.next(self(said[-1][:, None], known + len(said) - 1, memory)[:, -1]).argmax(-1))
        return torch.stack(said, dim=1)

    def _rotation(self, place: Int[Tensor, "t"]) -> Float[Tensor, "2 t e"]:
        half = self.head_width // 2
        speed = 10000.0 ** (-torch.arange(half, device=place.device) / half)
        angles = (place[:, None] * speed).repeat(1, 2)
        return torch.stack([angles.cos(), angles.sin()])


def serves(task: Task) -> bool:
    """Everything: labels are painted."""
    return True


def learn(settings: PredictionOptions, lesson: TrainingData) -> InContext:
    """First the tokens, then the sentences made of them."""
    with first_weights(lesson.seed):
        tokenizer, speaker = Tokenizer(settings), Speaker(settings)
    panels = settings.prompts + 1
    episodes = EpisodeSettings(
        batch=settings.batch, panels=(panels, panels), classes=settings.classes, label_fraction=settings.labels
    )
    course = TrainingSetup(
        lesson.tasks, settings.size, episodes, OptimizerSettings(learning_rate=settings.rate), settings.workers
    )

    def spoken(images: Tensor, targets: Tensor) -> Tensor:
        """Pictures of pairs (b, n, 1, s, s) in turn, as tokens (b, 2 n t)."""
        pictures = torch.stack([images, targets], dim=2).flatten(0, 2)
        return rearrange(tokenizer.tokens(pictures), "(b n) t -> b (n t)", b=len(images))

    def painting_loss(pairs: Pairs, drawn: torch.Generator) -> Tensor:
        pairs = pairs.painted()
        pictures = torch.cat([pairs.images, pairs.targets]).flatten(0, 1)
        said = tokenizer.painted(tokenizer.rounded(pictures)).float()
        return F.smooth_l1_loss(said, pictures, beta=0.1)

    def speaking_loss(pairs: Pairs, drawn: torch.Generator) -> Tensor:
        pairs = pairs.painted()
        with torch.no_grad():
            sentence = spoken(pairs.images, pairs.targets)
        logits = speaker.next(speaker(sentence[:, :-1])).float()
        return F.cross_entropy(logits.flatten(0, 1), sentence[:, 1:].flatten())

    def ask(queries: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        sentence = torch.cat([spoken(images, targets), tokenizer.tokens(queries)], dim=1)
        return tokenizer.pictures(speaker.go_on(sentence, speaker.rows**2), speaker.rows)

    first = train_for_budget(tokenizer, painting_loss, course, _part(lesson, settings.tokenizer), "tokenizer")
    second = train_for_budget(speaker, speaking_loss, course, _part(lesson, 1 - settings.tokenizer))
    learnt = TrainingLog(
        first.steps + second.steps,
        first.samples + second.samples,
        first.seconds + second.seconds,
        first.losses + second.losses,
    )
    return InContext(ask, settings.size, "colors", Shown(num_prompts=settings.prompts), lesson.device, learnt)


def _part(lesson: TrainingData, share: float) -> TrainingData:
    budget = lesson.budget
    return replace(lesson, budget=Budget(share * budget.minutes, round(share * budget.samples)))
