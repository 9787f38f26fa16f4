"""One request of the demo: what it is made of, and the way it is predicted."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import h5py
import numpy as np
from numpy.typing import NDArray

from mvg.imaging.displacement import DisplacementField
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import Predictor
from mvg.tasks import spec_of
from mvg.tasks.measurement import Measurement

LEFT_AS_IT_IS = "leaving the query as it is"
Rival = tuple[LabelMap | Volume | None, str]
"""What one gets without a model, and its name; None and "" where there is nothing on the query's grid."""


@runtime_checkable
class Way(Protocol):
    """How an exhibit is predicted, in the program and on the command line."""

    def predict(self, predictor: Predictor, exhibit: "Exhibit") -> LabelMap | Volume:
        """The prediction on the query's grid."""
        ...

    def rival(self, exhibit: "Exhibit") -> Rival:
        """What one gets without a model."""
        ...

    def command(self, exhibit: "Exhibit", folder: Path) -> str:
        """The command that does the same with the files in the exhibit's folder."""
        ...

    def save(self, folder: Path) -> None:
        """Write what the command needs beyond prompts and query."""
        ...


class ByExample:
    """Prompts, as `mvg predict` takes them."""

    def predict(self, predictor: Predictor, exhibit: "Exhibit") -> LabelMap | Volume:
        """By the model."""
        return predictor.prompt(exhibit.images, exhibit.targets, exhibit.task)(exhibit.query).volume

    def rival(self, exhibit: "Exhibit") -> Rival:
        """The query itself, or the nearest prompt's target on the same grid."""
        if spec_of(exhibit.task).residual:
            return exhibit.query, LEFT_AS_IT_IS
        if exhibit.query.plane != "axial":
            return None, ""
        prompts = [image.affine[2, 3] for image in exhibit.images]
        slices = exhibit.query.affine[2, 3] + exhibit.query.affine[2, 2] * np.arange(exhibit.query.shape[2])
        nearest = [exhibit.targets[int(np.argmin(np.abs(np.subtract(prompts, position))))] for position in slices]
        copied = np.concatenate([target.voxels for target in nearest], axis=2)
        return type(nearest[0])(copied, exhibit.query.affine), "copying the nearest prompt's target"

    def command(self, exhibit: "Exhibit", folder: Path) -> str:
        """`mvg predict`."""
        return (
            f"mvg predict {folder}/query.nii.gz --prompts {folder}/prompts --task {exhibit.task} --output predictions"
        )

    def save(self, folder: Path) -> None:
        """Nothing more."""


class Registered:
    """The one prompt is the moving image with its labels, which are warped onto the query."""

    def predict(self, predictor: Predictor, exhibit: "Exhibit") -> LabelMap | Volume:
        """The warped labels."""
        ((image,), (labels,)) = exhibit.images, exhibit.targets
        assert isinstance(labels, LabelMap), "a moving image with labels"
        return predictor.register(image, exhibit.query).field.warp_labels(labels)

    def rival(self, exhibit: "Exhibit") -> Rival:
        """The labels where they are."""
        (labels,) = exhibit.targets
        assert isinstance(labels, LabelMap), "a moving image with labels"
        still = DisplacementField(np.zeros((*exhibit.query.shape, 3), np.float32), exhibit.query)
        return still.warp_labels(labels), "leaving the labels where they are"

    def command(self, exhibit: "Exhibit", folder: Path) -> str:
        """`mvg register`."""
        moving, labels = (f"{folder}/prompts/{part}/example1.nii.gz" for part in ("images", "targets"))
        return f"mvg register {moving} {folder}/query.nii.gz --labels {labels} --output aligned"

    def save(self, folder: Path) -> None:
        """Nothing more."""


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """From raw data, with the targets of the prompts as complete volumes; the query is what the raw data give alone."""

    measurement: Measurement

    def predict(self, predictor: Predictor, exhibit: "Exhibit") -> LabelMap | Volume:
        """The reconstruction."""
        complete = [target for target in exhibit.targets if isinstance(target, Volume)]
        return predictor.reconstruct(self.measurement, complete)

    def rival(self, exhibit: "Exhibit") -> Rival:
        """What the raw data give alone."""
        return exhibit.query, LEFT_AS_IT_IS

    def command(self, exhibit: "Exhibit", folder: Path) -> str:
        """`mvg reconstruct`."""
        return f"mvg reconstruct {folder}/raw.h5 --prompts {folder}/prompts/targets --output reconstructed"

    def save(self, folder: Path) -> None:
        """The raw data."""
        with h5py.File(folder / "raw.h5", "w") as file:
            self.measurement.write(file)


@dataclass(frozen=True, eq=False, kw_only=True)
class Exhibit:
    """One request, and what is known of its truth.

    name: also that of its folder; task: the kind; description: whose images these are; images, targets: the prompt
    pairs; truth: on the query's grid, None where it is not known; truth_caption: where the truth comes from; region:
    the voxels (X, Y, Z) that are measured, None for all; void: the voxels that were voided; labels: names of values;
    way: how it is predicted; in_overview: whether it is drawn in the picture of the whole.
    """

    name: str
    task: str
    title: str
    description: str
    images: tuple[Volume, ...]
    targets: tuple[Volume | LabelMap, ...]
    query: Volume
    truth: Volume | LabelMap | None = None
    truth_caption: str = ""
    region: NDArray[np.bool_] | None = None
    void: NDArray[np.bool_] | None = None
    labels: dict[int, str] = field(default_factory=dict)
    way: Way = field(default_factory=ByExample)
    in_overview: bool = True
