"""A query volume on its way through the model: cut into squares slice by slice, answers put back onto its own grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.imaging.frame import Frame, assemble
from mvg.imaging.volume import Plane, Volume
from mvg.imaging.window import Window
from mvg.model.ridge import BLACK
from mvg.prediction.asked import fit_window, modality_of
from mvg.prediction.prompts.prompt_set import PromptSet, frames_for
from mvg.prediction.refinement.contralateral import other_side, smooth
from mvg.prediction.selection.retrieval import QuerySlice, thumbnails
from mvg.tasks import TaskSpec

Seeing = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_FILLED = 0.05  # what is brighter than it was by more has been filled
_ALIKE = 0.6  # least ratio of brightness of a void as said and as filled smoothly, either way round
_GUESS = 0.25  # share of what was said beyond a smooth fill that is kept, where the other side tells nothing
_RIM = 3  # pixels of a square about a void that its blurred edge reaches
_SURE = 1e-4  # a class that is less likely than this in the whole slice is not worth restoring


@dataclass(frozen=True, eq=False)
class Query:
    """The slices (n, rows, cols) of a query volume along `plane`, in raw intensities, with their window and frames.

    residual: see `TaskSpec`; coarse: pictures are answered in squares of whole slices, not at their own
    resolution.
    """

    pictures: NDArray[np.float32]
    plane: Plane
    window: Window
    frames: tuple[Frame, ...]
    residual: bool = False
    coarse: bool = False

    @classmethod
    def of(cls, volume: Volume, examples: PromptSet, asked: TaskSpec, size: int) -> "Query":
        """Cut along the prompts' plane (a single slice: along its own), windowed by the rule that the prompts were."""
        plane = volume.cut_along(examples.plane)
        modality = modality_of(volume) if examples.modality == "other" else examples.modality
        pictures = volume.pictures(plane)
        frames = frames_for(pictures.shape[1:], volume.pixel_spacing(plane), size, asked.sampling)
        return cls(pictures, plane, fit_window(volume, modality), frames, asked.residual, asked.sampling == "whole")

    def seen(self, frames: tuple[Frame, ...]) -> "Query":
        """The same slices, seen through other frames."""
        return replace(self, frames=frames)

    def __len__(self) -> int:
        return len(self.pictures)

    def squares(self, at: int) -> NDArray[np.float32]:
        """One slice as the model sees it (f, s, s), one square per frame, in [0, 1]."""
        scaled = self.window.apply(self.pictures[at])
        return np.stack([frame.apply(scaled) for frame in self.frames])

    def described(self, at: int, squares: NDArray[np.float32], see: Seeing | None = None) -> QuerySlice:
        """What a strategy may know of the slice; of several tiles, the one with the most structure stands for all.

        see: pictures (m, s, s) -> the model's features of them (m, f), where it has any.
        """
        telling = int(np.argmax(squares.std(axis=(1, 2))))
        own = squares[telling : telling + 1]
        return QuerySlice(at, len(self), thumbnails(own)[0], None if see is None else lambda: see(own)[0])

    def restore(self, squares: NDArray[np.float32]) -> NDArray[np.float32]:
        """Squares (f, s, s) of one slice as a picture (rows, cols) by linear interpolation; tiles are blended."""
        if len(self.frames) == 1:
            return self.frames[0].restore(squares[0])
        return assemble(self.frames, list(squares))

    def changed(self, at: int, squares: NDArray[np.float32], said: NDArray[np.float32]) -> NDArray[np.float32]:
        """One slice (rows, cols), raw, with the change from `squares` to what was `said` (f, s, s), also outside of the
        window.

        A change that was seen in coarser squares is blurred at a void's rim. So what has the void's own value there is
        taken as it was said, or filled where that is about as bright (`_refined`), and what has not (dark tissue, air)
        stays.
        """
        own, span = self.pictures[at], np.float32(self.window.high - self.window.low)
        whole = np.asarray(own + self.restore(said - squares) * span)
        if not self.coarse:
            return whole
        filled = (squares <= BLACK) & (said - squares > _FILLED)
        if not filled.any():
            return whole
        near = self.frames[0].restore_labels(ndimage.binary_dilation(filled[0], iterations=_RIM))
        inside = self.frames[0].restore_labels(filled[0])
        if not inside.any():
            return whole
        values, counts = np.unique(own[inside], return_counts=True)
        void = values[counts.argmax()]  # a void is of one value, air and dark tissue are of many
        hole = near & (np.abs(own - void) <= BLACK * span)
        return np.where(near, np.where(hole, self.window.invert(self._refined(own, hole, said)), own), whole)

    def _refined(
        self, own: NDArray[np.float32], hole: NDArray[np.bool_], said: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What was said of a slice, (rows, cols) in [0, 1], where voids (parts of `hole`) are filled at the slice's own
        resolution: smoothly, and as the other side of the body is, as far as that is alike; what squares add is a guess
        for the rest. Parts that were said to be much darker are no voids (gaps of the body) unless there is body on the
        other side; those that were said to be much brighter hold something else. Outside of the body nothing is filled.
        """
        scaled, told = self.window.apply(own), self.restore(said)
        filled, other = smooth(scaled, hole), other_side(scaled, hole)
        parts, count = ndimage.label(hole)
        means = [ndimage.mean(picture, parts, np.arange(1, count + 1)) for picture in (told, filled)]
        alike = np.append(False, np.minimum(*means) > _ALIKE * np.maximum(*means))[parts]
        guess = (1 - other.share) * _GUESS * self.restore(said - self.frames[0].apply(filled))
        told = np.where(alike | other.body, filled + guess + other.detail, told)
        return np.where(other.bare, scaled, told)

    def labels(self, probabilities: NDArray[np.float32], least: NDArray[np.float32] | None = None) -> "SliceLabels":
        """Probabilities (f, K + 1, s, s) of one slice -> what is found there.

        Probabilities are restored, then compared; a class whose mean, where it is the likeliest, is below its `least`
        (K,) is background instead. Uncertainty is their entropy over the largest possible, in [0, 1].
        """
        classes = probabilities.shape[1]
        best = self.restore(probabilities[:, 0])
        numbers = np.zeros(best.shape, np.uint8)
        entropy = _surprise(best)
        for number in range(1, classes):
            if probabilities[:, number].max() < _SURE:
                continue
            likely = self.restore(probabilities[:, number])
            wins = likely > best
            numbers[wins] = number
            best = np.where(wins, likely, best)
            entropy += _surprise(likely)
        dropped = []
        for number in np.unique(numbers[numbers > 0]):
            if least is not None and best[numbers == number].mean() < least[number - 1]:
                numbers[numbers == number] = 0
                dropped.append(int(number))
        found = numbers > 0
        sure = float(best[found].mean()) if found.any() else 0.0
        return SliceLabels(numbers, np.clip(entropy / np.float32(np.log(classes)), 0, 1), sure, tuple(dropped))


class SliceLabels(NamedTuple):
    """What is found in a slice: class numbers and their uncertainty (rows, cols); how sure it is, the mean probability
    where something is, 0 where nothing is; the classes that were not sure enough to be kept.
    """

    numbers: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]
    sure: float
    dropped: tuple[int, ...]


def smallest_integers(values: Sequence[int]) -> NDArray[np.integer]:
    """Background and `values` as a table (K + 1,) from class numbers to label values, in the smallest integer type."""
    low, high = min(0, *values), max(0, *values)
    kinds = (np.uint8, np.int16, np.uint16, np.int32, np.int64)
    kind = next(kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return np.array((0, *values), kind)


def _surprise(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(-probability * np.log(np.maximum(probability, 1e-12)), np.float32)
