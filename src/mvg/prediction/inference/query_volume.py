"""A query volume on its way through the model: slices become squares, and squares become slices again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame, assemble
from mvg.imaging.volume import Plane, Volume
from mvg.imaging.window import Window
from mvg.model.generalist import Generalist
from mvg.model.outputs import ImageFeatures
from mvg.prediction.inference.feature_cache import BATCH, FeatureCache
from mvg.prediction.prompts.cutting import frames_for
from mvg.prediction.prompts.pairs import channels_first, windows_of
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.selection.retrieval import QuerySlice, thumbnails
from mvg.tasks import TaskSpec

_FEATURE_BYTES = 2**26
# Of the window: changes towards it up to the first keep what lies beyond it, from the second on they replace it.
_KEEPS, _REPLACES = 0.05, 0.1


@dataclass(frozen=True, eq=False)
class QueryVolume:
    """The slices (n, i, rows, cols) of a query along `plane`, raw, with a window per channel and the frames of a slice.

    Predictions are put back onto the grid of the first channel. These may be some of the `total` slices of a volume (0:
    all of them), from the number `first` on.
    """

    slices: NDArray[np.float32]
    plane: Plane
    windows: tuple[Window, ...]
    frames: tuple[Frame, ...]
    first: int = 0
    total: int = 0

    @classmethod
    def of(cls, volume: Volume, prompts: PromptSet, spec: TaskSpec, size: int) -> "QueryVolume":
        """Cut along the prompts' plane (a single slice: along its own) and windowed by the same rule as the prompts."""
        plane = volume.cut_along(prompts.plane)
        slices = channels_first(volume.pictures(plane))
        rows, cols = slices.shape[-2:]
        frames = frames_for((rows, cols), volume.pixel_spacing(plane), size, spec.sampling)
        return cls(slices, plane, windows_of(volume, prompts.modality_of(volume), prompts.ct_window), frames)

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of slices, rows and columns."""
        count, _, rows, cols = self.slices.shape
        return count, rows, cols

    @property
    def window(self) -> Window:
        """The window of the first channel."""
        return self.windows[0]

    def with_frames(self, frames: tuple[Frame, ...]) -> "QueryVolume":
        """The same slices, cut to other frames."""
        return replace(self, frames=frames)

    @property
    def length(self) -> int:
        """The number of slices of the volume, of which these may be a part."""
        return self.total or len(self)

    def part(self, numbers: range) -> "QueryVolume":
        """Some neighboring slices, which still know where in the volume they lie."""
        slices = self.slices[numbers.start : numbers.stop]
        return replace(self, slices=slices, first=self.first + numbers.start, total=self.length)

    def squares(self, number: int) -> NDArray[np.float32]:
        """One slice as the model receives it: (f, i, s, s) in [0, 1], one square per frame."""
        channels = zip(self.windows, self.slices[number], strict=True)
        scaled = np.stack([window.apply(channel) for window, channel in channels])
        return np.stack([frame.apply(scaled) for frame in self.frames])

    def query_slice(
        self, number: int, squares: NDArray[np.float32], describe: Callable[[int], NDArray[np.float32]]
    ) -> QuerySlice:
        """What a strategy may compare; the square with the most structure stands for all squares of the slice.

        describe: number of a square -> its descriptor (f,).
        """
        square = int(np.argmax(squares[:, 0].std(axis=(1, 2))))
        index, thumbnail = self.first + number, thumbnails(squares[square : square + 1, 0])[0]
        return QuerySlice(index, self.length, thumbnail, lambda: describe(square))

    def restore(self, squares: NDArray[np.float32]) -> NDArray[np.float32]:
        """Squares (f, s, s) of one slice as a picture (rows, cols), by linear interpolation; tiles are blended."""
        if len(self.frames) == 1:
            return self.frames[0].restore(squares[0])
        return assemble(self.frames, list(squares))

    def raw_prediction(
        self,
        number: int,
        squares: NDArray[np.float32],
        predicted: NDArray[np.float32],
        spec: TaskSpec,
        target_window: Window,
    ) -> NDArray[np.float32]:
        """One slice (rows, cols) in raw intensities, from its predicted pictures (f, s, s) in [0, 1].

        A residual prediction is the raw slice plus the change from `squares` (f, s, s). What lies beyond the window is
        kept where little changes, such as bone and lung; where much does, such as in metal and missing rows, the
        prediction stands for itself. Others have the window of their targets.
        """
        if not spec.residual:
            return target_window.invert(self.restore(predicted))
        raw, change = self.slices[number, 0], self.restore(predicted - squares)
        low, high = np.float32(self.window.low), np.float32(self.window.high)
        beyond = raw - np.clip(raw, low, high)
        beyond *= 1 - np.clip((-change * np.sign(beyond) - _KEEPS) / (_REPLACES - _KEEPS), 0, 1)
        return np.asarray(np.clip(raw, low, high) + change * (high - low) + beyond, np.float32)


class QueryFeatures:
    """The squares and features of the slices of a query, embedded once while memory allows."""

    def __init__(self, model: Generalist, query: QueryVolume, budget: int = _FEATURE_BYTES) -> None:
        """`budget`: bytes of features that are kept."""
        self.model, self.query = model, query
        self._cache = FeatureCache(model, query.squares, budget=budget)

    @property
    def batch(self) -> int:
        """How many slices are best embedded together."""
        return max(1, BATCH // len(self.query.frames))

    def get(self, numbers: Sequence[int], mirrored: bool = False) -> ImageFeatures:
        """The features of all squares of some slices, slice by slice."""
        return self._cache.get(numbers, mirrored)

    def clear(self) -> None:
        """Keep no features."""
        self._cache.clear()


def smallest_integers(values: Sequence[int]) -> NDArray[np.integer]:
    """Background and `values` as a table (K + 1,) from class numbers to label values, in the smallest integer type."""
    low, high = min(0, *values), max(0, *values)
    kinds = (np.uint8, np.int16, np.uint16, np.int32, np.int64)
    kind = next(kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return np.array((0, *values), kind)
