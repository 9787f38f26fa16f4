"""Segmentation of validation patients with prompts of training patients, for programs that measure it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import mvg
from mvg.benchmark.protocol.cases import EvalCase, EvalSize, eval_cases
from mvg.data import Case, DataSet, sets_in
from mvg.prediction.prompted_task import PromptedTask
from mvg.tasks import Task, tasks_for


def segmentations(folder: Path) -> Iterator[tuple[DataSet, Task]]:
    """The segmentation of the first channel of every set in a folder of data sets."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from segmentations_of(path)


def segmentations_of(path: Path) -> Iterator[tuple[DataSet, Task]]:
    """The segmentation of the first channel of the sets in a data set's folder."""
    for data_set in sets_in(path):
        tasks = [task for task in tasks_for(data_set.card) if task.kind == "segmentation"]
        if tasks:
            yield data_set, tasks[0]


def prompted_cases(
    predictor: mvg.Predictor, data_set: DataSet, task: Task, size: EvalSize
) -> Iterator[tuple[EvalCase, PromptedTask]]:
    """The cases of a set as the benchmark draws them, with the task that their prompts show, encoded once."""
    prompted = None
    for case in eval_cases(data_set, task, size, 0):
        if prompted is None:
            pairs = case.prompts
            prompted = predictor.prompt([pair.image for pair in pairs], [pair.target for pair in pairs])
        yield case, prompted


def one_of_each_patient(data_set: DataSet, seed: int) -> list[Case]:
    """A labeled case of each patient in random order, those of patients first that the weights were not trained on."""
    labeled = [case for case in data_set.cases if case.labels is not None]
    by_patient = dict[str, Case]()
    for number in np.random.default_rng(seed).permutation(len(labeled)).tolist():
        by_patient.setdefault(labeled[number].patient, labeled[number])
    return sorted(by_patient.values(), key=lambda case: case.split == "train")
