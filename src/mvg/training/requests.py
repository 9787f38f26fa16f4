"""Requests of training: slices of several patients become pairs of images and target, changed at random."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mvg.canvas import Pairs
from mvg.imaging.coloring import Coloring
from mvg.imaging.frame import Box
from mvg.tasks import TargetType
from mvg.training.augmentation import AugmentationSettings, Change, Curve, Tone, sample
from mvg.training.synthetic import regions
from mvg.training.task_sources import Sources, TaskSource, predefined_colors
from mvg.training.zoom import zoom_on_labels

_TRIES = 8  # to draw slices that show something
_NO_LABEL = 255  # a value that no label has


@dataclass(frozen=True)
class EpisodeSettings:
    """How episodes are drawn.

    batch: requests per step; panels: fewest and most pairs in a request; classes: fewest and most target channels;
    sizes: picture sides in pixels, one drawn per step (empty: the model's). label_fraction: share of steps with labels
    as targets (Sec. 4.1). position_jitter: standard deviation of the prompts' relative position in their volumes about
    the query's. empty_query_fraction: chance that a drawn query slice without a label is kept. coloring: of classes
    where the model paints; a model that trains with fixed colors needs them in prediction too. zoom_fraction: share of
    segmentation requests that are magnified about their labels; synthetic_fraction: share of them that ask for random
    regions of the query, with changed copies of it as prompts. patient_fraction, max_patients: how many of each set's
    patients are used (0: no limit), drawn by the run's seed. prompt_patients: "others" (each pair of a request is
    another patient's) or "any" (one patient is enough)."""

    batch: int = 4
    panels: tuple[int, int] = (3, 5)
    classes: tuple[int, int] = (1, 3)
    label_fraction: float = 0.5
    position_jitter: float = 0.05
    empty_query_fraction: float = 0.1
    sizes: tuple[int, ...] = ()
    coloring: Literal["random", "predefined", "binary"] = "random"
    zoom_fraction: float = 0.0
    synthetic_fraction: float = 0.0
    patient_fraction: float = 1.0
    max_patients: int = 0
    prompt_patients: Literal["others", "any"] = "others"


@dataclass(frozen=True)
class RequestShape:
    """size: picture side in pixels; classes: most target channels of a segmentation."""

    size: int
    classes: int


@dataclass(frozen=True)
class Request:
    """One request of n pairs; the last pair is the query. name: "SET/TASK"."""

    images: Float[Tensor, "n i s s"]
    targets: Float[Tensor, "n c s s"]
    colors: tuple[float, ...]
    patients: tuple[str, ...]
    name: str


@dataclass(frozen=True)
class _Panels:
    """The pairs of a request before random changes. boxes: where each slice shows something, None for all of it."""

    images: list[NDArray[np.float32]]
    targets: list[NDArray[Any]]
    boxes: list[Box | None]
    synthetic: bool = False


@dataclass(frozen=True)
class RequestMaker:
    """Makes requests of tasks. sources: all tasks that are trained, among which predefined colors are unique."""

    settings: EpisodeSettings
    augmentation: AugmentationSettings
    sources: Sources

    def make(self, source: TaskSource, patients: list[str], shape: RequestShape, rng: np.random.Generator) -> Request:
        """A pair of each of these patients; the last one is the query."""
        numbers = self._slices(source, patients, rng)
        change, tone = Change.shared(self.augmentation, rng), Tone.shared(self.augmentation, rng)
        labels = source.task.spec.target_type == "labels"
        panels = self._panels(source, numbers, shape.size, rng)
        changes = self._changes(source, panels, change, shape.size, rng)
        images, targets = _sample(panels, changes, shape.size, "nearest" if labels else "linear")
        if labels:
            images = torch.stack([tone.individual(self.augmentation, rng).apply(image) for image in images])
            values = self._draw_classes(targets, shape.classes, rng)
            targets = (targets == torch.tensor(values, dtype=targets.dtype).view(1, -1, 1, 1)).float()
            colors = self._draw_colors(values, source.set.card.name, rng)
        else:
            curve = Curve.random(self.augmentation, rng)
            images, targets, colors = tone.apply(images), curve.apply(tone.apply(targets)), (1.0,)
        unnamed = panels.synthetic or self.settings.prompt_patients == "any"
        names = tuple("" if unnamed else source.set.rows[number].patient for number in numbers)
        return Request(images, targets, colors, names, f"{source.set.card.name}/{source.task.name}")

    def _slices(self, source: TaskSource, patients: list[str], rng: np.random.Generator) -> list[int]:
        """The number of one slice of each patient, at about the query's relative position in the volume.

        Drawn again while all prompts are empty, and often while the query is.
        """
        rows = source.set.rows
        for _ in range(_TRIES):
            anchor = rows[int(rng.choice(source.patients[patients[-1]]))].position
            numbers = [self._nearest_slice(source, patient, anchor, rng) for patient in patients]
            *prompts, query = (bool(rows[number].label_values) for number in numbers)
            useful = any(prompts) and (query or rng.random() < self.settings.empty_query_fraction)
            if useful or source.task.spec.target_type != "labels":
                break
        return numbers

    def _nearest_slice(self, source: TaskSource, patient: str, anchor: float, rng: np.random.Generator) -> int:
        numbers = source.patients[patient]
        positions = np.array([source.set.rows[int(number)].position for number in numbers])
        position = anchor + rng.normal(0, self.settings.position_jitter)
        distances = np.abs(positions - position) + rng.uniform(0, 1e-3, len(positions))
        return int(numbers[distances.argmin()])

    def _panels(self, source: TaskSource, numbers: list[int], size: int, rng: np.random.Generator) -> _Panels:
        tiles = source.task.spec.sampling == "tiles"
        slices = [source.set[number] for number in numbers]
        if tiles:
            slices = [stored.random_crop(size, rng) for stored in slices]
        pairs = [source.task.pair(stored, rng) for stored in slices]
        boxes = [None if tiles else stored.row.box for stored in slices]
        fraction = self.settings.synthetic_fraction if source.task.spec.target_type == "labels" else 0.0
        if fraction > 0 and rng.random() < fraction:
            images, count = pairs[-1][0], len(pairs)
            return _Panels([images] * count, [regions(images[0], rng)] * count, [boxes[-1]] * count, synthetic=True)
        return _Panels([images for images, _ in pairs], [target for _, target in pairs], boxes)

    def _changes(
        self, source: TaskSource, panels: _Panels, shared: Change, size: int, rng: np.random.Generator
    ) -> list[Change]:
        """The change of geometry of each pair; tiles only share one, since resampling would smooth their noise."""
        tiles = source.task.spec.sampling == "tiles"
        changes = [shared if tiles else shared.individual(self.augmentation, rng) for _ in panels.images]
        if source.task.spec.target_type == "labels" and rng.random() < self.settings.zoom_fraction:
            return zoom_on_labels(changes, panels.targets, panels.boxes, size, rng)
        return changes

    def _draw_classes(self, labels: Float[Tensor, "n 1 s s"], count: int, rng: np.random.Generator) -> list[int]:
        """At most `count` values that the prompts show, in random order; without any, one value that nothing has."""
        values = [{int(value) for value in torch.unique(panel).tolist()} - {0} for panel in labels]
        union = sorted(set().union(*values))
        if not union:
            return [_NO_LABEL]
        if self.settings.coloring == "binary":
            return [int(rng.choice(union))]
        prompted = [value for value in union if any(value in panel for panel in values[:-1])] or union
        return [int(value) for value in rng.permutation(np.array(prompted))][:count]

    def _draw_colors(self, values: list[int], set_name: str, rng: np.random.Generator) -> tuple[float, ...]:
        if self.settings.coloring == "binary":
            return (1.0,)
        if self.settings.coloring == "predefined":
            return predefined_colors(self.sources, set_name, values)
        coloring = Coloring.random(values, rng)
        table = dict(zip(coloring.values, coloring.colors, strict=True))
        return tuple(table[value] for value in values)


def _sample(
    panels: _Panels, changes: list[Change], size: int, mode: Literal["linear", "nearest"]
) -> tuple[Float[Tensor, "n i s s"], Float[Tensor, "n 1 s s"]]:
    """Images and targets as squares; `mode` is how targets are read."""
    images, targets = [], []
    for channels, target, box, change in zip(panels.images, panels.targets, panels.boxes, changes, strict=True):
        images.append(torch.stack([sample(channel, box, change, size, "linear") for channel in channels]))
        targets.append(sample(target, box, change, size, mode))
    return torch.stack(images), torch.stack(targets)[:, None]


def stack(requests: list[Request], target_type: TargetType) -> Pairs:
    """A batch of requests; those with fewer target channels get empty ones, which `used` marks."""
    channels = max(request.targets.shape[1] for request in requests)
    batch, (panels, _, size, _) = len(requests), requests[0].images.shape
    targets = torch.zeros(batch, panels, channels, size, size)
    used = torch.zeros(batch, channels, dtype=torch.bool)
    colors = torch.zeros(batch, channels)
    for index, request in enumerate(requests):
        count = request.targets.shape[1]
        targets[index, :, :count] = request.targets
        used[index, :count] = True
        colors[index, :count] = torch.tensor(request.colors)
    images = torch.stack([request.images for request in requests])
    patients, names = tuple(r.patients for r in requests), tuple(r.name for r in requests)
    return Pairs(images, targets, used, colors, patients, target_type, names)
