"""A specialist: a network of one task of one set, which answers volumes slice by slice."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mvg.benchmark.protocol.method import Request, TrainingData
from mvg.benchmark.rivals._supervised import Learner, Learning, alone, labels_of, learn, learnt_from, said
from mvg.data.store import SliceRow
from mvg.errors import BenchmarkError, RecipeError
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import Window, guess_modality
from mvg.prediction.inference.query_volume import QueryVolume, smallest_integers
from mvg.prediction.inference.slices import decode_labels
from mvg.prediction.prompts.pairs import channels_first
from mvg.prediction.prompts.prompt_set import frames_for
from mvg.tasks import Task
from mvg.tasks.kinds.denoising import Denoising
from mvg.tasks.kinds.synthesis import Synthesis

_AT_ONCE = 8  # squares that are answered together


@dataclass(frozen=True, eq=False)
class Specialist:
    """A network that has learnt, ready to answer queries of its task.

    size: pixels a side of its squares. plane: how volumes are cut. target_window: raw intensities of answers that are
    pictures of another kind. device: as torch names it. steps, seconds, loss: how long it learnt, and its last loss.
    """

    task: Task
    network: nn.Module
    size: int
    plane: Plane
    target_window: Window
    device: str
    steps: int
    seconds: float
    loss: float

    @torch.inference_mode()
    def __call__(self, request: Request) -> Volume | LabelMap:
        """The answer on the query's own grid; slices are windowed, framed and put back as the generalist's are."""
        query = request.query
        plane = query.cut_along(self.plane)
        pictures = query.pictures(plane)
        frames = frames_for(pictures.shape[1:], query.pixel_spacing(plane), self.size, self.task.spec.sampling)
        window = seen_through(self.task, query, request.modality)
        cut = QueryVolume(channels_first(pictures), plane, (window,), frames)
        answers = [self._answer(cut, at) for at in range(len(cut))]
        return query.from_pictures(np.stack(answers), plane)

    def _answer(self, cut: QueryVolume, at: int) -> NDArray[Any]:
        squares = cut.squares(at)
        images = torch.from_numpy(squares).to(self.device)
        answer = torch.cat([said(self.network, part, self.task) for part in torch.split(images, _AT_ONCE)])
        if values := labels_of(self.task):
            numbers = decode_labels(cut, answer.softmax(dim=1).cpu().numpy()).numbers
            return smallest_integers(values[1:])[numbers]
        picture = answer[:, 0].cpu().numpy()
        if isinstance(self.task, Synthesis):
            return self.target_window.invert(cut.restore(picture))
        return cut.changed_by(at, squares[:, 0], picture)


def specialist(
    make: Callable[[int], nn.Module],
    settings: Learning,
    lesson: TrainingData,
    course: Callable[[nn.Module, Task], Sequence[Learner]] = alone,
) -> Specialist:
    """The network of `make(outputs)` after the lesson; it takes (b, 1, s, s) in [0, 1] to (b, outputs, s, s).

    `course` says what it learns from, and adds critics. First weights depend on the lesson's seed alone. Raises
    BenchmarkError as `supervised.learn` does.
    """
    (task,) = lesson.tasks
    _, rows = learnt_from(lesson)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(lesson.seed)
        network = make(max(1, len(labels_of(task))))
        learners = course(network, task)
    progress = learn(learners, settings, lesson)
    return Specialist(
        task,
        network,
        settings.size,
        usual_plane(rows),
        _target_window(rows, task),
        lesson.device,
        progress.step,
        progress.seconds,
        progress.loss,
    )


def halved(settings: Learning, times: int) -> None:
    """RecipeError where the squares of these settings cannot be halved so often."""
    if settings.size % 2**times:
        raise RecipeError(
            f"size = {settings.size} for a network that halves {times} times",
            f"a multiple of {2**times}",
            "correct the method's settings",
        )


def networks() -> Any:
    """The networks of MONAI; raises BenchmarkError where it is not installed."""
    try:
        return import_module("monai.networks.nets")
    except ImportError as problem:
        raise BenchmarkError(
            f"MONAI is missing ({problem})", "the package monai", "pip install '.[benchmark]' in mvg's source"
        ) from problem


def monai_is_there(settings: object) -> None:
    """The `check` of specialists whose networks are MONAI's."""
    networks()


def seen_through(task: Task, query: Volume, modality: str | None) -> Window:
    """A query's window: the named one for CT that is denoised, else by the one rule of training and prediction."""
    if isinstance(task, Denoising) and task.card.units == "HU":
        return Window.named(task.window)
    return Window.fit(query.voxels, modality or guess_modality(query.voxels))


def usual_plane(rows: Sequence[SliceRow]) -> Plane:
    """The plane that most of these slices are cut along."""
    return Counter(row.plane for row in rows).most_common(1)[0][0]


def _target_window(rows: Sequence[SliceRow], task: Task) -> Window:
    """The median window of the pictures that a synthesis learnt to make; of no use to other tasks."""
    if task.card.units == "HU" or not isinstance(task, Synthesis):
        return Window.named("soft tissue")
    windows = [row.target_window if task.goal is None else row.windows[task.goal] for row in rows]
    edges = [(window.low, window.high) for window in windows if window is not None]
    low, high = np.median(edges, axis=0)
    return Window(float(low), float(high))
