"""A request as users name it: a prompt folder or task file, weights and a device -> a task that is ready to answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mvg.errors import PromptProblem
from mvg.prediction.ensemble import Settings
from mvg.prediction.folder import open_prompts
from mvg.prediction.predictor import PromptedTask, load, load_task
from mvg.prediction.taskfile import SUFFIX
from mvg.prediction.tuning import Tuning, tune

DEFAULT_WEIGHTS = "tiny"


@dataclass(frozen=True)
class Request:
    """A task ready to answer, the files that it was made from, and what tuning on its prompts did (None: not asked)."""

    task: PromptedTask
    inputs: tuple[Path, ...]
    tuning: Tuning | None = None


def prepare_request(
    prompts: Path,
    task: str | None,
    weights: str | None,
    device: str,
    queries: Sequence[Path],
    show: Callable[[str, int, int], None],
    tuning: float = 0.0,
    look: str | None = None,
) -> Request:
    """Load the weights (None: those of the task file, else the default), read the prompts, and tune on them if asked.

    `task`, `queries`: see `open_prompts`; `tuning`: for so many seconds, see `tune`; `look`: see `Settings` (None: as
    it is there or in the task file); `show(what, done, total)` while
    prompts are read and learnt. Raises MvgErrors.
    """
    request = _request(prompts, task, weights, device, queries, show, look)
    if tuning <= 0:
        return request
    tuned, said = tune(request.task, tuning, progress=lambda done, total: show("tuning", done, total))
    return Request(tuned, request.inputs, said)


def _request(
    prompts: Path,
    task: str | None,
    weights: str | None,
    device: str,
    queries: Sequence[Path],
    show: Callable[[str, int, int], None],
    look: str | None,
) -> Request:
    if prompts.suffix == SUFFIX:
        saved = load_task(prompts, weights, device)
        if task is not None and task.partition(":")[0] != saved.asked.kind:
            raise PromptProblem(f"a task file for {saved.asked.kind}", f"one for {task}", "leave --task out")
        return Request(saved.using(look=look), (prompts,))
    folder = open_prompts(prompts, task, queries)
    predictor = load(weights or DEFAULT_WEIGHTS, device)
    images = folder.images.watched(lambda done, total: show("prompts", done, total))
    prompted = predictor.prompt(
        images, folder.targets, folder.task, look=look or Settings.look, modality=folder.modality, names=folder.names
    )
    return Request(prompted, (*folder.images.paths, *folder.targets.paths))
