"""A request as users name it: a prompt folder or task file, weights and a device -> a task that is ready to answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mvg.errors import PromptError
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import PromptedTask, load, load_task
from mvg.prediction.prompts.folder import open_prompts
from mvg.prediction.task_file import SUFFIX

DEFAULT_WEIGHTS = "tiny"


@dataclass(frozen=True)
class Request:
    """A task ready to answer, and the files that it was made from.

    channel: which of the prompts' channels serves, where there are several and none was named; else "".
    """

    task: PromptedTask
    inputs: tuple[Path, ...]
    channel: str = ""


def prepare_request(
    prompts: Path,
    task: str | None,
    weights: str | None,
    device: str,
    queries: Sequence[Path],
    show: Callable[[str, int, int], None],
    zoom: str | None = None,
) -> Request:
    """Load the weights (None: those of the task file, else the default) and read the prompts.

    `task`, `queries`: see `open_prompts`; `zoom`: see `PredictionOptions` (None: as it is there or in the task file);
    `show(what, done, total)` while prompts are read. Raises MvgErrors.
    """
    if prompts.suffix == SUFFIX:
        return Request(_saved(prompts, task, weights, device, zoom), (prompts,))
    folder = open_prompts(prompts, task, queries)
    predictor = load(weights or DEFAULT_WEIGHTS, device)
    images = folder.images.watched(lambda done, total: show("prompts", done, total))
    prompted = predictor.prompt(
        images,
        folder.targets,
        folder.task,
        PredictionOptions(zoom=zoom or PredictionOptions.zoom),
        modality=folder.modality,
        names=folder.names,
    )
    inferred = "" if task is not None and ":" in task else folder.channel
    return Request(prompted, (*folder.images.paths, *folder.targets.paths), inferred)


def _saved(path: Path, task: str | None, weights: str | None, device: str, zoom: str | None) -> PromptedTask:
    """The task in a file; PromptError where it is asked to be what it is not."""
    saved = load_task(path, weights, device)
    if task is not None and task != saved.spec.kind:
        raise PromptError(f"a task file for {saved.spec.kind}", f"one for {task}", "leave --task out")
    if zoom == "auto" and saved.zoom is None and saved.options.zoom == "off":
        raise PromptError(
            f"'{path}' was saved with --zoom off", "a task saved with --zoom auto", "make it again from its prompts"
        )
    return saved if zoom is None else saved.with_options(replace(saved.options, zoom=zoom))
