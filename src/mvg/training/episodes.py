"""Data sets x tasks -> endless episodes; a step's batch depends on (seed, step, rank) alone: runs resume anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mvg.canvas import Pairs
from mvg.data.case import Split
from mvg.data.store import Store, StoredSet
from mvg.errors import RecipeError
from mvg.imaging.coloring import Coloring
from mvg.tasks import TargetType
from mvg.training.augmentation import AugmentationSettings, Change, Curve, Tone, sample
from mvg.training.synthetic import regions
from mvg.training.task_sources import TaskSource, predefined_colors, subsample_patients, task_sources
from mvg.training.zoom import zoom_on_labels


@dataclass(frozen=True)
class EpisodeSettings:
    """How episodes are drawn.

    batch: requests per step; panels: fewest and most pairs in a request; classes: fewest and most target channels;
    labels: share of steps that are segmentation (Sec. 4.1); near: spread of the prompts' relative position in their
    volumes; absent: share of the query slices without any label that are kept (1: as many as there are); sizes: picture
    sides in pixels, one drawn per step (empty: the model's); coloring: how classes are painted where the model paints;
    what learns other colors than random ones is asked with them (`prediction.ensemble.Settings.colors`).
    focus: share of segmentation requests that are looked at closely, every panel about its own labels or a piece.
    synthetic: share of them that ask for random regions of the query, found again in changed copies of it.
    share, most: of each set's patients, this share and no more than so many (0: all) are used, drawn by the run's seed;
    prompts: "others" (every pair of a request is another patient's), or "any" (so that one patient is enough).
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
    patient_fraction: float = 1.0
    max_patients: int = 0
    prompt_patients: Literal["others", "any"] = "others"


class Episodes(Dataset[Pairs]):
    """Step number -> the batch of requests of that step; see `EpisodeSettings.prompts` for its patients."""

    def __init__(
        self, store: Store, split: Split, kinds: tuple[str, ...], settings: EpisodeSettings,
        augmentation: AugmentationSettings, size: int, seed: int, rank: int = 0,
    ) -> None:  # fmt: skip
        self.settings, self.augmentation, self.size, self.seed, self.rank = settings, augmentation, size, seed, rank
        self.sources = subsample_patients(
            task_sources(store, (split,), kinds), settings.patient_fraction, settings.max_patients, seed
        )
        if not any(self._fit(answers, settings.panels[0]) for answers in self.sources):
            raise RecipeError(
                f"no set of {store.folder} has {settings.panels[0]} patients in '{split}' for the chosen tasks",
                "at least one set with as many patients as an episode has panels",
                "prepare more data or lower episodes.panels",
            )

    def _fit(self, target_type: TargetType, panels: int) -> list[list[list[TaskSource]]]:
        """Task kinds x sets x tasks that have a patient for each of `panels` panels."""
        fewest = panels if self.settings.prompt_patients == "others" else 1
        kinds = ([s for s in sets if len(s[0].patients) >= fewest] for sets in self.sources[target_type].values())
        return [sets for sets in kinds if sets]

    def __getitem__(self, step: int) -> Pairs:
        # What a step asks is common to all processes, which so work equally long; what it shows is each one's own.
        rng = np.random.default_rng([self.seed, step])
        panels = int(rng.integers(self.settings.panels[0], self.settings.panels[1] + 1))
        wanted: TargetType = "labels" if rng.random() < self.settings.label_fraction else "image"
        other: TargetType = "image" if wanted == "labels" else "labels"
        # Where too few patients are left for this many panels, fewer panels; where no task answers so, the other kind.
        tries = ((wanted, panels), (wanted, self.settings.panels[0]), (other, panels), (other, self.settings.panels[0]))
        target_type, panels = next((answer, count) for answer, count in tries if self._fit(answer, count))
        kinds = self._fit(target_type, panels)
        size = int(rng.choice(self.settings.sizes or (self.size,)))
        most = int(rng.integers(self.settings.classes[0], self.settings.classes[1] + 1))
        rng = np.random.default_rng([self.seed, step, self.rank])
        requests = []
        for _ in range(self.settings.batch):
            sets = kinds[rng.integers(len(kinds))]
            # Larger sets are seen more often, but far from in proportion: small sets must be learnt too.
            weight = np.array([float(len(sources[0].patients)) for sources in sets]) ** 0.4
            sources = sets[rng.choice(len(sets), p=weight / weight.sum())]
            source = sources[rng.integers(len(sources))]
            known = np.array(list(source.patients))
            others = self.settings.prompt_patients == "others"
            patients = rng.permutation(known)[:panels] if others else rng.choice(known, panels)
            requests.append(self._request(source, [str(patient) for patient in patients], size, most, rng))
        return _stack(requests, target_type)

    def request(self, source: TaskSource, patients: list[str], rng: np.random.Generator) -> Pairs:
        """A batch of one request: a pair of each of these patients of `source`, the last one's is the query."""
        request = self._request(source, patients, self.size, self.settings.classes[1], rng)
        return _stack([request], source.task.spec.target_type)

    def _request(
        self, source: TaskSource, patients: list[str], size: int, most: int, rng: np.random.Generator
    ) -> "_Request":
        numbers = self._slices(source, patients, rng)
        change = Change.shared(self.augmentation, rng)
        tone = Tone.shared(self.augmentation, rng)
        native = source.task.spec.sampling == "tiles"
        stored = [source.set[int(number)] for number in numbers]
        if native:
            stored = [one.random_crop(size, rng) for one in stored]
        pictures = [source.task.pair(one, rng) for one in stored]
        share = self.settings.synthetic_fraction if source.task.spec.target_type == "labels" else 0.0
        made_up = share > 0 and rng.random() < share
        if made_up:
            stored = stored[-1:] * len(stored)
            pictures = [(pictures[-1][0], regions(pictures[-1][0][0], rng))] * len(stored)
        boxes = [None if native else one.row.box for one in stored]
        moved = [change if native else change.own(self.augmentation, rng) for _ in stored]
        if source.task.spec.target_type == "labels" and rng.random() < self.settings.zoom_fraction:
            moved = zoom_on_labels(moved, [target for _, target in pictures], boxes, size, rng)
        mode: Literal["linear", "nearest"] = "nearest" if source.task.spec.target_type == "labels" else "linear"
        images, targets = [], []
        for (image, target), box, own in zip(pictures, boxes, moved, strict=True):
            images.append(torch.stack([sample(channel, box, own, size, "linear") for channel in image]))
            targets.append(sample(target, box, own, size, mode))
        shown, wanted = torch.stack(images), torch.stack(targets)[:, None]
        if source.task.spec.target_type == "labels":
            shown = torch.stack([tone.own(self.augmentation, rng).apply(image) for image in shown])
            values = self._classes(wanted, most, rng)
            wanted = (wanted == torch.tensor(values, dtype=wanted.dtype).view(1, -1, 1, 1)).float()
            colors = self._colors(values, source.set, rng)
        else:
            curve = Curve.drawn(self.augmentation, rng)
            shown, wanted, colors = tone.apply(shown), curve.apply(tone.apply(wanted)), (1.0,)
        row = source.set.rows
        return _Request(
            shown,
            wanted,
            colors,
            tuple("" if made_up or self.settings.prompt_patients == "any" else row[int(n)].patient for n in numbers),
            f"{source.set.card.name}/{source.task.name}",
        )

    def _slices(self, source: TaskSource, patients: list[str], rng: np.random.Generator) -> list[int]:
        """A slice of each patient, at about the query's position; redrawn while the prompts show nothing, or the query
        and it may not.
        """
        rows = source.set.rows
        for _ in range(8):
            anchor = rows[int(rng.choice(source.patients[patients[-1]]))].position
            numbers = []
            for patient in patients:
                own = source.patients[patient]
                places = np.array([rows[int(n)].position for n in own])
                aim = anchor + rng.normal(0, self.settings.position_jitter)
                away = np.abs(places - aim) + rng.uniform(0, 1e-3, len(places))
                numbers.append(int(own[away.argmin()]))
            filled = [bool(rows[n].present) for n in numbers]
            asked = any(filled[:-1]) and (filled[-1] or rng.random() < self.settings.empty_query_fraction)
            if asked or source.task.spec.target_type == "image":
                break
        return numbers

    def _classes(self, labels: torch.Tensor, most: int, rng: np.random.Generator) -> list[int]:
        """At most so many values that the prompts show, in random order; one that nothing has when all are absent."""
        counts = [set(torch.unique(panel).tolist()) - {0} for panel in labels]
        union = sorted({int(v) for found in counts for v in found})
        if not union:
            return [255]
        if self.settings.coloring == "binary":
            return [int(rng.choice(union))]
        early = [v for v in union if any(v in found for found in counts[:-1])] or union
        return [int(v) for v in rng.permutation(np.array(early))][:most]

    def _colors(self, values: list[int], stored: StoredSet, rng: np.random.Generator) -> tuple[float, ...]:
        if self.settings.coloring == "binary":
            return (1.0,)
        if self.settings.coloring == "predefined":
            return predefined_colors(self.sources, stored.card.name, values)
        drawn = Coloring.random(values, rng)
        table = dict(zip(drawn.values, drawn.colors, strict=True))
        return tuple(table[value] for value in values)


@dataclass(frozen=True)
class _Request:
    images: torch.Tensor
    targets: torch.Tensor
    colors: tuple[float, ...]
    patients: tuple[str, ...]
    name: str


def _stack(requests: list[_Request], target_type: TargetType) -> Pairs:
    channels = max(request.targets.shape[1] for request in requests)
    batch, panels, size = len(requests), requests[0].images.shape[0], requests[0].images.shape[-1]
    targets = torch.zeros(batch, panels, channels, size, size)
    used = torch.zeros(batch, channels, dtype=torch.bool)
    colors = torch.zeros(batch, channels)
    for place, request in enumerate(requests):
        count = request.targets.shape[1]
        targets[place, :, :count] = request.targets
        used[place, :count] = True
        colors[place, :count] = torch.tensor(request.colors)
    images = torch.stack([request.images for request in requests])
    return Pairs(
        images, targets, used, colors, tuple(r.patients for r in requests), target_type, tuple(r.name for r in requests)
    )


def loader(episodes: Episodes, start: int, workers: int) -> Iterator[Pairs]:
    """Batches from step `start` on, in order, made by `workers` processes (0: in this one)."""
    steps = range(start, 2**62)
    made = DataLoader(
        episodes, batch_size=None, sampler=_Steps(steps), num_workers=workers, prefetch_factor=4 if workers else None,
        worker_init_fn=_one_thread,
    )  # fmt: skip
    return iter(made)


class _Steps(torch.utils.data.Sampler[int]):
    def __init__(self, steps: range) -> None:
        self.steps = steps

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
