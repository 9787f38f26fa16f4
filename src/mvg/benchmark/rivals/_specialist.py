"""A specialist: a network of one task of one set, which predicts volumes slice by slice."""

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
from mvg.benchmark.rivals._options import TrainingOptions
from mvg.benchmark.rivals._slices import training_slices
from mvg.benchmark.rivals._supervised import Learner, output_labels, predict, single_learner, train_supervised
from mvg.benchmark.rivals._training import TrainingLog, initial_weights
from mvg.data.store import SliceRow
from mvg.errors import BenchmarkError, RecipeError
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import Window
from mvg.prediction.inference.query_volume import QueryVolume, smallest_integers
from mvg.prediction.inference.slices import decode_labels
from mvg.prediction.prompts.cutting import frames_for
from mvg.prediction.prompts.pairs import channels_first
from mvg.tasks import Task

_BATCH = 8  # squares of one forward pass


@dataclass(frozen=True, eq=False)
class Specialist:
    """A trained network, ready to predict queries of its task.

    size: pixels a side of its squares. plane: how volumes are cut. target_window: of predicted pictures, where the
    task is not residual. device: as torch names it.
    """

    task: Task
    network: nn.Module
    size: int
    plane: Plane
    target_window: Window
    device: str
    log: TrainingLog

    @property
    def steps(self) -> int:
        """The number of training steps."""
        return self.log.steps

    @torch.inference_mode()
    def __call__(self, request: Request) -> Volume | LabelMap:
        """The prediction on the query's own grid; slices are windowed, framed and restored as the generalist's are."""
        query = request.query
        plane = query.cut_along(self.plane)
        pictures = query.pictures(plane)
        frames = frames_for(pictures.shape[1:], query.pixel_spacing(plane), self.size, self.task.spec.sampling)
        window = query_window(self.task, query, request.modality)
        cut = QueryVolume(channels_first(pictures), plane, (window,), frames)
        predictions = [self._predict_slice(cut, index) for index in range(len(cut))]
        return query.from_pictures(np.stack(predictions), plane)

    def _predict_slice(self, cut: QueryVolume, index: int) -> NDArray[Any]:
        squares = cut.squares(index)
        images = torch.from_numpy(squares).to(self.device)
        output = torch.cat([predict(self.network, part, self.task) for part in torch.split(images, _BATCH)])
        if labels := output_labels(self.task):
            classes = decode_labels(cut, output.softmax(dim=1).cpu().numpy()).numbers
            return smallest_integers(labels[1:])[classes]
        picture = output[:, 0].cpu().numpy()
        return cut.raw_prediction(index, squares[:, 0], picture, self.task.spec, self.target_window)


def fit_specialist(
    build: Callable[[int], nn.Module],
    options: TrainingOptions,
    data: TrainingData,
    learners: Callable[[nn.Module, Task], Sequence[Learner]] = single_learner,
) -> Specialist:
    """Train the network of `build(outputs)`, which takes (b, 1, s, s) in [0, 1] to (b, outputs, s, s).

    learners: the network with its loss, and critics. Initial weights depend on the seed alone. Raises BenchmarkError as
    `train_supervised` does.
    """
    (task,) = data.tasks
    _, rows = training_slices(data)
    with initial_weights(data.seed):
        network = build(max(1, len(output_labels(task))))
        all_learners = learners(network, task)
    log = train_supervised(all_learners, options, data)
    return Specialist(task, network, options.size, usual_plane(rows), _target_window(rows, task), data.device, log)


def check_halvings(options: TrainingOptions, count: int) -> None:
    """RecipeError if the squares of these options cannot be halved so often."""
    if options.size % 2**count:
        raise RecipeError(
            f"size = {options.size} for a network that halves {count} times",
            f"a multiple of {2**count}",
            "correct the method's options",
        )


def monai_networks() -> Any:
    """The networks of MONAI; raises BenchmarkError if it is not installed."""
    try:
        return import_module("monai.networks.nets")
    except ImportError as error:
        raise BenchmarkError(
            f"MONAI is missing ({error})", "the package monai", "pip install '.[benchmark]' in mvg's source"
        ) from error


def check_monai(options: object) -> None:
    """The `check` of specialists whose networks are MONAI's."""
    monai_networks()


def query_window(task: Task, query: Volume, modality: str | None) -> Window:
    """The window of a query: the one that the task names, else by the rule of training and prediction."""
    return task.named_window or Window.fit(query.voxels, modality)


def usual_plane(rows: Sequence[SliceRow]) -> Plane:
    """The plane that most of these slices are cut along."""
    return Counter(row.plane for row in rows).most_common(1)[0][0]


def _target_window(rows: Sequence[SliceRow], task: Task) -> Window:
    """The median window of the target pictures in training; label maps and residual tasks do not use it."""
    windows = [row.target_window if task.target_channel is None else row.windows[task.target_channel] for row in rows]
    edges = [(window.low, window.high) for window in windows if window is not None]
    if task.card.units == "HU" or task.spec.residual or not edges:
        return Window.named("soft tissue")
    low, high = np.median(edges, axis=0)
    return Window(float(low), float(high))
