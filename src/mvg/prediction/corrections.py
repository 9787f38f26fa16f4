"""Corrections of a volume as a label map: which slices a user has labeled, wholly or in part, and which are open."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvg.errors import GeometryError, PromptError
from mvg.imaging.grid_difference import grid_difference
from mvg.imaging.lattice import onto_lattice
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.prediction.slice_plane import SlicePlane, planes_of

_SAME_GRID = 0.1  # mm between corners
_LONG_RUN = 2.0  # labeled neighbors, on average: longer runs are a structure that is cut, not single slices


@dataclass(frozen=True, eq=False)
class SliceCorrection:
    """One corrected slice, as `Session.correct` takes it: `labels` is `voxels.take(index, axis)` in array order."""

    plane: Plane
    index: int
    labels: NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Corrections:
    """The corrected slices of a volume; pixels of the value `unknown` are open. note: what was taken, in one line."""

    slices: tuple[SliceCorrection, ...]
    unknown: int
    note: str

    @property
    def values(self) -> tuple[int, ...]:
        """The label values that occur, without background and the unknown value."""
        every = {int(value) for one in self.slices for value in np.unique(one.labels)}
        return tuple(sorted(every - {0, self.unknown}))


def read_corrections(labels: LabelMap, volume: Volume, unknown: int) -> Corrections:
    """The corrections of `volume` that a label map on its grid holds.

    If voxels have the value `unknown`, they are open and all others are as the user labeled them, background included.
    Else slices without any label are open, and all others are corrected wholly. Slices lie in the volume's own plane,
    or in another one if whole slices of it are known, or single slices of it labeled. Raises GeometryError for another
    grid, PromptError where nothing is labeled.
    """
    voxels = on_grid_of(labels, volume).voxels
    known = voxels != unknown
    if not (known if not known.all() else voxels).any():
        raise nothing_labeled(unknown)
    if known.all():
        plane = _labeled_plane(voxels != 0, volume)
        axis = SlicePlane(volume, plane).axis
        corrected = complete = _any(voxels != 0, axis)
    else:
        plane = _known_plane(known, volume)
        axis = SlicePlane(volume, plane).axis
        corrected, complete = _any(known, axis), ~_any(~known, axis)
    return Corrections(
        tuple(SliceCorrection(plane, int(index), voxels.take(index, axis)) for index in np.flatnonzero(corrected)),
        unknown,
        _note(plane, axis, corrected, complete),
    )


def on_grid_of(labels: LabelMap, volume: Volume) -> LabelMap:
    """The labels on the grid of the volume, in its order of axes. Raises GeometryError for another grid."""
    aligned = onto_lattice(labels, volume, _SAME_GRID)
    if aligned is None:
        raise GeometryError(
            f"corrections and their volume differ in {grid_difference(labels, volume)}",
            "labels on the volume's own grid",
            "draw them on the volume itself",
        )
    return replace(aligned, orientation=volume.orientation)


def nothing_labeled(unknown: int) -> PromptError:
    """The error for corrections without a labeled voxel."""
    return PromptError(
        "corrections without a labeled voxel", f"labels other than 0 and {unknown}, which means unknown",
        "label a slice, or name another value as unknown",
    )  # fmt: skip


def _known_plane(known: NDArray[np.bool_], volume: Volume) -> Plane:
    """The plane in which every slice is known as a whole or not at all; the volume's own where there is none."""
    for plane in planes_of(volume):
        axis = SlicePlane(volume, plane).axis
        if not (_any(known, axis) & _any(~known, axis)).any():
            return plane
    return volume.plane


def _labeled_plane(labeled: NDArray[np.bool_], volume: Volume) -> Plane:
    """The plane of the labeled slices, where other slices have no label.

    The volume's own, unless labels run through it and are single slices of another plane, of which there are fewer.
    """
    usual = _any(labeled, SlicePlane(volume, volume.plane).axis)
    for plane in planes_of(volume)[1:]:
        other = _any(labeled, SlicePlane(volume, plane).axis)
        if other.sum() < usual.sum() and _mean_run(other) <= _LONG_RUN < _mean_run(usual):
            return plane
    return volume.plane


def _any(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Which slices (n,) across an array axis have a marked pixel."""
    return np.asarray(mask.any(axis=tuple(other for other in range(3) if other != axis)))


def _mean_run(slices: NDArray[np.bool_]) -> float:
    """How many neighbors are marked together, on average."""
    return float(slices.sum()) / max(1, len(list(_runs(slices))))


def _runs(slices: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """The first and the last index of each run of marked slices."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], slices.astype(np.int8), [0]))))
    yield from ((int(start), int(stop) - 1) for start, stop in edges.reshape(-1, 2))


def _note(plane: Plane, axis: int, corrected: NDArray[np.bool_], complete: NDArray[np.bool_]) -> str:
    """What was taken, with the numbers of slices along the array axis, from 0 on."""
    parts = []
    for slices, how in ((complete, "corrected"), (corrected & ~complete, "corrected in part")):
        if slices.any():
            subject, verb = ("slice", "was") if slices.sum() == 1 else ("slices", "were")
            parts.append(f"{subject} {_listed(slices)} of the {plane} plane {verb} taken as {how}")
    count = int((~corrected).sum())
    parts.append(f"{count} {'is' if count == 1 else 'are'} open")
    return f"{'; '.join(parts)} (counted from 0 along array axis {axis})"


def _listed(slices: NDArray[np.bool_]) -> str:
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in _runs(slices))
