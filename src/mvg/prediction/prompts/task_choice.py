"""Which kind of task prompts show: named by the user, or a segmentation where all targets are label maps."""

from dataclasses import dataclass

from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.prompts.pairs import Volumes
from mvg.tasks import TaskSpec, kind_names, spec_of


def task_spec(task: str | None) -> TaskSpec:
    """The description of a task by name ("KIND" or "KIND:DETAIL"); None: a segmentation.

    Raises UnknownNameError for a kind that does not exist.
    """
    return spec_of((task or "segmentation").split(":", 1)[0])


@dataclass(frozen=True, eq=False)
class UnnamedTargets:
    """The targets of a task without a name: PromptError on reading one that is not a label map."""

    targets: Volumes[Volume | LabelMap]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, number: int) -> LabelMap:
        target = self.targets[number]
        if not isinstance(target, LabelMap):
            raise unnamed_task("prompt targets that are pictures, not label maps")
        return target


def unnamed_task(description: str) -> PromptError:
    """The error for targets that may stand for several kinds of tasks."""
    return PromptError(description, "a named task", f"name the task: {', '.join(kind_names())}")
