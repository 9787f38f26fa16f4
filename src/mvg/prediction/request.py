"""A request as users name it: a prompt folder or task file, weights and a device -> a task that is ready to predict."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mvg.errors import FileError, PromptError
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor, load, load_task
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.prompts.folder import PromptFolder, open_prompts
from mvg.prediction.task_file import SUFFIX

DEFAULT_WEIGHTS = "tiny"

OnProgress = Callable[[str, int, int], None]
"""Called with the name of the work, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class PromptSource:
    """Where a task comes from.

    prompts: a folder, see `open_prompts`, or a task file; task: "KIND" or "KIND:DETAIL", None to infer it; weights: id
    or folder, None for those of the task file or the default ones; device: see `load`.
    """

    prompts: Path
    task: str | None = None
    weights: str | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Request:
    """A task ready to predict, and the files that it was made from.

    channel: which of the prompts' channels is used, where there are several and the user named none; else "".
    label_names: of label values, where the prompts state them. predictor, folder: what the task was made of, None for
    a task file.
    """

    task: PromptedTask
    inputs: tuple[Path, ...]
    channel: str = ""
    label_names: Mapping[int, str] = field(default_factory=dict)
    predictor: Predictor | None = None
    folder: PromptFolder | None = None

    def check_output(self, output: Path) -> None:
        """Raises FileError where prompts are read from the folder `output`: predictions would become prompts."""
        folders = {os.path.realpath(path.parent) for path in self.inputs}
        if self.folder is not None and os.path.realpath(output) in folders:
            raise FileError(
                f"the output folder '{output}' holds prompts, and predictions in it would be read as prompts",
                "an output folder of its own",
                "choose another output folder",
            )


def prepare_request(
    source: PromptSource, options: Mapping[str, Any], queries: Sequence[Path], on_progress: OnProgress
) -> Request:
    """Load the weights and read the prompts.

    options: fields of `PredictionOptions` that the user set; the others keep their default or the task file's value.
    queries: see `open_prompts`. Raises MvgErrors.
    """
    if source.prompts.suffix == SUFFIX:
        return Request(_saved_task(source, options), (source.prompts,))
    chosen = PredictionOptions(**options)
    predictor = load(source.weights or DEFAULT_WEIGHTS, source.device)
    folder = open_prompts(source.prompts, source.task, queries, predictor.model.config.inputs)
    images = folder.images.with_progress(lambda done, total: on_progress("prompts", done, total))
    task = predictor.prompt(images, folder.targets, folder.task, chosen, modality=folder.modality, names=folder.names)
    has_named_channel = source.task is not None and ":" in source.task
    inputs = (*folder.images.paths, *folder.targets.paths)
    channel = "" if has_named_channel else folder.channel
    return Request(task, inputs, channel, folder.label_names, predictor, folder)


def _saved_task(source: PromptSource, options: Mapping[str, Any]) -> PromptedTask:
    """The task in a file; PromptError where the user expects another kind, or a zoom that it lacks."""
    task = load_task(source.prompts, source.weights, source.device)
    if source.task not in (None, task.spec.kind):
        raise PromptError(f"a task file for {task.spec.kind}", f"one for {source.task}", "name no task")
    return task.with_options(replace(task.options, **options))
