"""What a user receives: the prediction for a query, on the query's own grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap, Plane, Volume


@dataclass(frozen=True, eq=False)
class ClassProbabilities:
    """The probability of each class, 0 for background, on the grid of the query.

    values: background and the label values, in the order of `slices` (K + 1, n, rows, cols) float16.
    """

    values: tuple[int, ...]
    slices: NDArray[np.float16]
    query: Volume
    plane: Plane

    def of(self, value: int) -> Volume:
        """The probability of one label value; PromptError for a value that the task lacks."""
        if value not in self.values:
            raise PromptError(f"label {value}", f"one of {', '.join(map(str, self.values))}", "choose one of these")
        slices = self.slices[self.values.index(value)].astype(np.float32)
        slices.flags.writeable = False
        volume = self.query.from_pictures(slices, self.plane)
        assert isinstance(volume, Volume)
        return volume


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction for a query, on the query's own grid (affine bit for bit).

    volume: a LabelMap, or a Volume in raw intensities. uncertainty: a Volume in [0, 1], if asked for or from an
    ensemble, else None. Labels: entropy of the class probabilities over the largest possible entropy. Pictures: twice
    the standard deviation over the members of an ensemble; 1 is the whole window. probabilities: of a segmentation,
    if asked for; they are those before labels were rejected.
    """

    volume: LabelMap | Volume
    uncertainty: Volume | None = None
    probabilities: ClassProbabilities | None = None
