"""How specialists learn: a network, and critics beside it, on the "train" slices of one task of one set."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pickle import UnpicklingError
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler

from mvg._atomic import atomic_file
from mvg.benchmark.protocol.method import TrainingData
from mvg.data.store import SliceRow, StoredSet
from mvg.errors import BenchmarkError, RecipeError
from mvg.imaging.frame import Frame
from mvg.tasks import Task
from mvg.tasks.kinds.synthesis import Synthesis

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(images (b, 1, s, s) in [0, 1], targets (b, 1, s, s), what is said of them (b, outputs, s, s)) -> a scalar."""

SAVE_EVERY = 60.0  # seconds between two checkpoints


@dataclass(frozen=True)
class Learning:
    """What every specialist's settings hold: how it learns.

    size: pixels a side of the squares that it sees, a multiple of 32. batch: slices per step. rate: of AdamW at its
    highest; warmup: share of the budget in which it rises, then it falls along a cosine; decay: of weights; clip: most
    norm of a gradient. zoom (logarithm), turn (radians), shift (share of half a picture): standard deviations of the
    random changes of slices that are shown whole. workers: processes that load slices.
    """

    size: int = 128
    batch: int = 8
    rate: float = 2e-3
    warmup: float = 0.05
    decay: float = 0.01
    clip: float = 1.0
    zoom: float = 0.1
    turn: float = 0.12
    shift: float = 0.06
    workers: int = 0

    def __post_init__(self) -> None:
        rules = [
            (self.size >= 32 and self.size % 32 == 0, f"size = {self.size}", "a multiple of 32"),
            (self.batch >= 1, f"batch = {self.batch}", "1 or more"),
            (0 < self.warmup < 1, f"warmup = {self.warmup}", "a share between 0 and 1"),
        ]
        for holds, found, expected in rules:
            if not holds:
                raise RecipeError(found, expected, "correct the method's settings")


class Learner(NamedTuple):
    """A network that learns by an optimizer of its own, and what it learns from."""

    network: nn.Module
    loss: Loss


@dataclass
class Progress:
    """How much was learnt: steps, query slices, seconds; the last step's loss of the network that answers."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    loss: float = math.nan


def labels_of(task: Task) -> tuple[int, ...]:
    """Background and the label values that a segmentation's outputs stand for, in order; empty for image tasks."""
    if task.spec.target_type == "image":
        return ()
    return (0, *sorted(set(task.card.labels) - set(task.card.ignored)))


def said(network: nn.Module, images: Float[Tensor, "b 1 s s"], task: Task) -> Float[Tensor, "b outputs s s"]:
    """What a network says: logits of `labels_of(task)`, or pictures; restorations are a change of the query."""
    out: Tensor = network(images)
    return out if task.spec.target_type == "labels" or isinstance(task, Synthesis) else images + out


def alone(network: nn.Module, task: Task) -> list[Learner]:
    """One network without critics: cross-entropy and Dice for labels, L1 for pictures."""
    values = labels_of(task)

    def label_loss(_images: Tensor, targets: Tensor, answer: Tensor) -> Tensor:
        right = torch.cat([targets == value for value in values], dim=1).float()
        likely = answer.softmax(dim=1)
        overlap = 2 * (likely * right).sum((0, 2, 3)) + 1
        dice = overlap / (likely.sum((0, 2, 3)) + right.sum((0, 2, 3)) + 1)
        return F.cross_entropy(answer, right) + 1 - dice[1:].mean()

    def picture_loss(_images: Tensor, targets: Tensor, answer: Tensor) -> Tensor:
        return F.l1_loss(answer, targets)

    return [Learner(network, label_loss if values else picture_loss)]


def learn(learners: Sequence[Learner], settings: Learning, lesson: TrainingData) -> Progress:
    """Spend the budget on the lesson's one task, or read back what was learnt; networks end ready to answer.

    The first learner answers; the others (critics) take their steps before it. A step's slices, changes and dropout
    depend on seed and step alone, so a lesson that was cut short ends as an uninterrupted one; with a budget in minutes
    the rate follows the clock. Raises BenchmarkError without slices to learn from, or on another lesson's checkpoint.
    """
    (task,) = lesson.tasks
    for learner in learners:
        learner.network.to(lesson.device).train()
    optimizers = [
        torch.optim.AdamW(one.network.parameters(), settings.rate, weight_decay=settings.decay) for one in learners
    ]
    checkpoint = _Checkpoint(lesson, settings, learners, optimizers)
    progress = checkpoint.read()
    saved, start, batches = progress.seconds, time.monotonic() - progress.seconds, None
    while (done := lesson.budget.done(progress.seconds, progress.samples)) < 1:
        if batches is None:
            batches = _loader(_Slices(task, settings, lesson), progress.step, settings.workers)
        images, targets = (part.to(lesson.device) for part in next(batches))
        seed = np.random.SeedSequence([lesson.seed, progress.step]).generate_state(1)[0]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seed))
            progress.loss = _step(learners, optimizers, images, targets, lesson, settings, done)
        progress.step, progress.samples = progress.step + 1, progress.samples + len(images)
        progress.seconds = time.monotonic() - start
        if progress.seconds - saved > SAVE_EVERY:
            saved = progress.seconds
            checkpoint.write(progress)
    if batches is not None:
        checkpoint.write(progress)
    for learner in learners:
        learner.network.eval().requires_grad_(requires_grad=False)
    return progress


def learnt_from(lesson: TrainingData) -> tuple[StoredSet, list[SliceRow]]:
    """The set of the lesson's one task and its "train" slices that are pairs of it; BenchmarkError without any."""
    (task,) = lesson.tasks
    stored = next((found for found in lesson.store.sets.values() if found.card.name == task.card.name), None)
    rows = [] if stored is None else [row for row in stored.rows if row.split == "train" and task.accepts(row)]
    if stored is None or not rows:
        raise BenchmarkError(
            f"nothing to learn {task.name} of {task.card.name} from in {lesson.store.folder}",
            "prepared slices of train patients",
            "prepare the set, or leave it out",
        )
    return stored, rows


def _step(
    learners: Sequence[Learner], optimizers: Sequence[torch.optim.Optimizer], images: Tensor, targets: Tensor,
    lesson: TrainingData, settings: Learning, done: float,
) -> float:  # fmt: skip
    """One step of every learner; returns the loss of the first."""
    fall = 0.5 + 0.5 * math.cos(math.pi * max(0.0, done - settings.warmup) / (1 - settings.warmup))
    with lesson.autocast():
        answer, loss = said(learners[0].network, images, lesson.tasks[0]).float(), math.nan
    for learner, optimizer in reversed(list(zip(learners, optimizers, strict=True))):
        optimizer.param_groups[0]["lr"] = settings.rate * min(fall, max(done / settings.warmup, 1e-2))
        optimizer.zero_grad()
        with lesson.autocast():
            scalar = learner.loss(images, targets, answer if learner is learners[0] else answer.detach())
        torch.autograd.backward(scalar)
        if torch.isfinite(nn.utils.clip_grad_norm_(learner.network.parameters(), settings.clip)):
            optimizer.step()
        loss = float(scalar.detach())
    return loss


class _Slices(Dataset[tuple[Tensor, Tensor]]):
    """Step -> its batch: images (b, 1, s, s) in [0, 1], and targets alike or label values as floats."""

    def __init__(self, task: Task, settings: Learning, lesson: TrainingData) -> None:
        self.task, self.settings = task, settings
        self.seed, self.samples = lesson.seed, lesson.budget.samples
        self.stored, rows = learnt_from(lesson)
        self.numbers = np.array([row.number for row in rows])

    def __getitem__(self, step: int) -> tuple[Float[Tensor, "b 1 s s"], Float[Tensor, "b 1 s s"]]:
        rng = np.random.default_rng([self.seed, step])
        count = self.settings.batch
        if self.samples:
            count = max(1, min(count, self.samples - step * count))
        pairs = [self._pair(int(number), rng) for number in rng.choice(self.numbers, count)]
        images, targets = (torch.from_numpy(np.stack(part))[:, None] for part in zip(*pairs, strict=True))
        return (images, targets) if self.task.spec.sampling == "tiles" else self._moved(images, targets, rng)

    def _pair(self, number: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A slice (s, s) and its target: whole and as large as fits, or a crop at its own resolution."""
        piece, size = self.stored[number], self.settings.size
        if self.task.spec.sampling == "tiles":
            (image,), target = self.task.pair(piece.random_crop(size, rng), rng)
            frame = Frame.tiles(image.shape, size, 0)[0]
        else:
            (whole,), wanted = self.task.pair(piece, rng)
            image, target = whole[piece.row.box.index], wanted[piece.row.box.index]
            frame = Frame.letterbox(image.shape, piece.row.spacing, size)
        framed = frame.apply_labels(target) if self.task.spec.target_type == "labels" else frame.apply(target)
        return frame.apply(image), np.asarray(framed, np.float32)

    def _moved(self, images: Tensor, targets: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Zoomed, turned and shifted at random; crops at native resolution are not, their noise would be smoothed."""
        count = len(images)
        turn, zoom = rng.normal(0, self.settings.turn, count), np.exp(rng.normal(0, self.settings.zoom, count))
        across, down = rng.normal(0, self.settings.shift, (2, count))
        cos, sin = np.cos(turn) * zoom, np.sin(turn) * zoom
        matrix = torch.from_numpy(np.array([[cos, -sin, across], [sin, cos, down]], np.float32)).permute(2, 0, 1)
        grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
        mode = "nearest" if self.task.spec.target_type == "labels" else "bilinear"
        return F.grid_sample(images, grid, align_corners=False), F.grid_sample(targets, grid, mode, align_corners=False)


class _Steps(Sampler[int]):
    def __init__(self, start: int) -> None:
        self.steps = range(start, 2**62)

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)


def _loader(slices: _Slices, start: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    return iter(DataLoader(slices, batch_size=None, sampler=_Steps(start), num_workers=workers))


class _Checkpoint:
    """Everything that a lesson changes, in one file of its folder, with what it must agree in to be gone on with."""

    def __init__(
        self,
        lesson: TrainingData,
        settings: Learning,
        learners: Sequence[Learner],
        optimizers: Sequence[torch.optim.Optimizer],
    ) -> None:
        self.path, self.device = lesson.folder / "checkpoint.pt", lesson.device
        (task,) = lesson.tasks
        about = {**asdict(settings), **asdict(lesson.budget), "workers": 0}
        about |= {"set": task.card.name, "task": task.name, "seed": lesson.seed}
        self.about = {name: list(value) if isinstance(value, tuple) else value for name, value in about.items()}
        self.parts: list[Any] = [*(learner.network for learner in learners), *optimizers]

    def read(self) -> Progress:
        """How far an earlier lesson came, with everything as it was; nothing where there was none."""
        if not self.path.exists():
            return Progress()
        try:
            state = torch.load(self.path, map_location=self.device, weights_only=True)
            about, parts, progress = state["about"], state["parts"], Progress(**state["progress"])
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, UnpicklingError) as problem:
            raise self._another(str(problem).splitlines()[:1]) from problem
        if about != self.about:
            raise self._another([name for name in self.about if self.about[name] != about.get(name)])
        for part, kept in zip(self.parts, parts, strict=True):
            part.load_state_dict(kept)
        return progress

    def write(self, progress: Progress) -> None:
        """The whole file or none."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        parts = [part.state_dict() for part in self.parts]
        with atomic_file(self.path) as temporary:
            torch.save({"about": self.about, "parts": parts, "progress": vars(progress)}, temporary)

    def _another(self, why: list[str]) -> BenchmarkError:
        return BenchmarkError(
            f"{self.path} is not of this lesson ({', '.join(why)})",
            "the checkpoint of the same task, seed, budget and settings",
            "remove it to learn anew",
        )
