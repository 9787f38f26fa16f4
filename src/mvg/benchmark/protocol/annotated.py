"""Queries some of whose own slices a user annotates: what a method may ask for, and which slices are scored."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.benchmark.protocol.cases import EvalCase
from mvg.benchmark.protocol.method import Request
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.session_start import UNKNOWN
from mvg.prediction.slice_plane import SlicePlane

_BEYOND = 2  # slices beyond each end of the labels that are scored


@dataclass(eq=False)
class TrueAnnotator:
    """A user who draws the truth of `count` slices, in array order; see `Annotator`.

    known: where the truth is known (X, Y, Z), None for everywhere; requested: the indices of the slices drawn so far.
    """

    truth: LabelMap
    cut: SlicePlane
    count: int
    known: NDArray[np.bool_] | None = None
    requested: set[int] = field(default_factory=set)

    @property
    def labeled(self) -> tuple[int, int]:
        """The indices of the first and last slice with a label."""
        axes = tuple(axis for axis in range(3) if axis != self.cut.axis)
        present = np.flatnonzero(self.truth.voxels.any(axis=axes))
        return int(present[0]), int(present[-1])

    def evenly(self) -> tuple[int, ...]:
        """Evenly spaced slices from the first to the last one with a label; the middle one where it is a single one."""
        first, last = self.labeled
        positions = [(first + last) / 2] if self.count == 1 else np.linspace(first, last, self.count)
        return tuple(sorted({round(float(position)) for position in positions}))

    def annotate(self, index: int) -> NDArray[np.integer[Any]]:
        """The labels of a slice, `UNKNOWN` where the truth is not known. At most `count` slices are drawn."""
        self.requested.add(index)
        assert len(self.requested) <= self.count, f"{len(self.requested)} slices for an annotator of {self.count}"
        labels = np.asarray(self.truth.voxels.take(index, self.cut.axis))
        return labels if self.known is None else np.where(self.known.take(index, self.cut.axis), labels, UNKNOWN)


def annotated_request(case: EvalCase, count: int) -> tuple[Request, TrueAnnotator]:
    """A request without other patients' prompts, for a method that may have `count` slices of the query annotated."""
    assert isinstance(case.truth, LabelMap)
    annotator = TrueAnnotator(case.truth, SlicePlane(case.query, case.query.plane), count, case.known)
    return replace(case.request(len(case.prompts)), annotator=annotator), annotator


def scored_parts(
    prediction: Volume | LabelMap, case: EvalCase, annotator: TrueAnnotator
) -> Iterator[tuple[str, LabelMap, LabelMap]]:
    """Prediction and truth of the slices that are scored, with the name of the region.

    "open slices": those that were not annotated, up to two beyond each end of the labels. "between annotated slices":
    those of them between the outermost annotated ones. "whole volume": all slices up to two beyond the ends, annotated
    ones included. Labels that no annotated slice shows are left out of the first two: no method can know of them.
    """
    assert isinstance(case.truth, LabelMap)
    prediction = case.scored(prediction)
    assert isinstance(prediction, LabelMap)
    first, last = annotator.labeled
    requested, axis = annotator.requested, annotator.cut.axis
    near = range(max(0, first - _BEYOND), min(case.truth.shape[axis], last + _BEYOND + 1))
    open_slices = [index for index in near if index not in requested]
    drawn = np.unique(case.truth.voxels.take(sorted(requested), axis))
    regions = {
        "open slices": (open_slices, drawn),
        "between annotated slices": (
            [index for index in open_slices if min(requested) < index < max(requested)],
            drawn,
        ),
        "whole volume": (list(near), np.unique(case.truth.voxels)),
    }
    for name, (indices, values) in regions.items():
        if not indices:
            continue
        parts = [_part(labels, indices, axis, values) for labels in (prediction, case.truth)]
        if parts[1].values:
            yield name, parts[0], parts[1]


def _part(labels: LabelMap, indices: list[int], axis: int, values: NDArray[Any]) -> LabelMap:
    voxels = labels.voxels.take(indices, axis)
    return LabelMap(np.where(np.isin(voxels, values), voxels, 0), labels.affine)
