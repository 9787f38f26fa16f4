"""Lines about what images and headers of prompts leave in doubt, each said once for all prompts."""

from dataclasses import dataclass, field

import numpy as np

from mvg.imaging.formats.nifti import SAME_POSITION, disagreement_of_positions
from mvg.imaging.formats.picture import was_turned
from mvg.imaging.intensity import constant_slices, finite_sample
from mvg.imaging.volume import IGNORED, LabelMap, Volume
from mvg.prediction.prompts.notes import Notes

_TWO_POSITIONS = "sform and qform of the image of prompt %s differ by %.3g voxels; the sform is used, in all prompts"
_TURNED = (
    "the picture of prompt %s is turned as its EXIF orientation says, and its target has none: it is taken as drawn on "
    "the turned picture, as viewers show it"
)
_LABELS = (
    "the image of prompt %s has %d intensities alone, as many as its target: it looks like a label map; check that "
    "images and targets are not the same files"
)
_EMPTY = (
    "the image of prompt %s shows one intensity alone on slice %d of %d, where its target has labels: what they "
    "outline is missing there"
)
_MOST_INTENSITIES = 16  # of an image that may be a label map


@dataclass(eq=False)
class HeaderNotes:
    """Looks at images and their headers and notes what they leave in doubt."""

    _notes: Notes = field(default_factory=Notes)

    def check(self, image: Volume, target: Volume | LabelMap, name: str) -> None:
        """Look at the image and the target of a prompt."""
        count = len(np.unique(finite_sample(image.voxels)))
        if isinstance(target, LabelMap) and 1 < count <= _MOST_INTENSITIES and count == len(target.counts):
            self._notes.once(_LABELS, name, count)
        self._check_slices(image, target, name)
        apart = disagreement_of_positions(image.header)
        if apart > SAME_POSITION:
            self._notes.once(_TWO_POSITIONS, name, apart)
        if was_turned(image.header) and not was_turned(target.header):
            self._notes.once(_TURNED, name)

    def _check_slices(self, image: Volume, target: Volume | LabelMap, name: str) -> None:
        """Look for labels on slices that show nothing."""
        if not isinstance(target, LabelMap):
            return
        pictures, labels = image.pictures(image.plane), target.pictures(image.plane)
        # Slice by slice, as a temporary array of a whole volume takes several times as long.
        labeled = np.flatnonzero([((picture != 0) & (picture != IGNORED)).any() for picture in labels])
        empty = labeled[constant_slices([pictures[number] for number in labeled])]
        if empty.size:
            self._notes.once(_EMPTY, name, int(empty[0]) + 1, len(pictures))
