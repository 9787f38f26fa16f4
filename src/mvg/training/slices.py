"""Which slices a request shows: of several patients at about one position, or of one volume at random distances."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvg.training.task_sources import TaskSource

_TRIES = 8  # to draw slices that show something


@dataclass(frozen=True)
class DrawnSlices:
    """The slices of a request: prompts first, the query last.

    numbers: in their set; of_volume: in a request of one volume, True for the slices of the query's volume; else empty.
    """

    numbers: tuple[int, ...]
    of_volume: tuple[bool, ...] = ()

    @property
    def same_volume(self) -> bool:
        """Whether the request is one of one volume."""
        return any(self.of_volume)


@dataclass(frozen=True)
class SliceSampler:
    """Draws the slices of requests.

    position_jitter, empty_query_fraction, mixed_fraction: as in `EpisodeSettings`.
    """

    position_jitter: float
    empty_query_fraction: float
    mixed_fraction: float

    def of_patients(self, source: TaskSource, patients: list[str], rng: np.random.Generator) -> DrawnSlices:
        """One slice of each patient, at about the query's relative position in the volume.

        Drawn again while all prompts are empty, and often while the query is.
        """
        rows = source.set.rows
        for _ in range(_TRIES):
            anchor = rows[int(rng.choice(source.patients[patients[-1]]))].position
            numbers = tuple(self._nearest_slice(source, patient, anchor, rng) for patient in patients)
            *prompts, query = (_shows_labels(source, number) for number in numbers)
            useful = any(prompts) and (query or rng.random() < self.empty_query_fraction)
            if useful or source.task.spec.target_type != "labels":
                break
        return DrawnSlices(numbers)

    def of_volume(self, source: TaskSource, panels: int, rng: np.random.Generator) -> DrawnSlices:
        """Slices of one volume, all different; in a share of the requests some prompts are other patients' slices.

        Drawn again while all prompts of the volume are empty. The query may always be empty, since it has to be known
        where a structure ends. source: its volumes have at least as many slices as there are panels.
        """
        patient = list(source.volumes)[rng.integers(len(source.volumes))]
        volume = source.volumes[patient][rng.integers(len(source.volumes[patient]))]
        others = self._other_patients(source, patient, panels - 1, rng)
        for _ in range(_TRIES):
            numbers = _along_volume(source, volume, panels - len(others), rng)
            *prompts, query = numbers
            if source.task.spec.target_type != "labels" or any(_shows_labels(source, number) for number in prompts):
                break
        anchor = source.set.rows[query].position
        prompts += [self._nearest_slice(source, other, anchor, rng) for other in others]
        order = rng.permutation(len(prompts))
        of_volume = tuple(bool(index < len(numbers) - 1) for index in order)
        return DrawnSlices((*(prompts[index] for index in order), query), (*of_volume, True))

    def _other_patients(self, source: TaskSource, patient: str, prompts: int, rng: np.random.Generator) -> list[str]:
        """The patients of a mixed request's other prompts: at most all prompts of it but one; often none."""
        others = [name for name in source.patients if name != patient]
        most = min(prompts - 1, len(others))
        if most < 1 or self.mixed_fraction == 0 or rng.random() >= self.mixed_fraction:
            return []
        return [others[index] for index in rng.permutation(len(others))[: rng.integers(1, most + 1)]]

    def _nearest_slice(self, source: TaskSource, patient: str, anchor: float, rng: np.random.Generator) -> int:
        numbers = source.patients[patient]
        positions = np.array([source.set.rows[int(number)].position for number in numbers])
        position = anchor + rng.normal(0, self.position_jitter)
        distances = np.abs(positions - position) + rng.uniform(0, 1e-3, len(positions))
        return int(numbers[distances.argmin()])


def _shows_labels(source: TaskSource, number: int) -> bool:
    return bool(source.set.rows[number].label_values)


def _along_volume(
    source: TaskSource, volume: NDArray[np.int64], count: int, rng: np.random.Generator
) -> tuple[int, ...]:
    """Different slices in random order, from a random stretch of the volume about a slice with labels.

    The stretch is as short as the slices allow or as long as the volume; short and long ones are equally frequent
    on a logarithmic scale. Slices beyond the ends of a structure are drawn as well.
    """
    labelled = [index for index, number in enumerate(volume) if _shows_labels(source, int(number))]
    anchor = labelled[rng.integers(len(labelled))] if labelled else int(rng.integers(len(volume)))
    length = round(float(np.exp(rng.uniform(np.log(count), np.log(len(volume))))))
    first = int(np.clip(anchor - rng.integers(length), 0, len(volume) - length))
    return tuple(int(number) for number in volume[first + rng.permutation(length)[:count]])
