"""The windows of a session: those of its task, or of CT without a task the one that shows what was labeled."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.intensity import finite_sample, hounsfield_offset
from mvg.imaging.volume import Volume
from mvg.imaging.window import CT_WINDOW, Window, is_ct
from mvg.prediction.annotations import Annotations
from mvg.prediction.prompts.ct_window import LabelHistograms, best_window
from mvg.prediction.prompts.pairs import first_channel, windows_of
from mvg.prediction.session_start import SessionStart

_Slice = tuple[NDArray[np.float32], NDArray[np.uint8], bool]


@dataclass(eq=False)
class SessionWindows:
    """The windows of a volume, one per channel, for what has been labeled in it so far.

    The first slice that was labeled as a whole decides, so that later ones change nothing; until there is one, all
    strokes together decide. Before any label CT has the window of soft tissue.
    """

    volume: Volume
    start: SessionStart
    _chosen: dict[int, Window] = field(default_factory=dict)  # by the hash of what was labeled
    _fitted: dict[Window, tuple[Window, ...]] = field(default_factory=dict)

    def of(self, annotations: Annotations) -> tuple[Window, ...]:
        """The windows for these annotations."""
        window = self.start.ct_window or self._labeled_window(annotations)
        if window not in self._fitted:
            self._fitted[window] = windows_of(self.volume, self.start.modality, window)
        return self._fitted[window]

    def _labeled_window(self, annotations: Annotations) -> Window:
        if self._offset is None:
            return CT_WINDOW
        slices = _deciding_slices(first_channel(self.volume), annotations)
        identity = hash(tuple((labels.tobytes(), whole) for _, labels, whole in slices))
        if identity not in self._chosen:
            histograms = LabelHistograms()
            for voxels, labels, whole in slices:
                histograms.add_slice(voxels - self._offset, labels, None if whole else _everything_else)
            self._chosen = {identity: best_window(histograms)}
        return self._chosen[identity]

    @cached_property
    def _offset(self) -> float | None:
        """What to subtract to get HU; None where intensities are not those of CT."""
        is_scan = is_ct(self.start.modality) and self.start.ct_window is None
        return hounsfield_offset(finite_sample(first_channel(self.volume))) if is_scan else None


def _deciding_slices(voxels: NDArray[np.float32], annotations: Annotations) -> list[_Slice]:
    """Voxels and class numbers of the first slice that was labeled as a whole, else of all that show strokes."""
    slices = list(_labeled_slices(voxels, annotations))
    return [one for one in slices if one[2]][:1] or slices


def _labeled_slices(voxels: NDArray[np.float32], annotations: Annotations) -> Iterator[_Slice]:
    """The corrected slices that show a label, in the order of their first correction, and whether all is known."""
    for axis, index in dict.fromkeys(annotations.corrected):
        labels = np.asarray(annotations.numbers.take(index, axis))
        if labels.any():
            yield np.asarray(voxels.take(index, axis)), labels, index in annotations.whole_slices(axis)


def _everything_else(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What a stroke is compared with: beside it lies more of the same."""
    return ~mask
