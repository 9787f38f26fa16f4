"""Intensities as scanners and other programs write them: the prediction is that for clean intensities."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mvg.imaging.volume import Volume
from mvg.imaging.window import CT_WINDOW, Window
from mvg.prediction.inference.query_volume import QueryVolume
from tests.prediction.bodies import BONE, BRAIN, CHEST, CT, MR, body, changed, dice, labels_of, predictor, task_of

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


def test_the_window_is_kept_in_the_task_file(tmp_path: Path) -> None:
    task = task_of(CHEST)
    task.save(tmp_path / "chest.mvgtask")
    loaded = predictor().load_task(tmp_path / "chest.mvgtask")
    assert loaded.prompts.ct_window == Window.named("lung") != CT_WINDOW
    assert np.array_equal(labels_of(loaded, query(CHEST)), clean(CHEST))


def test_uniform_air_is_ct() -> None:
    image = query(CT).voxels
    uniform = Volume(np.where(image < -800, -1000, image), query(CT).affine)
    assert QueryVolume.of(uniform, task_of(CT).prompts, task_of(CT).spec, 64).windows == (CT_WINDOW,)
