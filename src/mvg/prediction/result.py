"""What a user receives: the prediction for a query, on the query's own grid."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap, Plane, Volume


@dataclass(frozen=True, eq=False)
class ClassProbabilities:
    """The probability of each class, 0 for background, on the grid of the query.

    values: background and the label values, in the order of `slices` (K + 1, n, rows, cols) float16, which are cut
    along the plane of the query; named: the orientation of the volumes that are returned.
    """

    values: tuple[int, ...]
    slices: NDArray[np.float16]
    query: Volume
    plane: Plane
    named: NDArray[np.float64] | None = None

    def of(self, value: int) -> Volume:
        """The probability of one label value; PromptError for a value that the task lacks."""
        if value not in self.values:
            raise PromptError(f"label {value}", f"one of {', '.join(map(str, self.values))}", "choose one of these")
        slices = self.slices[self.values.index(value)].astype(np.float32)
        slices.flags.writeable = False
        volume = self.query.from_pictures(slices, self.plane)
        assert isinstance(volume, Volume)
        return replace(volume, orientation=self.named)


@dataclass(frozen=True, eq=False)
class Confidence:
    """How probable labels are where they were predicted and not rejected, before other refinements.

    slices: the mean probability (n,) over the labeled pixels of each slice along `plane`, 0 where there are none;
    labels: label value -> the mean probability over its voxels.
    """

    plane: Plane
    slices: NDArray[np.float64]
    labels: Mapping[int, float]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction for a query, on the query's own grid (affine bit for bit).

    volume: a LabelMap, or a Volume in raw intensities. uncertainty: a Volume in [0, 1], if asked for or from an
    ensemble, else None. Labels: entropy of the class probabilities over the largest possible entropy. Pictures: twice
    the standard deviation over the members of an ensemble; 1 is the whole window. probabilities: of a segmentation,
    if asked for; they are those before labels were rejected. confidence: of a segmentation.
    """

    volume: LabelMap | Volume
    uncertainty: Volume | None = None
    probabilities: ClassProbabilities | None = None
    confidence: Confidence | None = None

    def with_orientation(self, orientation: NDArray[np.float64] | None) -> "Prediction":
        """The same voxels with axes named as those of the query, so that both have the same `pictures`."""
        if self.volume.orientation is orientation:
            return self
        uncertainty = None if self.uncertainty is None else replace(self.uncertainty, orientation=orientation)
        probabilities = self.probabilities and replace(self.probabilities, named=orientation)
        volume = replace(self.volume, orientation=orientation)
        return Prediction(volume, uncertainty, probabilities, self.confidence)
