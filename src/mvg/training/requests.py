"""Requests of training: slices of several patients or of one volume become pairs, changed at random."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mvg.canvas import Pairs
from mvg.imaging.coloring import Coloring
from mvg.imaging.frame import Box
from mvg.tasks import TargetType
from mvg.training.augmentation import AugmentationSettings, Change, Curve, Tone, sample
from mvg.training.imperfections import imperfect_labels
from mvg.training.slices import DrawnSlices, SliceSampler
from mvg.training.synthetic import regions
from mvg.training.task_sources import Sources, TaskSource, predefined_colors
from mvg.training.zoom import zoom_on_labels

_NO_LABEL = 255  # a value that no label has


@dataclass(frozen=True)
class EpisodeSettings:
    """How episodes are drawn.

    batch: requests per step; panels: fewest and most pairs in a request; classes: fewest and most target channels;
    sizes: picture sides in pixels, one drawn per step (empty: the model's). label_fraction: share of steps with labels
    as targets (Sec. 4.1). position_jitter: standard deviation of the prompts' relative position in their volumes about
    the query's. empty_query_fraction: chance that a drawn query slice without a label is kept. coloring: of classes
    where the model paints; a model that trains with fixed colors needs them in prediction too. zoom_fraction: share of
    segmentation requests that are magnified about their labels; synthetic_fraction: share of those with other patients'
    prompts that ask for random regions of the query instead, with changed copies of it as prompts.
    same_volume_fraction: share of the requests whose prompts are other slices of the query's
    volume, where a volume has as many slices as the request has panels; mixed_fraction: share of these that also have
    prompts of other patients; imperfect_prompt_fraction: share of the prompts of these with a deliberate defect
    (`imperfections`). patient_fraction, max_patients: how many of each set's patients are used (0: no limit), drawn by
    the run's seed. set_weights: data set -> how much more often (or, below 1, less often) than others of its size it
    is drawn; kind_weights: kind of task -> the same. prompt_patients: "others" (each pair of a request is another
    patient's, except in requests of one volume) or "any" (one patient is enough).
    """

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
    same_volume_fraction: float = 0.0
    mixed_fraction: float = 0.0
    imperfect_prompt_fraction: float = 0.0
    patient_fraction: float = 1.0
    max_patients: int = 0
    set_weights: dict[str, float] = field(default_factory=dict)
    kind_weights: dict[str, float] = field(default_factory=dict)
    prompt_patients: Literal["others", "any"] = "others"


@dataclass(frozen=True)
class RequestShape:
    """size: picture side in pixels; classes: most target channels of a segmentation."""

    size: int
    classes: int


@dataclass(frozen=True)
class Request:
    """One request of n pairs; the last pair is the query. name: "SET/TASK"; other fields as in `Pairs`."""

    images: Float[Tensor, "n i s s"]
    targets: Float[Tensor, "n c s s"]
    colors: tuple[float, ...]
    patients: tuple[str, ...]
    name: str
    slices: tuple[int, ...]
    same_volume: bool = False
    prompt_targets: Float[Tensor, "n c s s"] | None = None


@dataclass(frozen=True)
class _Panels:
    """The pairs of a request before random changes.

    boxes: where each slice shows something, None for all of it; of_volume: as in `DrawnSlices`.
    """

    images: list[NDArray[np.float32]]
    targets: list[NDArray[Any]]
    boxes: list[Box | None]
    of_volume: tuple[bool, ...] = ()
    synthetic: bool = False


@dataclass(frozen=True)
class RequestMaker:
    """Makes requests of tasks. sources: all tasks that are trained, among which predefined colors are unique."""

    settings: EpisodeSettings
    augmentation: AugmentationSettings
    sources: Sources

    def make(self, source: TaskSource, patients: list[str], shape: RequestShape, rng: np.random.Generator) -> Request:
        """A pair of each of these patients; the last one is the query."""
        return self._make(source, self._sampler.of_patients(source, patients, rng), shape, rng)

    def make_of_volume(self, source: TaskSource, panels: int, shape: RequestShape, rng: np.random.Generator) -> Request:
        """Pairs of one volume. source: its volumes have at least as many slices as there are panels."""
        return self._make(source, self._sampler.of_volume(source, panels, rng), shape, rng)

    @property
    def _sampler(self) -> SliceSampler:
        settings = self.settings
        return SliceSampler(settings.position_jitter, settings.empty_query_fraction, settings.mixed_fraction)

    def _make(self, source: TaskSource, drawn: DrawnSlices, shape: RequestShape, rng: np.random.Generator) -> Request:
        change, tone = Change.shared(self.augmentation, rng), Tone.shared(self.augmentation, rng)
        labels = source.task.spec.target_type == "labels"
        panels = self._panels(source, drawn, shape.size, rng)
        changes = self._changes(source, panels, change, shape.size, rng)
        images, targets = _sample(panels, changes, shape.size, "nearest" if labels else "linear")
        prompt_targets = None
        if labels:
            tones = self._tones(tone, drawn, rng)
            images = torch.stack([one.apply(image) for one, image in zip(tones, images, strict=True)])
            prompt_targets = self._with_defects(targets, drawn, rng)
            values = self._draw_classes(targets if prompt_targets is None else prompt_targets, shape.classes, rng)
            targets, prompt_targets = (
                _one_hot(targets, values),
                None if prompt_targets is None else _one_hot(prompt_targets, values),
            )
            colors = self._draw_colors(values, source.set.card.name, rng)
        else:
            curve = Curve.random(self.augmentation, rng)
            images, targets, colors = tone.apply(images), curve.apply(tone.apply(targets)), (1.0,)
        unnamed = panels.synthetic or (self.settings.prompt_patients == "any" and not drawn.same_volume)
        patients = tuple("" if unnamed else source.set.rows[number].patient for number in drawn.numbers)
        name = f"{source.set.card.name}/{source.task.name}"
        return Request(images, targets, colors, patients, name, drawn.numbers, drawn.same_volume, prompt_targets)

    def _panels(self, source: TaskSource, drawn: DrawnSlices, size: int, rng: np.random.Generator) -> _Panels:
        tiles = source.task.spec.sampling == "tiles"
        slices = [source.set[number] for number in drawn.numbers]
        if tiles:
            slices = [stored.random_crop(size, rng) for stored in slices]
        pairs = [source.task.pair(stored, rng) for stored in slices]
        boxes = [None if tiles else stored.row.box for stored in slices]
        possible = source.task.spec.target_type == "labels" and not drawn.same_volume
        fraction = self.settings.synthetic_fraction if possible else 0.0
        if fraction > 0 and rng.random() < fraction:
            images, count = pairs[-1][0], len(pairs)
            return _Panels([images] * count, [regions(images[0], rng)] * count, [boxes[-1]] * count, synthetic=True)
        return _Panels([images for images, _ in pairs], [target for _, target in pairs], boxes, drawn.of_volume)

    def _changes(
        self, source: TaskSource, panels: _Panels, shared: Change, size: int, rng: np.random.Generator
    ) -> list[Change]:
        """The change of geometry of each pair; tiles only share one, since resampling would smooth their noise.

        Slices of one volume share one up to a small jitter, since a volume is not turned slice by slice.
        """
        if source.task.spec.sampling == "tiles":
            changes = [shared for _ in panels.images]
        elif panels.of_volume:
            volume = shared.individual(self.augmentation, rng)
            changes = [
                volume.jittered(self.augmentation, rng) if member else shared.individual(self.augmentation, rng)
                for member in panels.of_volume
            ]
        else:
            changes = [shared.individual(self.augmentation, rng) for _ in panels.images]
        if source.task.spec.target_type == "labels" and rng.random() < self.settings.zoom_fraction:
            return zoom_on_labels(changes, panels.targets, panels.boxes, size, rng, panels.of_volume)
        return changes

    def _tones(self, shared: Tone, drawn: DrawnSlices, rng: np.random.Generator) -> list[Tone]:
        """The change of intensities of each pair; slices of one volume share one, with their own noise."""
        if not drawn.same_volume:
            return [shared.individual(self.augmentation, rng) for _ in drawn.numbers]
        volume = shared.individual(self.augmentation, rng)
        return [
            volume.with_new_noise(rng) if member else shared.individual(self.augmentation, rng)
            for member in drawn.of_volume
        ]

    def _with_defects(
        self, labels: Float[Tensor, "n 1 s s"], drawn: DrawnSlices, rng: np.random.Generator
    ) -> Float[Tensor, "n 1 s s"] | None:
        """The labels with defects in a share of the prompts, in a request of one volume; None where there is none."""
        fraction = self.settings.imperfect_prompt_fraction if drawn.same_volume else 0.0
        if fraction == 0:
            return None
        prompts = [imperfect_labels(label, rng) if rng.random() < fraction else label for label in labels[:-1]]
        return torch.stack([*prompts, labels[-1]])

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


def _one_hot(labels: Float[Tensor, "n 1 s s"], values: list[int]) -> Float[Tensor, "n c s s"]:
    return (labels == torch.tensor(values, dtype=labels.dtype).view(1, -1, 1, 1)).float()


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
    used = torch.zeros(len(requests), channels, dtype=torch.bool)
    colors = torch.zeros(len(requests), channels)
    for index, request in enumerate(requests):
        count = request.targets.shape[1]
        used[index, :count] = True
        colors[index, :count] = torch.tensor(request.colors)
    imperfect = any(request.prompt_targets is not None for request in requests)
    on_canvas = [request.targets if request.prompt_targets is None else request.prompt_targets for request in requests]
    return Pairs(
        torch.stack([request.images for request in requests]),
        _stack_channels([request.targets for request in requests], channels),
        used,
        colors,
        tuple(request.patients for request in requests),
        target_type,
        tuple(request.name for request in requests),
        tuple(request.same_volume for request in requests),
        tuple(request.slices for request in requests),
        _stack_channels(on_canvas, channels) if imperfect else None,
    )


def _stack_channels(targets: list[Float[Tensor, "n _ s s"]], channels: int) -> Float[Tensor, "b n c s s"]:
    """Targets of several requests, with empty channels up to this number."""
    return torch.stack([F.pad(target, (0, 0, 0, 0, 0, channels - target.shape[1])) for target in targets])
