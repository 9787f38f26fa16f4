"""A volume whose picture a task predicts, with a void that the user paints where the task fills voids."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvg.errors import PromptError
from mvg.imaging.volume import Plane, Volume
from mvg.prediction.annotations import Annotations, Correction, check_slice
from mvg.prediction.prompted_task import Progress, PromptedTask
from mvg.prediction.result import Prediction
from mvg.prediction.session_start import UNKNOWN
from mvg.prediction.slice_plane import SlicePlane

VOID = 1
"""The label value of the void."""


class PictureSession:
    """A volume that is kept open while a region of it is painted as void, and its predicted picture.

    session = PictureSession(volume)
    session.correct(40, void)                  # 1 where voxels.take(40, axis) shall be filled
    picture = session.predict(task).volume     # in raw intensities, on the volume's own grid
    """

    values = (VOID,)

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.annotations = Annotations(volume)

    @property
    def plane(self) -> Plane:
        """The plane in which slices are predicted."""
        return self.volume.plane

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """The strokes in effect."""
        return self.annotations.history

    def correct(
        self, index: int, labels: NDArray[np.integer], plane: Plane | None = None, unknown: int = UNKNOWN
    ) -> None:
        """Paint slice `index`, see `Session.correct`: 1 is void, 0 is not, pixels of the value `unknown` stay."""
        axis = SlicePlane(self.volume, plane or self.volume.plane).axis
        labels = np.asarray(labels)
        check_slice(self.volume, axis, index, labels)
        known = labels != unknown
        if not np.isin(labels[known], (0, VOID)).all():
            raise PromptError("a label in a painted void", f"0, or {VOID} for the void", "paint the void only")
        numbers = np.where(known, labels, 0).astype(np.uint8)
        self.annotations.correct(Correction(axis, index, numbers, known.astype(np.uint8)))

    def undo(self) -> bool:
        """Take back the last stroke; False where there is none."""
        return self.annotations.undo() is not None

    def redo(self) -> bool:
        """Repeat the stroke that was taken back last; False where there is none."""
        return self.annotations.redo() is not None

    @property
    def query(self) -> Volume:
        """The volume with its void at its lowest intensity, as the voids of prompts are."""
        void = self.annotations.numbers > 0
        if not void.any():
            return self.volume
        if self.volume.voxels.ndim == 4:
            void = void[..., None]
        return replace(self.volume, voxels=np.where(void, self.volume.voxels.min(), self.volume.voxels))

    def predict(self, task: PromptedTask, progress: Progress | None = None) -> Prediction:
        """The task's picture for the volume and its void. Raises what the task raises."""
        return task(self.query, progress)
