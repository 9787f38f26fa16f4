"""What is known about the slices of a volume, as the maps that the fusion network takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame, extent_of
from mvg.model.fusion import SCALE, Evidence
from mvg.prediction.inference.shape_prior import interpolated, signed_distances
from mvg.prediction.slice_plane import SlicePlane

_LIMIT = 12.0  # largest log-odds
_CERTAIN = 8.0  # log-odds of annotated pixels
_NOWHERE = 64  # slices to the nearest annotated one where there is none
_MAX_CHANGE = 32.0  # pixels
_MAX_REACH = 4.0


@dataclass(frozen=True)
class VolumeScale:
    """Millimetres between the pixels of a square, and between slices."""

    pixel: float
    thickness: float

    @classmethod
    def of(cls, cut: SlicePlane, frame: Frame) -> "VolumeScale":
        """That of the squares of a frame, for the slices of a plane."""
        extent = extent_of((frame.source.rows, frame.source.cols), cut.volume.pixel_spacing(cut.plane))
        return cls(max(extent) / frame.size, cut.thickness)


@dataclass(frozen=True, eq=False)
class SliceStack:
    """Slices of a volume as squares, in order: numbers (n,), images (n, s, s), the model's log-odds (n, K, s, s).

    pixel, thickness: millimetres between pixels of a square, and between slices of consecutive numbers.
    """

    numbers: tuple[int, ...]
    images: NDArray[np.float32]
    log_odds: NDArray[np.floating]
    pixel: float
    thickness: float


@dataclass(frozen=True, eq=False)
class AnnotatedSquare:
    """An annotated slice as a square: class numbers (s, s), image (s, s), signed distances (K, s, s) in pixels."""

    numbers: NDArray[np.uint8]
    image: NDArray[np.float32]
    distances: NDArray[np.float32]

    @classmethod
    def of(cls, numbers: NDArray[np.uint8], image: NDArray[np.float32], classes: int) -> "AnnotatedSquare":
        """With the distances to the outlines of the classes 1..K."""
        return cls(numbers, image, signed_distances(numbers, classes))

    @cached_property
    def areas(self) -> NDArray[np.float32]:
        """Pixels of each class (K,)."""
        return np.asarray((self.distances > 0).sum(axis=(1, 2)), np.float32)


def evidence_maps(
    stack: SliceStack, annotated: Mapping[int, AnnotatedSquare], classes: Sequence[int]
) -> NDArray[np.float32]:
    """The evidence (k, 16, n, s, s) for some classes, by their positions in the K log-odds; see `Evidence`."""
    chosen = list(classes)
    count, side = len(stack.numbers), stack.images.shape[-1]
    maps = np.zeros((len(chosen), len(Evidence), count, side, side), np.float32)
    areas = np.stack([square.areas for square in annotated.values()]) if annotated else np.zeros((1, 0), np.float32)
    largest = np.maximum(areas.max(axis=0), 1) if annotated else np.ones(stack.log_odds.shape[1], np.float32)
    for row, number in enumerate(stack.numbers):
        log_odds = _log_odds(stack, annotated, row)
        part = maps[:, :, row]
        part[:, Evidence.log_odds] = log_odds[chosen] / SCALE
        part[:, Evidence.others] = _others(log_odds, chosen) / SCALE
        part[:, Evidence.image] = stack.images[row]
        part[:, Evidence.known] = number in annotated
        _add_neighbors(part, Neighbors.of(number, annotated), chosen, largest, stack)
    return maps


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The annotated slices around a slice: the nearest below and above (the same one beyond the last), and the next one
    after it where the slice lies beyond the last.
    """

    number: int
    below: int
    above: int
    beyond: int | None
    annotated: Mapping[int, AnnotatedSquare]

    @classmethod
    def of(cls, number: int, annotated: Mapping[int, AnnotatedSquare]) -> "Neighbors | None":
        """None where no slice is annotated."""
        known = sorted(annotated)
        if not known:
            return None
        below = max((other for other in known if other <= number), default=known[0])
        above = min((other for other in known if other >= number), default=known[-1])
        beyond = None
        if len(known) > 1 and not known[0] <= number <= known[-1]:
            beyond = known[1] if number < known[0] else known[-2]
        return cls(number, below, above, beyond, annotated)

    @property
    def position(self) -> float:
        """0 at the lower slice, 1 at the upper one."""
        return (self.number - self.below) / (self.above - self.below) if self.above > self.below else 0.0

    @property
    def nearest(self) -> int:
        """The nearer one of both."""
        return self.below if self.position <= 0.5 else self.above

    def prior(self, chosen: list[int]) -> NDArray[np.float32]:
        """Signed distances (k, s, s) of some classes, interpolated."""
        below, above = (self.annotated[number].distances[chosen] for number in (self.below, self.above))
        return interpolated(below, above, self.position)

    def change(self, chosen: list[int]) -> NDArray[np.float32]:
        """How much the distances differ from those of the nearest slice; extrapolated beyond the last one."""
        nearest = self.annotated[self.nearest].distances[chosen]
        if self.beyond is None:
            return self.prior(chosen) - nearest
        slope = (nearest - self.annotated[self.beyond].distances[chosen]) / abs(self.nearest - self.beyond)
        return np.clip(slope * abs(self.number - self.nearest), -_MAX_CHANGE, _MAX_CHANGE)


def _add_neighbors(
    part: NDArray[np.float32],
    neighbors: Neighbors | None,
    chosen: list[int],
    largest: NDArray[np.float32],
    stack: SliceStack,
) -> None:
    """Fill in the maps (k, 16, s, s) of one slice that depend on annotated slices."""
    radius = np.sqrt(np.maximum(largest[chosen], 4) / np.pi)[:, None, None]
    steps = _NOWHERE if neighbors is None else abs(neighbors.number - neighbors.nearest)
    part[:, Evidence.steps] = np.log1p(steps) / 2
    part[:, Evidence.outside] = 1
    part[:, Evidence.reach] = np.minimum(steps * stack.thickness / (radius * stack.pixel), _MAX_REACH) / 2
    if neighbors is None:
        return
    below, above = neighbors.annotated[neighbors.below], neighbors.annotated[neighbors.above]
    gap = neighbors.above - neighbors.below
    nearest = neighbors.annotated[neighbors.nearest]
    part[:, Evidence.prior] = neighbors.prior(chosen) / SCALE
    part[:, Evidence.change] = neighbors.change(chosen) / SCALE
    part[:, Evidence.below], part[:, Evidence.above] = below.distances[chosen] / SCALE, above.distances[chosen] / SCALE
    part[:, Evidence.gap] = np.log1p(gap) / 2
    part[:, Evidence.outside] = float(gap == 0 and steps > 0)
    part[:, Evidence.area] = (nearest.areas / largest)[chosen][:, None, None]
    part[:, Evidence.radius] = np.minimum(radius / 16, 3)
    part[:, Evidence.image_below], part[:, Evidence.image_above] = below.image, above.image


def _log_odds(stack: SliceStack, annotated: Mapping[int, AnnotatedSquare], row: int) -> NDArray[np.float32]:
    """Log-odds (K, s, s) of the model, or of the annotation where the slice has one."""
    number = stack.numbers[row]
    if number not in annotated:
        return np.clip(np.asarray(stack.log_odds[row], np.float32), -_LIMIT, _LIMIT)
    return np.where(annotated[number].distances > 0, _CERTAIN, -_CERTAIN).astype(np.float32)


def _others(log_odds: NDArray[np.float32], chosen: list[int]) -> NDArray[np.float32]:
    """The highest log-odds (k, s, s) of the classes other than each of the chosen ones."""
    if len(log_odds) == 1:
        return np.full_like(log_odds, -_LIMIT)
    first, second = np.maximum(log_odds[0], log_odds[1]), np.minimum(log_odds[0], log_odds[1])
    for values in log_odds[2:]:
        second = np.maximum(second, np.minimum(first, values))
        first = np.maximum(first, values)
    return np.stack([np.where(log_odds[number] == first, second, first) for number in chosen])
