"""Which kind of task prompts show: named by the user, or a segmentation where all targets are label maps."""

from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.prompts.pairs import Volumes
from mvg.tasks import TaskSpec, kind_names, spec_of


def task_spec(task: str | None, targets: Volumes[Volume | LabelMap]) -> TaskSpec:
    """The description of a task by name ("KIND" or "KIND:DETAIL"); None: a segmentation if all targets are label maps.

    Raises UnknownNameError for a kind that does not exist, PromptError where the task has to be named.
    """
    if task is None:
        if not all(isinstance(targets[number], LabelMap) for number in range(len(targets))):
            raise unnamed_task("prompt targets that are pictures, not label maps")
        task = "segmentation"
    return spec_of(task.split(":", 1)[0])


def unnamed_task(description: str) -> PromptError:
    """The error for targets that may stand for several kinds of tasks."""
    return PromptError(
        description, "a named task", f"name what the prompts show with --task: {', '.join(kind_names())}"
    )
