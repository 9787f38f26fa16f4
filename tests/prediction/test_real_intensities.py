"""Intensities as scanners and other programs write them: the prediction is that for clean intensities."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mvg.imaging.formats import Stored
from mvg.imaging.stored_images import volume_of
from mvg.imaging.volume import Volume
from mvg.imaging.window import CT_WINDOW, Window
from mvg.prediction.inference.query_volume import QueryVolume
from tests.prediction.bodies import (
    AFFINE,
    BONE,
    BRAIN,
    CHEST,
    CT,
    MR,
    body,
    changed,
    dice,
    labels_of,
    predictor,
    same,
    task_of,
)

few = settings(max_examples=6, deadline=None)
kinds = st.sampled_from([MR, CT])


@cache
def clean(levels: tuple[float, ...]) -> NDArray[np.integer]:
    return labels_of(task_of(levels), body(9, levels)[0])


def query(levels: tuple[float, ...]) -> Volume:
    return body(9, levels)[0]


def test_clean_images_are_predicted_well() -> None:
    for levels in (MR, CT, CHEST):
        assert dice(clean(levels), body(9, levels)[1].voxels) > 0.9


@few
@given(kinds, st.integers(-3100, -60), st.integers(1, 5))
def test_a_rim_outside_of_the_scan(levels: tuple[float, ...], value: int, width: int) -> None:
    value = min(value, -1100) if levels == CT else value

    def with_rim(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        voxels[:width] = value
        return voxels

    predicted = labels_of(task_of(levels), changed(query(levels), with_rim))
    assert dice(predicted, clean(levels)) >= 0.98


@few
@given(kinds, st.floats(-20_000, 40_000).filter(lambda value: not -1200 < value < 2000), st.integers(1, 3))
def test_stray_voxels(levels: tuple[float, ...], value: float, side: int) -> None:
    def with_stray(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        voxels[:side, :side, 0] = value
        return voxels

    predicted = labels_of(task_of(levels), changed(query(levels), with_stray))
    assert dice(predicted, clean(levels)) >= 0.98


@few
@given(st.floats(0.05, 20), st.floats(-10_000, 10_000))
def test_mr_on_any_scale(slope: float, intercept: float) -> None:
    """Prompts and query alike; the scale may make values negative, as a header's rescale does."""

    def rescaled(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        return voxels * slope + intercept

    predicted = labels_of(task_of(MR, rescaled), changed(query(MR), rescaled))
    assert dice(predicted, clean(MR)) >= 0.98


@few
@given(st.sampled_from([CT, CHEST]), st.one_of(st.sampled_from([1000, 1024]), st.integers(1010, 1500)), st.booleans())
def test_ct_stored_with_an_offset(levels: tuple[float, ...], offset: int, of_prompts: bool) -> None:
    """In the prompts or in the query, while the other is in HU."""

    def stored(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.maximum(voxels + offset, 0)

    if of_prompts:
        predicted = labels_of(task_of(levels, stored), query(levels))
    else:
        predicted = labels_of(task_of(levels), changed(query(levels), stored))
    assert dice(predicted, clean(levels)) >= (0.98 if not of_prompts else 0.9)


@pytest.mark.parametrize(("levels", "expected"), [
    (CT, "soft tissue"), (CHEST, "lung"), (BONE, "bone"), (BRAIN, "brain"),
])  # fmt: skip
def test_the_window_shows_what_separates_the_labels(levels: tuple[float, ...], expected: str) -> None:
    assert task_of(levels).prompts.ct_window == Window.named(expected)


@few
@given(st.sampled_from([CHEST, BONE, BRAIN]), st.floats(-12, 12))
def test_tasks_in_other_windows_than_soft_tissue(levels: tuple[float, ...], offset: float) -> None:
    """Scanners differ by some HU; the labels differ by as little as 6."""

    def moved(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        return voxels + np.float32(offset)

    task = task_of(levels, moved)
    assert task.prompts.ct_window == task_of(levels).prompts.ct_window != CT_WINDOW
    predicted = labels_of(task, changed(query(levels), moved))
    assert dice(predicted, body(9, levels)[1].voxels) > 0.85
    if levels != BRAIN:  # 12 HU are nothing in a wide window
        assert dice(predicted, clean(levels)) >= 0.98


def test_the_window_is_kept_in_the_task_file(tmp_path: Path) -> None:
    task = task_of(CHEST)
    task.save(tmp_path / "chest.mvgtask")
    loaded = predictor().load_task(tmp_path / "chest.mvgtask")
    assert loaded.prompts.ct_window == Window.named("lung") != CT_WINDOW
    assert np.array_equal(labels_of(loaded, query(CHEST)), clean(CHEST))


@few
@given(st.booleans(), st.booleans(), st.integers(0, 60))
def test_ct_whose_values_ran_over_16_bits(of_prompts: bool, of_query: bool, metal: int) -> None:
    """HU that were stored without a sign, in prompts, query or both."""

    def wrapped(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        voxels[30 : 30 + metal % 4, 20, 1] = 3000
        return read_again(voxels.astype(np.int64).astype(np.uint16))

    predicted = labels_of(
        task_of(CT, wrapped if of_prompts else same), changed(query(CT), wrapped) if of_query else query(CT)
    )
    assert dice(predicted, clean(CT)) >= 0.98


@few
@given(st.integers(0, 14), st.integers(0, 14), st.sampled_from([0, -1000, 7]), st.booleans())
def test_padding_along_the_slices(before: int, after: int, value: int, of_prompts: bool) -> None:
    """One number in slices before and after the scan moves no intensity of the scan."""

    def padded(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.pad(voxels, ((0, 0), (0, 0), (before, after)), constant_values=value)

    one, other = Window.fit(query(MR).voxels), Window.fit(padded(query(MR).voxels))
    share = 3 / (3 + before + after)
    if share < 0.25 - 0.02:  # else the padding is as any background
        assert (other.low, other.high) == (one.low, one.high)
    if not of_prompts and before + after > 9:
        predicted = labels_of(task_of(MR), changed(query(MR), padded))
        assert dice(predicted[:, :, before : before + 3], clean(MR)) >= 0.98


def test_pictures_and_saturated_scans_do_not_run_over(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    saturated = rng.integers(0, 1000, (30, 30, 3)).astype(np.uint16)
    saturated[:3] = 65535
    two_peaks = np.concatenate([rng.integers(0, 9000, 500), rng.integers(40000, 65536, 500)]).astype(np.uint16)
    for voxels in (saturated, two_peaks.reshape(50, 10, 2)):
        assert np.array_equal(read_again(voxels), voxels)
    assert not caplog.messages


@few
@given(st.integers(34_500, 45_000))
def test_bright_voxels_that_ran_over_the_sign(brightest: int) -> None:
    values = np.linspace(0, brightest, 20 * 20 * 3).reshape(20, 20, 3).astype(np.int64)
    assert np.array_equal(read_again(values.astype(np.uint16).astype(np.int16)), values)


def read_again(voxels: NDArray[np.integer]) -> NDArray[np.float32]:
    """The voxels as a file of this type is read."""
    return np.array(volume_of(Stored(voxels, AFFINE), "an image").voxels)


def test_uniform_air_is_ct() -> None:
    image = query(CT).voxels
    uniform = Volume(np.where(image < -800, -1000, image), query(CT).affine)
    assert QueryVolume.of(uniform, task_of(CT).prompts, task_of(CT).spec, 64).windows == (CT_WINDOW,)
