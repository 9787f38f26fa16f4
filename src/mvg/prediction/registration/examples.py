"""Registration by example: the transform that comes closest to what pairs of a moving and a fixed image show."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mvg.errors import GeometryError, PromptError
from mvg.imaging.displacement import DisplacementField, is_field, read_field
from mvg.imaging.files import read_gray
from mvg.imaging.folder import files_by_name
from mvg.imaging.volume import Volume
from mvg.prediction.registration.register import (
    TRANSFORMS,
    RegistrationOptions,
    comparable,
    registration_fields,
)

FOLDERS = ("moving", "fixed", "targets")
_AS_GOOD = 1.05  # a transform with fewer freedoms is chosen where its error is at most so much larger


@dataclass(frozen=True, eq=False)
class RegistrationExample:
    """A moving and a fixed image, and what their registration gave.

    target: the warped image on the fixed grid, or the field. GeometryError for an image on another grid.
    """

    moving: Volume
    fixed: Volume
    target: Volume | DisplacementField

    def __post_init__(self) -> None:
        if isinstance(self.target, Volume) and not self.target.same_grid(self.fixed, tolerance=0.1):
            raise GeometryError(
                f"a warped image of shape {self.target.shape} for a fixed image of {self.fixed.shape}",
                "the grid of the fixed image",
                "resample the warped image onto it",
            )

    def error(self, field: DisplacementField) -> float:
        """How far a field is from the target: mean distance in mm, or root mean square of intensities."""
        if isinstance(self.target, DisplacementField):
            return float(np.linalg.norm(field.vectors - self.target.vectors, axis=-1).mean())
        difference = field.warp(self.moving).voxels - self.target.voxels
        return float(np.sqrt((difference**2).mean()))


def read_examples(folder: Path) -> tuple[RegistrationExample, ...]:
    """The examples in moving/, fixed/ and targets/, three files of one name each.

    Raises PromptError for a folder or a file that is missing, and what reading raises.
    """
    files = [files_by_name(folder / name) if (folder / name).is_dir() else {} for name in FOLDERS]
    names = sorted(set().union(*files))
    if not names:
        raise PromptError(
            f"no examples in '{folder}'", "moving/, fixed/ and targets/ with equal names", "add pairs of images"
        )
    for name in names:
        for part, known in zip(FOLDERS, files, strict=True):
            if name not in known:
                raise PromptError(
                    f"no '{name}' in '{folder / part}'", "each name in moving/, fixed/ and targets/", "add the file"
                )
    return tuple(_read(*(known[name] for known in files)) for name in names)


def transform_of(examples: Sequence[RegistrationExample], options: RegistrationOptions) -> str:
    """The transform with the fewest freedoms whose fields come about as close to the examples as those of any other.

    Raises GeometryError for images that cannot be registered.
    """
    totals = dict.fromkeys(TRANSFORMS, 0.0)
    for example in examples:
        images = comparable(example.moving, example.fixed)
        fields = registration_fields(*images, replace(options, transform=TRANSFORMS[-1]))
        errors = {transform: example.error(field) for transform, field in fields.items()}
        for transform, error in errors.items():
            totals[transform] += error / max(*errors.values(), 1e-9)
    return next(transform for transform in TRANSFORMS if totals[transform] <= _AS_GOOD * min(totals.values()))


def _read(moving: Path, fixed: Path, target: Path) -> RegistrationExample:
    reference = read_gray(fixed)
    result = read_field(target, reference) if is_field(target) else read_gray(target)
    return RegistrationExample(read_gray(moving), reference, result)
