"""A specialist to compare with: a small 2D U-Net, trained on one task of one set, on the patients that prompt us."""

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.benchmark.questions import Question
from mvg.data.store import StoredSet
from mvg.imaging.frame import Frame, assemble
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window, guess_modality
from mvg.prediction.examples import frames_for
from mvg.tasks import Task

_SIDE, _BATCH, _RATE = 128, 8, 2e-3


class UNet(nn.Module):
    """Pictures (b, 1, s, s) -> (b, `outputs`, s, s), s a multiple of 16; about 1.5 million parameters by default."""

    def __init__(self, outputs: int, widths: tuple[int, ...] = (16, 32, 64, 128, 192)) -> None:
        super().__init__()
        self.down = nn.ModuleList(_twice(a, b) for a, b in zip((1, *widths), widths, strict=False))
        pairs = list(zip(widths[::-1], widths[-2::-1], strict=False))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(_twice(2 * b, b) for _, b in pairs)
        self.head = nn.Conv2d(widths[0], outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            kept.append(x)
        for grow, block, skip in zip(self.grow, self.up, kept[-2::-1], strict=True):
            x = block(torch.cat([grow(x), skip], dim=1))
        said: Tensor = self.head(x)
        return said


class Specialist:
    """A U-Net for one task of one set; `values` are the labels of its outputs from 1 on, `steps` how long it learnt."""

    def __init__(
        self, task: Task, stored: StoredSet, minutes: float, seed: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Learns for `minutes` on slices of 128 x 128 pixels of "train" patients, augmented by shifts, turns, zoom.

        `clock` tells the time in seconds.
        """
        torch.manual_seed(seed)
        self.task, self.values = task, (0, *task.card.labels) if task.answers == "labels" else ()
        self.net = UNet(max(1, len(self.values)))
        self.steps = self._learn(stored, 60 * minutes, np.random.default_rng(seed), clock)

    @torch.inference_mode()
    def __call__(self, question: Question) -> Volume | LabelMap:
        """The answer on the query's grid; slices are framed and windowed as the generalist's are."""
        query = question.query
        plane = query.plane
        pictures = query.pictures(plane)
        window = Window.fit(query.voxels, question.request(0).modality or guess_modality(query.voxels))
        frames = frames_for(pictures.shape[1:], query.pixel_spacing(plane), _SIDE, self.task.framing)
        answers = []
        for picture in pictures:
            squares = np.stack([frame.apply(window.apply(picture)) for frame in frames])
            said = self._said(torch.from_numpy(squares)[:, None]).numpy()
            restored = assemble(frames, list(said)) if len(frames) > 1 else frames[0].restore(said[0])
            if self.values:
                answers.append(np.array(self.values, np.uint8)[restored.argmax(axis=0)])
            else:
                answers.append((question.window or window).invert(restored[0]))
        return query.from_pictures(np.stack(answers), plane)

    def _said(self, images: Tensor) -> Tensor:
        out: Tensor = self.net(images)
        if self.values:
            return out.softmax(dim=1)
        return out if self.task.kind == "synthesis" else images + out

    def _learn(self, stored: StoredSet, seconds: float, rng: np.random.Generator, clock: Callable[[], float]) -> int:
        numbers = [number for number in stored.numbers("train") if self.task.accepts(stored.rows[number])]
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=_RATE, weight_decay=0.01)
        self.net.train()
        start, steps = clock(), 0
        while (done := (clock() - start) / seconds) < 1:
            optimizer.param_groups[0]["lr"] = _RATE * min(1, (steps + 1) / 20) * (0.5 + 0.5 * np.cos(np.pi * done))
            pairs = [_pair(self.task, stored, int(number), rng) for number in rng.choice(numbers, _BATCH)]
            images, targets = (torch.from_numpy(np.stack(part))[:, None] for part in zip(*pairs, strict=True))
            images, targets = _moved(images, targets, self.task, rng)
            optimizer.zero_grad()
            torch.autograd.backward(self._loss(images, targets))
            nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            optimizer.step()
            steps += 1
        self.net.eval()
        return steps

    def _loss(self, images: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy and Dice for labels, L1 for pictures."""
        if not self.values:
            return F.l1_loss(self._said(images), targets)
        right = torch.cat([targets == value for value in self.values], dim=1).float()
        logits = self.net(images)
        likely = logits.softmax(dim=1)
        overlap = 2 * (likely * right).sum((0, 2, 3)) + 1
        dice = overlap / (likely.sum((0, 2, 3)) + right.sum((0, 2, 3)) + 1)
        loss: Tensor = F.cross_entropy(logits, right) + 1 - dice[1:].mean()
        return loss


def _twice(a: int, b: int) -> nn.Sequential:
    steps = [
        layer
        for start in (a, b)
        for layer in (nn.Conv2d(start, b, 3, padding=1), nn.InstanceNorm2d(b, affine=True), nn.LeakyReLU(0.01))
    ]
    return nn.Sequential(*steps)


def _pair(
    task: Task, stored: StoredSet, number: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A slice (128, 128) and its target: whole and as large as fits, or a crop at its own resolution."""
    piece = stored[number]
    if task.framing == "native":
        image, target = task.pair(piece.random_crop(_SIDE, rng), rng)
        frame = Frame.tiles(image.shape, _SIDE, 0)[0]
    else:
        image, target = (part[piece.row.box.index] for part in task.pair(piece, rng))
        frame = Frame.letterbox(image.shape, piece.row.spacing, _SIDE)
    framed = frame.apply_labels(target) if task.answers == "labels" else frame.apply(target)
    return frame.apply(image), np.asarray(framed, np.float32)


def _moved(images: Tensor, targets: Tensor, task: Task, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Zoomed, turned and shifted at random, not for crops at native resolution, whose noise would be smoothed."""
    if task.framing == "native":
        return images, targets
    turn, zoom = rng.normal(0, 0.12, len(images)), np.exp(rng.normal(0, 0.1, len(images)))
    shift = rng.normal(0, 0.06, (2, len(images)))
    rows = [[np.cos(turn) * zoom, -np.sin(turn) * zoom, shift[0]], [np.sin(turn) * zoom, np.cos(turn) * zoom, shift[1]]]
    matrix = torch.from_numpy(np.array(rows, np.float32)).permute(2, 0, 1)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    mode = "nearest" if task.answers == "labels" else "bilinear"
    return F.grid_sample(images, grid, align_corners=False), F.grid_sample(targets, grid, mode, align_corners=False)
