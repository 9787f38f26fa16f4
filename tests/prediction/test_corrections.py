"""A label map of corrections says which slices are corrected, wholly or in part, in every orientation."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from mvg.errors import GeometryError, PromptError
from mvg.imaging.orientation import CUT_AXIS
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.prediction.corrections import Corrections, read_corrections
from mvg.prediction.session import Session
from mvg.prediction.session_start import SessionStart
from mvg.prediction.slice_plane import SlicePlane
from tests.imaging.grids import affines
from tests.prediction.learner import random_model
from tests.prediction.scans import AFFINE, scan

SHAPE = (20, 24, 10)
UNKNOWN = 255


def volume_like(labels: NDArray[np.integer], affine: NDArray[np.float64] = AFFINE) -> Volume:
    return Volume(np.zeros(labels.shape, np.float32), affine)


def body(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.uint8]:
    """A box of label 7 around one of label 2, away from the borders."""
    labels = np.zeros(shape, np.uint8)
    labels[4:16, 4:18, 2:9] = 7
    labels[6:10, 6:10, 3:8] = 2
    return labels


def kept(labels: NDArray[np.uint8], axis: int, indices: Sequence[int], other: int = 0) -> NDArray[np.uint8]:
    """Some slices of the labels; all others have the value `other`."""
    result = np.full_like(labels, other)
    for index in indices:
        at = tuple(index if number == axis else slice(None) for number in range(3))
        result[at] = labels[at]
    return result


def read(labels: NDArray[np.uint8], affine: NDArray[np.float64] = AFFINE) -> Corrections:
    return read_corrections(LabelMap(labels, affine), volume_like(labels, affine), UNKNOWN)


def corrected(corrections: Corrections) -> list[tuple[Plane, int]]:
    return [(one.plane, one.index) for one in corrections.slices]


class TestWithoutTheUnknownValue:
    def test_slices_without_labels_are_open(self) -> None:
        labels = kept(body(), 2, (3, 6, 7))
        corrections = read(labels)
        assert corrected(corrections) == [("axial", 3), ("axial", 6), ("axial", 7)]
        assert all(np.array_equal(one.labels, labels[:, :, one.index]) for one in corrections.slices)
        assert corrections.values == (2, 7)
        assert corrections.note == (
            "slices 3, 6-7 of the axial plane were taken as corrected; 7 are open (counted from 0 along array axis 2)"
        )

    @pytest.mark.parametrize(("plane", "axis"), [("sagittal", 0), ("coronal", 1)])
    def test_single_slices_of_another_plane(self, plane: Plane, axis: int) -> None:
        corrections = read(kept(body(), axis, (5, 8)))
        assert corrected(corrections) == [(plane, 5), (plane, 8)]
        assert f"slices 5, 8 of the {plane} plane were taken" in corrections.note

    def test_a_structure_that_is_labeled_throughout_has_the_volumes_plane(self) -> None:
        assert corrected(read(body())) == [("axial", index) for index in range(2, 9)]
        narrow = body()
        narrow[:8], narrow[12:] = 0, 0  # fewer sagittal slices have labels than axial ones
        assert corrected(read(narrow)) == [("axial", index) for index in range(2, 9)]

    def test_one_slice(self) -> None:
        assert read(kept(body(), 2, (4,))).note.startswith("slice 4 of the axial plane was taken as corrected; 9 are")


class TestWithTheUnknownValue:
    def test_background_slices_are_corrected_too(self) -> None:
        labels = kept(body(), 2, (0, 4), other=UNKNOWN)
        corrections = read(labels)
        assert corrected(corrections) == [("axial", 0), ("axial", 4)]
        assert corrections.values == (2, 7)
        assert "slices 0, 4 of the axial plane were taken as corrected; 8 are open" in corrections.note

    @pytest.mark.parametrize(("plane", "axis"), [("sagittal", 0), ("coronal", 1)])
    def test_whole_slices_of_another_plane(self, plane: Plane, axis: int) -> None:
        assert corrected(read(kept(body(), axis, (5, 6, 7), other=UNKNOWN))) == [(plane, 5), (plane, 6), (plane, 7)]

    def test_a_slice_may_be_corrected_in_part(self) -> None:
        labels = kept(body(), 2, (4, 5), other=UNKNOWN)
        labels[:5, :, 5] = UNKNOWN
        corrections = read(labels)
        assert corrected(corrections) == [("axial", 4), ("axial", 5)]
        assert "slice 4 of the axial plane was taken as corrected; slice 5 of" in corrections.note
        assert "in part; 8 are open" in corrections.note

    def test_known_background_alone(self) -> None:
        labels = np.full(SHAPE, UNKNOWN, np.uint8)
        labels[:, :, 3] = 0
        with pytest.raises(PromptError, match="without a labeled voxel"):
            read(np.full(SHAPE, UNKNOWN, np.uint8))
        corrections = read(labels)
        assert corrected(corrections) == [("axial", 3)]
        assert corrections.values == ()

    def test_another_value(self) -> None:
        labels = kept(body(), 2, (4,), other=9)
        assert read_corrections(LabelMap(labels, AFFINE), volume_like(labels), 9).values == (2, 7)


@given(affine=affines())
def test_a_session_takes_each_voxel_where_it_was_drawn(affine: NDArray[np.float64]) -> None:
    """In every orientation, also with slices of another plane than the volume's."""
    for plane in CUT_AXIS:
        labels = body((12, 18, 9))
        volume = volume_like(labels, affine)
        drawn = kept(labels, SlicePlane(volume, plane).axis, (5, 7), other=UNKNOWN)
        corrections = read_corrections(LabelMap(drawn, affine), volume, UNKNOWN)
        assert {one.plane for one in corrections.slices} == {plane}
        rebuilt = np.full_like(drawn, UNKNOWN)
        for one in corrections.slices:
            rebuilt[tuple(one.index if n == SlicePlane(volume, one.plane).axis else slice(None) for n in range(3))] = (
                one.labels
            )
        assert np.array_equal(rebuilt, drawn)


def test_labels_in_another_order_of_axes_are_aligned() -> None:
    labels = kept(body(), 2, (3, 6))
    volume, expected = volume_like(labels), read(labels)
    affine = AFFINE.copy()
    affine[:3, 3] += affine[:3, 0] * (SHAPE[0] - 1)
    affine[:3, 0] *= -1
    turned = LabelMap(labels[::-1].transpose(2, 0, 1), affine[:, [2, 0, 1, 3]])
    corrections = read_corrections(turned, volume, UNKNOWN)
    assert corrected(corrections) == corrected(expected)
    for one, other in zip(corrections.slices, expected.slices, strict=True):
        assert np.array_equal(one.labels, other.labels)


class TestBadInput:
    def test_another_grid(self) -> None:
        labels = body()
        with pytest.raises(GeometryError, match=r"differ in shape 20 x 24 x 10 and 20 x 24 x 9;"):
            read_corrections(LabelMap(labels, AFFINE), volume_like(labels[..., 1:]), UNKNOWN)
        with pytest.raises(GeometryError, match="differ in origin"):
            read_corrections(LabelMap(labels, AFFINE + np.eye(4, k=3)), volume_like(labels), UNKNOWN)

    def test_no_label(self) -> None:
        with pytest.raises(PromptError, match="without a labeled voxel"):
            read(0 * body())


def test_a_session_keeps_what_was_read() -> None:
    image, truth = scan()
    drawn = kept(truth.voxels, 2, (1, 4))
    corrections = read_corrections(LabelMap(drawn, truth.affine), image, UNKNOWN)
    session = Session(random_model(), image, SessionStart(corrections.values, "other"))
    for one in corrections.slices:
        session.correct(one.index, one.labels, one.plane, UNKNOWN)
    predicted = session.predict().volume.voxels
    for index in (1, 4):
        assert np.array_equal(predicted[:, :, index], truth.voxels[:, :, index])
