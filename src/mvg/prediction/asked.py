"""What is asked for at prediction: the kind of task, and how raw intensities are seen."""

from typing import Protocol, TypeVar, runtime_checkable

from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window, guess_modality
from mvg.tasks import TaskSpec, kind_names, spec_of

_Kind = TypeVar("_Kind", bound=Volume | LabelMap, covariant=True)


@runtime_checkable
class Volumes(Protocol[_Kind]):
    """Several volumes: a list or tuple, or anything that reads them when they are asked for."""

    def __len__(self) -> int: ...
    def __getitem__(self, at: int, /) -> _Kind: ...


def task_spec(task: str | None, targets: Volumes[Volume | LabelMap]) -> TaskSpec:
    """The task of that name ("KIND" or "KIND:WHAT"), or for None what the targets say: label maps are a segmentation.

    Raises UnknownNameError for a kind that does not exist, PromptError where the task has to be named.
    """
    if task is None:
        if not all(isinstance(targets[at], LabelMap) for at in range(len(targets))):
            raise name_the_task("prompt targets that are pictures, not label maps")
        task = "segmentation"
    return spec_of(task.split(":", 1)[0])


def name_the_task(found: str) -> PromptError:
    """The error for targets that may stand for several tasks."""
    choices = ", ".join(kind_names())
    return PromptError(found, "a named task", f"name what the prompts show with --task: {choices}")


def modality_of(volume: Volume | LabelMap) -> str:
    """ "CT" when the volume must be in HU, else "other"."""
    return guess_modality(volume.voxels)


def fit_window(volume: Volume | LabelMap, modality: str) -> Window:
    """Which raw intensities the model sees as [0, 1]; one rule for prompts and queries, the one of training.

    HU: the soft-tissue window; everything else: the volume's own percentiles.
    """
    return Window.fit(volume.voxels, modality)
