"""Segmentation of validation patients with prompts of training patients, for programs that measure it."""

from collections.abc import Iterator
from pathlib import Path

import mvg
from mvg.benchmark.protocol.cases import EvalCase, EvalSize, eval_cases
from mvg.data import DataSet, sets_in
from mvg.prediction.prompted_task import PromptedTask
from mvg.tasks import Task, tasks_for


def segmentations(folder: Path) -> Iterator[tuple[DataSet, Task]]:
    """The segmentation of the first channel of every set in a folder of data sets."""
    for path in sorted(folder.iterdir()):
        for data_set in sets_in(path) if path.is_dir() else ():
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
