"""Which kind of task prompts show: named by the user, or a segmentation where all targets are label maps."""

import logging
from dataclasses import dataclass, field

from mvg.errors import PromptError
from mvg.imaging.conversion import ImageLike, LabelsLike, as_labels, as_volume, is_image
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.prompts.annotation import without_unlabeled_slices
from mvg.prediction.prompts.gray_masks import is_smoothed_mask, without_gray_edges
from mvg.prediction.prompts.label_maps import label_map
from mvg.prediction.prompts.pairs import Volumes
from mvg.tasks import TaskSpec, kind_names, spec_of

_SMOOTHED = (
    "the mask of prompt %d has smoothed edges (%d gray values): gray from half of its white on is the label, the "
    "rest as background, in all prompts"
)
_FIELDS_COMMAND = "register"  # of the command line


def task_spec(task: str | None) -> TaskSpec:
    """The description of a task by name ("KIND" or "KIND:DETAIL"); None: a segmentation.

    Raises UnknownNameError for a kind that does not exist, PromptError for one that predicts fields: these are not
    predicted from prompts of one image.
    """
    spec = spec_of((task or "segmentation").split(":", 1)[0])
    if spec.target_type == "field":
        raise PromptError(
            f"the task {spec.kind}, which aligns two images", "a task of one query", f"use 'mvg {_FIELDS_COMMAND}'"
        )
    return spec


@dataclass(frozen=True, eq=False)
class PromptImages:
    """The images of prompts as users give them, converted when they are indexed."""

    images: Volumes[ImageLike]

    def __post_init__(self) -> None:
        check_sequence(self.images, "images")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> Volume:
        return as_volume(self.images[number], f"the image of prompt {number + 1}")


@dataclass(frozen=True, eq=False)
class PromptTargets:
    """The targets of prompts as users give them, converted when they are indexed, as the task needs them.

    task: None for a segmentation without a name: PromptError on reading a target that is not a label map.
    """

    targets: Volumes[LabelsLike]
    task: str | None
    _smoothed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        check_sequence(self.targets, "targets")

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, number: int) -> Volume | LabelMap:
        target = self._converted(number)
        if not isinstance(target, LabelMap):
            return target
        if is_smoothed_mask(target):
            if not self._smoothed:
                logging.getLogger("mvg").warning(_SMOOTHED, number + 1, len(target.values))
            self._smoothed.add(number)
            target = without_gray_edges(target)
        return without_unlabeled_slices(target)

    def _converted(self, number: int) -> Volume | LabelMap:
        target, name = self.targets[number], f"the target of prompt {number + 1}"
        if isinstance(target, LabelMap) or (isinstance(target, Volume) and self.task is not None):
            return target
        if self.task is None:
            labels = None if isinstance(target, Volume) else label_map(target, name)
            if labels is None:
                raise unnamed_task("prompt targets that are pictures, not label maps")
            return labels
        return as_labels(target, name) if task_spec(self.task).target_type == "labels" else as_volume(target, name)


def check_sequence(images: object, name: str) -> None:
    """Raises PromptError where one image stands for the list of all; name: of the parameter."""
    if is_image(images) or not isinstance(images, Volumes):
        raise PromptError(
            f"{name} of the type {type(images).__qualname__}", "a list, with one entry per pair", "put it into a list"
        )


def unnamed_task(description: str) -> PromptError:
    """The error for targets that may stand for several kinds of tasks."""
    return PromptError(description, "a named task", f"name the task: {', '.join(kind_names())}")
