"""Which kind of task prompts show: named by the user, or a segmentation where all targets are label maps."""

from dataclasses import dataclass, field

from mvg.data.case_labels import with_ignored
from mvg.errors import PromptError
from mvg.imaging.conversion import ImageLike, LabelsLike, as_labels, as_volume, is_image
from mvg.imaging.formats.picture import palette_of
from mvg.imaging.segment_numbers import SegmentNumbers
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.prompts.annotation import (
    filling_values,
    negative_labels,
    unknown_values,
    without_unlabeled_slices,
)
from mvg.prediction.prompts.gray_masks import is_smoothed_mask, without_gray_edges
from mvg.prediction.prompts.interpolated_labels import interpolated_label
from mvg.prediction.prompts.label_maps import label_map
from mvg.prediction.prompts.notes import Notes
from mvg.prediction.prompts.pairs import Volumes
from mvg.tasks import TaskSpec, kind_names, spec_of

_SMOOTHED = (
    "the mask of prompt %d has smoothed edges (%d gray values): gray from half of its white on is the label, the "
    "rest as background, in all prompts"
)
_UNKNOWN = (
    "the labels of prompt %d have the value %s, which no label has: voxels with it are taken as not annotated, in all "
    "prompts"
)
_FILLED = (
    "the label %s of prompt %d fills whole slices: if it marks what nobody annotated, name it 'ignore' in dataset.json"
)
_NEGATIVE = "prompt %d has the negative label %s: if it marks what nobody annotated, name it 'ignore' in dataset.json"
_INTERPOLATED = (
    "the label %s of prompt %d has a thin rim of smaller labels (%s) all around, as labels have that were resampled "
    "like pictures: resample them by the nearest voxel"
)
_EVERYWHERE = "prompt %d is labeled %s everywhere: there is no background to tell it from"
_RECOLORED = (
    "the palette of the target of prompt %d has another color for the label %d than that of an earlier prompt: labels "
    "may be mixed up; export the masks with one palette"
)
_RENUMBERED = (
    "the segments of prompt %d have other numbers than those of the prompts before: they are matched by their names"
)
_MOST_VALUES = 5  # in a message
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
    _notes: Notes = field(default_factory=Notes)
    _colors: dict[int, bytes] = field(default_factory=dict)
    _segments: SegmentNumbers = field(default_factory=SegmentNumbers)
    _noted: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        check_sequence(self.targets, "targets")

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, number: int) -> Volume | LabelMap:
        target = self._converted(number)
        if not isinstance(target, LabelMap):
            return target
        target = self._matched(target, number)
        self._compare_palette(target, number)
        self._note_values(target, number)
        if is_smoothed_mask(target):
            self._notes.once(_SMOOTHED, number + 1, len(target.values))
            target = without_gray_edges(target)
        return without_unlabeled_slices(self._without_unknown(target, number))

    def _matched(self, target: LabelMap, number: int) -> LabelMap:
        """Segments of DICOM by their names; a line says once where their numbers differ."""
        matched = self._segments.apply(target)
        if matched is not target:
            self._notes.once(_RENUMBERED, number + 1)
        return matched

    def _note_values(self, target: LabelMap, number: int) -> None:
        """Say once that labels were interpolated, or leave no background; targets are looked at once."""
        if number in self._noted:
            return
        self._noted.add(number)
        if len(target.values) == 1 and (target.voxels == target.values[0]).all():
            self._notes.once(_EVERYWHERE, number + 1, target.values[0])
        interpolated = None if is_smoothed_mask(target) else interpolated_label(target)
        if interpolated is not None:
            value, rim = interpolated
            self._notes.once(_INTERPOLATED, value, number + 1, ", ".join(map(str, rim[:_MOST_VALUES])))

    def _without_unknown(self, target: LabelMap, number: int) -> LabelMap:
        """The labels with `IGNORED` for values that mean that nobody annotated; a line says so once."""
        for value in filling_values(target):
            self._notes.once(_FILLED, value, number + 1)
        for value in negative_labels(target):
            self._notes.once(_NEGATIVE, number + 1, value)
        unknown = unknown_values(target)
        if unknown:
            self._notes.once(_UNKNOWN, number + 1, ", ".join(map(str, unknown)))
        return with_ignored(target, unknown)

    def _compare_palette(self, target: LabelMap, number: int) -> None:
        """Say once that one label has two colors in the palettes of two targets."""
        palette = palette_of(target.header)
        if palette is None:
            return
        for value in target.values:
            color = palette[value].tobytes() if 0 <= value < len(palette) else b""
            if self._colors.setdefault(value, color) != color:
                self._notes.once(_RECOLORED, number + 1, value)

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
