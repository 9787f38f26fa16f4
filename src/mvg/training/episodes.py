"""Endless training episodes. The batch of a step depends on (seed, step, rank) alone, so a run resumes anywhere."""

from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from mvg.canvas import Pairs
from mvg.data.case import Split
from mvg.data.store import Store
from mvg.errors import RecipeError, UnknownNameError
from mvg.tasks import TargetType
from mvg.training.augmentation import AugmentationSettings
from mvg.training.requests import EpisodeSettings, Request, RequestMaker, RequestShape, stack
from mvg.training.task_sources import Sources, TaskSource, subsample_patients, task_sources


@dataclass(frozen=True)
class EpisodeData:
    """What episodes are drawn from.

    store: data sets; splits: of their patients; kinds: of tasks (empty: all); inputs: how many images a pair
    of the tasks has, as the model takes them.
    """

    store: Store
    splits: tuple[Split, ...] = ("train",)
    kinds: tuple[str, ...] = ()
    inputs: int = 1

    @property
    def sources(self) -> Sources:
        """The tasks on offer."""
        return {
            target_type: {kind: sets for kind, sets in kinds.items() if sets[0][0].task.spec.inputs == self.inputs}
            for target_type, kinds in task_sources(self.store, self.splits, self.kinds).items()
        }


class Episodes(Dataset[Pairs]):
    """Step number -> the batch of requests of that step."""

    def __init__(
        self,
        data: EpisodeData,
        settings: EpisodeSettings,
        augmentation: AugmentationSettings,
        size: int,
        seed: int,
        rank: int = 0,
    ) -> None:
        """size: picture side in pixels, where the settings name none; rank: of the process, of several ones."""
        self.settings, self.size, self.seed, self.rank = settings, size, seed, rank
        for name in settings.set_weights:
            if name not in data.store.sets:
                raise UnknownNameError("prepared set", name, data.store.sets)
        self.sources = subsample_patients(data.sources, settings.patient_fraction, settings.max_patients, seed)
        self.maker = RequestMaker(settings, augmentation, self.sources)
        if not any(self._usable(target_type, settings.panels[0]) for target_type in self.sources):
            splits = " or ".join(f"'{split}'" for split in data.splits)
            if not any(self.sources.values()):
                sets = ", ".join(data.store.sets)
                raise RecipeError(
                    f"no set of {data.store.folder} ({sets}) offers one of the chosen tasks",
                    "a set whose card offers one",
                    "choose other data.tasks, or prepare other sets",
                )
            raise RecipeError(
                f"no set of {data.store.folder} has {settings.panels[0]} patients in {splits} for the chosen tasks",
                "at least one set with as many patients as an episode has panels",
                "prepare more data or lower episodes.panels",
            )
        self._volumes = self._volume_sources()

    def __getitem__(self, step: int) -> Pairs:
        # The kind of request is common to all processes, so that they work equally long; each draws its own slices.
        rng = np.random.default_rng([self.seed, step])
        settings = self.settings
        panels = int(rng.integers(settings.panels[0], settings.panels[1] + 1))
        preferred: TargetType = "labels" if rng.random() < settings.label_fraction else "image"
        target_type, panels = self._possible(preferred, panels)
        size = int(rng.choice(settings.sizes or (self.size,)))
        classes = int(rng.integers(settings.classes[0], settings.classes[1] + 1))
        rng, shape = np.random.default_rng([self.seed, step, self.rank]), RequestShape(size, classes)
        return stack([self._draw(target_type, panels, shape, rng) for _ in range(settings.batch)], target_type)

    def _draw(self, target_type: TargetType, panels: int, shape: RequestShape, rng: np.random.Generator) -> Request:
        volumes = self._volumes.get((target_type, panels), [])
        if volumes and rng.random() < self.settings.same_volume_fraction:
            source = self._draw_source(self._draw_kind(volumes, rng), rng)
            return self.maker.make_of_volume(source, panels, shape, rng)
        source = self._draw_source(self._draw_kind(self._usable(target_type, panels), rng), rng)
        return self.maker.make(source, self._draw_patients(source, panels, rng), shape, rng)

    def request(self, source: TaskSource, patients: list[str], rng: np.random.Generator) -> Pairs:
        """A batch of one request: one pair of each of these patients; the last one is the query."""
        request = self.maker.make(source, patients, RequestShape(self.size, self.settings.classes[1]), rng)
        return stack([request], source.task.spec.target_type)

    def _possible(self, preferred: TargetType, panels: int) -> tuple[TargetType, int]:
        """The target type and number of panels where tasks allow them, else fewer panels, else the other type."""
        other: TargetType = "image" if preferred == "labels" else "labels"
        fewest = self.settings.panels[0]
        tries = ((preferred, panels), (preferred, fewest), (other, panels), (other, fewest))
        return next((target_type, count) for target_type, count in tries if self._usable(target_type, count))

    def _usable(self, target_type: TargetType, panels: int) -> list[list[list[TaskSource]]]:
        """Task kinds x data sets x tasks with enough patients for this many panels."""
        fewest = panels if self.settings.prompt_patients == "others" else 1
        kinds = ([s for s in sets if len(s[0].patients) >= fewest] for sets in self.sources[target_type].values())
        return [sets for sets in kinds if sets]

    def _volume_sources(self) -> dict[tuple[TargetType, int], list[list[list[TaskSource]]]]:
        """The tasks that can serve requests of one volume, as in `_usable`, by target type and number of panels.

        Empty where no such request is drawn. RecipeError where they are, and no data set has labeled volumes.
        """
        fewest, most = self.settings.panels
        if self.settings.same_volume_fraction == 0:
            return {}
        sources = {
            (target_type, panels): _with_volumes(self.sources, target_type, panels)
            for target_type in self.sources
            for panels in range(max(2, fewest), most + 1)
        }
        labeled = any(tasks for (target_type, _), tasks in sources.items() if target_type == "labels")
        if self.settings.label_fraction > 0 and not labeled:
            raise RecipeError(
                f"episodes.same_volume_fraction = {self.settings.same_volume_fraction}, and no data set has a labelled "
                f"volume of {max(2, fewest)} slices",
                "at least one set whose volumes have as many slices as an episode has panels",
                "prepare such a set, or set the fraction to 0",
            )
        return sources

    def _draw_kind(self, kinds: list[list[list[TaskSource]]], rng: np.random.Generator) -> list[list[TaskSource]]:
        """The data sets of one of the kinds of tasks."""
        wanted = self.settings.kind_weights
        if not wanted:
            return kinds[rng.integers(len(kinds))]
        weight = np.array([wanted.get(sets[0][0].task.kind, 1.0) for sets in kinds])
        return kinds[rng.choice(len(kinds), p=weight / weight.sum())]

    def _draw_source(self, sets: list[list[TaskSource]], rng: np.random.Generator) -> TaskSource:
        """A task of one of the data sets; large sets come more often, but not in proportion: small sets count too."""
        wanted = self.settings.set_weights
        size = np.array([float(len(tasks[0].patients)) for tasks in sets]) ** 0.4
        weight = size * [wanted.get(tasks[0].set.card.name, 1.0) for tasks in sets]
        tasks = sets[rng.choice(len(sets), p=weight / weight.sum())]
        return tasks[rng.integers(len(tasks))]

    def _draw_patients(self, source: TaskSource, panels: int, rng: np.random.Generator) -> list[str]:
        known = np.array(list(source.patients))
        others = self.settings.prompt_patients == "others"
        return [str(name) for name in (rng.permutation(known)[:panels] if others else rng.choice(known, panels))]


def _with_volumes(sources: Sources, target_type: TargetType, slices: int) -> list[list[list[TaskSource]]]:
    """Task kinds x data sets x tasks, with the patients alone that have volumes of so many slices."""

    def serving(tasks: list[TaskSource]) -> list[TaskSource]:
        return [source for task in tasks if (source := task.with_volumes(slices)).patients]

    kinds = [[tasks for each in sets if (tasks := serving(each))] for sets in sources[target_type].values()]
    return [sets for sets in kinds if sets]
