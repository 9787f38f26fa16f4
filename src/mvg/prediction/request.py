"""A request as users name it: a prompt folder or task file, weights and a device -> a task that is ready to answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mvg.errors import PromptProblem
from mvg.prediction.folder import open_prompts
from mvg.prediction.predictor import PromptedTask, load, load_task
from mvg.prediction.taskfile import SUFFIX

DEFAULT_WEIGHTS = "tiny"


@dataclass(frozen=True)
class Request:
    """A task ready to answer, and the files that it was made from."""

    task: PromptedTask
    inputs: tuple[Path, ...]


def prepare_request(
    prompts: Path,
    task: str | None,
    weights: str | None,
    device: str,
    queries: Sequence[Path],
    show: Callable[[str, int, int], None],
) -> Request:
    """Load the weights (None: those of the task file, else the default) and read the prompts.

    `task`, `queries`: see `open_prompts`; `show(what, done, total)` while prompts are read. Raises MvgErrors.
    """
    if prompts.suffix == SUFFIX:
        saved = load_task(prompts, weights, device)
        if task is not None and task.partition(":")[0] != saved.asked.kind:
            raise PromptProblem(f"a task file for {saved.asked.kind}", f"one for {task}", "leave --task out")
        return Request(saved, (prompts,))
    folder = open_prompts(prompts, task, queries)
    predictor = load(weights or DEFAULT_WEIGHTS, device)
    images = folder.images.watched(lambda done, total: show("prompts", done, total))
    prompted = predictor.prompt(images, folder.targets, folder.task, modality=folder.modality, names=folder.names)
    return Request(prompted, (*folder.images.paths, *folder.targets.paths))
