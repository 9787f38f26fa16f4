"""LVM (Bai et al. 2024), reimplemented: pictures become tokens, and a causal transformer predicts the next one.

A request is one sequence: image, target, image, target, ..., query; the prediction is its continuation.
"""

import math
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._episodes import TrainingSetup, train_on_episodes
from mvg.benchmark.rivals._in_context import InContext
from mvg.benchmark.rivals._training import TrainingLog, initial_weights
from mvg.canvas import Pairs
from mvg.model.transformer import Block, ConvBlock, Positions, init_unit_variance
from mvg.prediction.options import PredictionOptions
from mvg.tasks import Task
from mvg.training.optimization import OptimizerSettings
from mvg.training.requests import EpisodeSettings

SCOPE: Scope = "generalist"
USES_PROMPTS = True
_CELL = 4


@dataclass(frozen=True)
class Options:
    """size, patch: pixels of a picture and of a token. steps: quantization steps of each number of a token, odd (their
    product is the vocabulary); features: of the tokenizer; tokenizer: its fraction of the budget. width, depth, heads:
    of the transformer. prompts: pairs in the sequence. classes: smallest and largest number that is painted; labels:
    fraction of episodes that are segmentation. batch: sequences per step; rate: peak learning rate; workers: processes
    that make episodes."""

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

    def __init__(self, options: Options) -> None:
        super().__init__()
        features, scale = options.features, options.patch // _CELL
        self.steps: Tensor
        self.strides: Tensor
        steps = torch.tensor(options.steps)
        self.register_buffer("steps", steps)
        self.register_buffer("strides", torch.cumprod(torch.cat([torch.ones_like(steps[:1]), steps[:-1]]), 0))
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
        """The number of different tokens."""
        return int(self.steps.prod())

    def quantized(self, pictures: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b k h w"]:
        """The numbers of each patch, in [-1, 1], rounded; gradients pass as if they were not rounded."""
        features = self.enter(F.pixel_unshuffle(4 * (pictures - 0.5), _CELL))
        continuous = self.read(self.shrink(F.gelu(features))).tanh()
        scale = self._scale()
        quantized: Tensor = continuous + ((continuous * scale).round() / scale - continuous).detach()
        return quantized

    def decode(self, numbers: Float[Tensor, "b k h w"]) -> Float[Tensor, "b 1 s s"]:
        """Pictures from the numbers of their patches."""
        pictures: Tensor = F.pixel_shuffle(self.leave(self.grow(self.write(numbers))), _CELL) + 0.5
        return pictures

    def tokens(self, pictures: Float[Tensor, "b 1 s s"]) -> Int[Tensor, "b t"]:
        """Pictures as tokens, row by row."""
        scale = self._scale()
        digits = (self.quantized(pictures) * scale + scale).round().long()
        tokens: Tensor = (digits * self.strides.view(-1, 1, 1)).sum(1)
        return tokens.flatten(1)

    def pictures(self, tokens: Int[Tensor, "b t"], rows: int) -> Float[Tensor, "b 1 s s"]:
        """The decoded pictures of tokens; rows: of tokens in a picture."""
        digits = tokens[:, None] // self.strides[:, None] % self.steps[:, None]
        numbers = rearrange(digits, "b k (h w) -> b k h w", h=rows) / self._scale() - 1
        return self.decode(numbers)

    def _scale(self) -> Float[Tensor, "k 1 1"]:
        return ((self.steps - 1) / 2).view(-1, 1, 1)


class TokenPredictor(nn.Module):
    """A causal transformer over the tokens of a sequence of pictures (rows x columns patches each)."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        width = options.width
        self.rows, self.head_width = options.size // options.patch, width // options.heads
        self.embedding = nn.Embedding(math.prod(options.steps), width)
        self.kind = nn.Parameter(torch.zeros(2, width))
        self.positions = Positions(width, self.head_width)
        self.blocks = nn.ModuleList(Block(width, options.heads) for _ in range(options.depth))
        self.norm = nn.LayerNorm(width)
        self.next = nn.Linear(width, math.prod(options.steps))
        nn.init.normal_(self.embedding.weight, std=0.5)

    def forward(
        self, tokens: Int[Tensor, "b t"], start: int = 0, cache: list[tuple[Tensor, Tensor]] | None = None
    ) -> Float[Tensor, "b t d"]:
        """Features that predict the token after each; `tokens` begin at position `start` of the sequence.

        cache: per block, keys and values (b, heads, positions, e) of the whole sequence, filled as it grows; the tokens
        are then the first ones, or a single one.
        """
        picture, count = self.rows**2, tokens.shape[1]
        position = torch.arange(start, start + count, device=tokens.device)
        encoding = self.positions(self.rows, self.rows)[position % picture] + self.kind[position // picture % 2]
        x, rotation = self.embedding(tokens) + encoding, self._rotation(position)
        for number, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            q, k, v = block.attention.project(block.norm1(x), rotation)
            if cache is not None:
                for cached, new in zip(cache[number], (k, v), strict=True):
                    cached[:, :, start : start + count] = new
                k, v = (cached[:, :, : start + count] for cached in cache[number])
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=count > 1)
            x = block.finish(x, block.attention.out(rearrange(attended, "b h t d -> b t (h d)")))
        features: Tensor = self.norm(x)
        return features

    def continuation(self, tokens: Int[Tensor, "b t"], count: int) -> Int[Tensor, "b m"]:
        """The next `count` tokens, the most probable one at each position."""
        batch, length = tokens.shape
        shape = (batch, self.embedding.embedding_dim // self.head_width, length + count, self.head_width)
        cache = [
            (torch.zeros(shape, device=tokens.device), torch.zeros(shape, device=tokens.device)) for _ in self.blocks
        ]
        predicted = [self.next(self(tokens, 0, cache)[:, -1]).argmax(-1)]
        while len(predicted) < count:
            features = self(predicted[-1][:, None], length + len(predicted) - 1, cache)
            predicted.append(self.next(features[:, -1]).argmax(-1))
        return torch.stack(predicted, dim=1)

    def _rotation(self, position: Int[Tensor, "t"]) -> Float[Tensor, "2 t e"]:
        half = self.head_width // 2
        frequency = 10000.0 ** (-torch.arange(half, device=position.device) / half)
        angles = (position[:, None] * frequency).repeat(1, 2)
        return torch.stack([angles.cos(), angles.sin()])


def serves(task: Task) -> bool:
    """Label maps, which are painted, and pictures; from one image."""
    return task.spec.target_type != "field"


def fit(options: Options, data: TrainingData) -> InContext:
    """Train the tokenizer, then the prediction of its tokens."""
    with initial_weights(data.seed):
        tokenizer, predictor = Tokenizer(options), TokenPredictor(options)
    panels = options.prompts + 1
    episodes = EpisodeSettings(
        batch=options.batch, panels=(panels, panels), classes=options.classes, label_fraction=options.labels
    )
    setup = TrainingSetup(
        data.tasks, options.size, episodes, OptimizerSettings(learning_rate=options.rate), options.workers
    )

    def sequence_of(images: Tensor, targets: Tensor) -> Tensor:
        """The pictures of pairs (b, n, 1, s, s), images and targets alternating, as tokens (b, 2 n t)."""
        pictures = torch.stack([images, targets], dim=2).flatten(0, 2)
        return rearrange(tokenizer.tokens(pictures), "(b n) t -> b (n t)", b=len(images))

    def tokenizer_loss(pairs: Pairs, generator: torch.Generator) -> Tensor:
        pairs = pairs.painted()
        pictures = torch.cat([pairs.images, pairs.targets]).flatten(0, 1)
        decoded = tokenizer.decode(tokenizer.quantized(pictures)).float()
        return F.smooth_l1_loss(decoded, pictures, beta=0.1)

    def token_loss(pairs: Pairs, generator: torch.Generator) -> Tensor:
        pairs = pairs.painted()
        with torch.no_grad():
            sequence = sequence_of(pairs.images, pairs.targets)
        logits = predictor.next(predictor(sequence[:, :-1])).float()
        return F.cross_entropy(logits.flatten(0, 1), sequence[:, 1:].flatten())

    def predict(queries: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        sequence = torch.cat([sequence_of(images, targets), tokenizer.tokens(queries)], dim=1)
        return tokenizer.pictures(predictor.continuation(sequence, predictor.rows**2), predictor.rows)

    first_data = replace(data, budget=data.budget.fraction(options.tokenizer))
    second_data = replace(data, budget=data.budget.fraction(1 - options.tokenizer))
    first = train_on_episodes(tokenizer, tokenizer_loss, setup, first_data, "tokenizer")
    second = train_on_episodes(predictor, token_loss, setup, second_data)
    log = TrainingLog(
        first.steps + second.steps,
        first.samples + second.samples,
        first.seconds + second.seconds,
        first.losses + second.losses,
    )
    return InContext(predict, options.size, "colors", PredictionOptions(num_prompts=options.prompts), data.device, log)
