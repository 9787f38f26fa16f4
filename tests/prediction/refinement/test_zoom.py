"""A close look: finer answers where labels are small, the same answers where they are not."""

from pathlib import Path

import numpy as np
import pytest

from mvg.errors import UnknownNameError
from mvg.imaging.frame import Frame
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompts.zoom_plan import Extent, label_extent, nearest_frame
from tests.prediction.learner import Learner

AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])


def small(at: tuple[int, int], shape: tuple[int, int, int] = (128, 96, 3), seed: int = 0) -> tuple[Volume, LabelMap]:
    """A dark volume with a bright block of 11 x 13 voxels, four times as fine as the learner sees whole slices."""
    labels = np.zeros(shape, np.int32)
    labels[at[0] : at[0] + 11, at[1] : at[1] + 13, :2] = 5
    noise = np.random.default_rng(seed).uniform(-5, 5, shape)
    voxels = np.where(labels > 0, 200.0, 20.0) + noise
    voxels[0, 0], voxels[-1, -1] = 0, 255
    return Volume(voxels.astype(np.float32), AFFINE), LabelMap(labels, AFFINE)


def overlap(one: LabelMap, other: LabelMap) -> float:
    return float(((one.voxels > 0) & (other.voxels > 0)).sum() / ((one.voxels > 0) | (other.voxels > 0)).sum())


def test_small_labels_are_outlined_better() -> None:
    prompt, labels = small((20, 30))
    query, truth = small((75, 50), seed=1)
    task = Predictor(Learner()).prompt([prompt], [labels])
    whole, close = task.using(zoom="off")(query), task(query)
    assert task.zoom is not None
    assert task.zoom.magnification == pytest.approx(4.0)
    assert overlap(close.volume, truth) > 0.97
    assert overlap(close.volume, truth) > overlap(whole.volume, truth) + 0.05
    assert close.volume.affine.tobytes() == query.affine.tobytes()
    assert close.volume.voxels.dtype == whole.volume.voxels.dtype


def test_large_labels_are_not_looked_at_closely() -> None:
    prompt, _ = small((20, 30))
    labels = LabelMap(np.ones(prompt.shape, np.int32), AFFINE)
    task = Predictor(Learner()).prompt([prompt], [labels], zoom="auto")
    assert task.zoom is None
    assert np.array_equal(task(prompt).volume.voxels, task.using(zoom="off")(prompt).volume.voxels)


def test_all_looks_are_counted() -> None:
    prompt, labels = small((20, 30))
    seen: list[tuple[int, int]] = []
    Predictor(Learner()).prompt([prompt], [labels])(small((75, 50))[0], lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)], "two looks at three slices"


def test_uncertainty_comes_with_it() -> None:
    prompt, labels = small((20, 30))
    query, _ = small((75, 50), seed=1)
    answer = Predictor(Learner()).prompt([prompt], [labels], zoom="auto", members=2)(query)
    whole = Predictor(Learner()).prompt([prompt], [labels], zoom="off", members=2)(query)
    assert answer.uncertainty is not None
    assert whole.uncertainty is not None
    assert answer.uncertainty.shape == query.shape
    assert answer.uncertainty.voxels.sum() < 0.7 * whole.uncertainty.voxels.sum(), "of the close look, which is sharper"


def test_a_saved_task_looks_as_closely(tmp_path: Path) -> None:
    prompt, labels = small((20, 30))
    query, _ = small((75, 50), seed=1)
    predictor = Predictor(Learner())
    task = predictor.prompt([prompt], [labels], zoom="auto")
    task.save(tmp_path / "block.mvgtask")
    again = predictor.load_task(tmp_path / "block.mvgtask")
    assert np.array_equal(again(query).volume.voxels, task(query).volume.voxels)


def test_single_pixels_far_away_do_not_count() -> None:
    found = np.zeros((2, 100, 50), np.uint8)
    found[0, 40:60, 10:30] = 1
    found[1, 2, 49] = 1
    place = label_extent(found, (1.0, 1.0))
    assert place == Extent((50.0, 20.0), 0.2)
    assert label_extent(0 * found, (1.0, 1.0)) is None


def test_what_is_found_must_fit() -> None:
    prompt, labels = small((20, 30))
    close = Predictor(Learner()).prompt([prompt], [labels]).zoom
    assert close is not None
    (wide,) = close.frames(Extent((50.0, 50.0), 0.3), (100, 100), (1.0, 1.0))
    assert wide.source.rows == pytest.approx(33, abs=1)
    assert close.frames(Extent((50.0, 50.0), 0.5), (100, 100), (1.0, 1.0)) == (), "too unlike the prompts"
    assert close.frames(Extent((50.0, 50.0), 0.9), (100, 100), (1.0, 1.0)) == ()
    assert close.frames(None, (100, 100), (1.0, 1.0)) == ()


def mesh(seed: int, shape: tuple[int, int, int] = (96, 96, 1)) -> tuple[Volume, LabelMap]:
    """Bright lines of one voxel all over slices that are larger than the learner's square."""
    labels = np.zeros(shape, np.int32)
    labels[7 + seed :: 12] = labels[:, 5 + seed :: 10] = 5
    noise = np.random.default_rng(seed).uniform(-5, 5, labels.shape)
    voxels = np.where(labels > 0, 200.0, 20.0) + noise
    return Volume(voxels.astype(np.float32), AFFINE), LabelMap(labels, AFFINE)


def test_thin_labels_are_answered_in_pieces(tmp_path: Path) -> None:
    (prompt, labels), (query, truth) = mesh(0), mesh(2)
    predictor = Predictor(Learner())
    task = predictor.prompt([prompt], [labels], zoom="auto")
    assert task.zoom is not None
    assert task.zoom.magnification == pytest.approx(3.0)
    assert len(task.zoom.regions) == 16
    assert overlap(task.using(zoom="off")(query).volume, truth) < 0.6
    assert overlap(task(query).volume, truth) > 0.95
    task.save(tmp_path / "mesh.mvgtask")
    again = predictor.load_task(tmp_path / "mesh.mvgtask")
    assert np.array_equal(again(query).volume.voxels, task(query).volume.voxels)


def test_a_label_that_is_dropped_from_a_slice_does_not_come_back_in_pieces() -> None:
    (prompt, labels), (query, truth) = mesh(0), mesh(2)
    task = Predictor(Learner()).prompt([prompt], [labels], zoom="auto", min_probability=0.9)
    assert not task.using(zoom="off")(query).volume.voxels.any(), "whole slices are too coarse to be sure"
    assert not task(query).volume.voxels.any()
    kept = task.using(min_probability=0.0)(query).volume
    assert overlap(kept, truth) > 0.95


def test_other_looks_are_refused() -> None:
    prompt, labels = small((20, 30))
    with pytest.raises(UnknownNameError, match="whole"):
        Predictor(Learner()).prompt([prompt], [labels], look="twice")


def test_every_pixel_is_answered_by_the_piece_that_sees_it_best() -> None:
    frames = [
        Frame.near((60, 40), (1.0, 1.0), 16, (float(row), float(col)), 1.6) for row in (12, 48) for col in (8, 32)
    ]
    chosen = nearest_frame(frames, (60, 40))
    assert chosen[5, 5] == 0
    assert chosen[5, 35] == 1
    assert chosen[55, 5] == 2
    assert chosen[55, 35] == 3
    for number, frame in enumerate(frames):
        seen = np.zeros((60, 40), bool)
        seen[frame.source.index[1:]] = True
        assert seen[chosen == number].all()
    assert (nearest_frame(frames[:1], (60, 40))[-1] == -1).all(), "what no piece sees keeps its first answer"


@pytest.mark.parametrize("shape", [(40, 120, 1), (120, 48, 1), (124, 36, 2)])
def test_long_slices_are_answered_in_pieces_to_their_edges(shape: tuple[int, int, int]) -> None:
    (prompt, labels), (query, truth) = mesh(0, shape), mesh(2, shape)
    task = Predictor(Learner()).prompt([prompt], [labels])
    assert task.zoom is not None
    assert overlap(task(query).volume, truth) > 0.95
    half = Volume(query.voxels[::2, ::2], AFFINE)
    assert task(half).volume.shape == half.shape


def test_classes_that_a_piece_has_no_prompts_for_keep_their_first_answer() -> None:
    (prompt, labels), (query, truth) = mesh(0), mesh(2)
    left = labels.voxels.copy()
    left[40:] = 0
    task = Predictor(Learner()).prompt([prompt], [LabelMap(left, AFFINE)])
    assert task.zoom is not None
    whole, close = task.using(zoom="off")(query).volume.voxels, task(query).volume.voxels
    assert np.array_equal(close[80:], whole[80:])
    assert whole[80:].any()
    assert (close[:30] == truth.voxels[:30]).mean() > 0.95


def test_labels_that_whole_slices_lose_are_found() -> None:
    voxels = np.full((320, 320, 1), 20.0, np.float32)
    labels = np.zeros(voxels.shape, np.int32)
    labels[161:164, 161:320:40] = 5
    voxels[labels > 0] = 200.0
    voxels[0, 0] = 255
    task = Predictor(Learner()).prompt([Volume(voxels, AFFINE)], [LabelMap(labels, AFFINE)])
    assert task.prompts.values == (5,)
    assert task.zoom is not None


@pytest.mark.parametrize("shape", [(120, 24), (30, 120), (120, 90)])
def test_no_piece_hangs_over_the_edge_of_its_slices(shape: tuple[int, int]) -> None:
    prompt, labels = mesh(0, (*shape, 1))
    close = Predictor(Learner()).prompt([prompt], [labels]).zoom
    assert close is not None
    frames = close.frames(None, (shape[1], shape[0]), (1.0, 1.0))
    seen = round(max(shape) / close.closer)
    assert {frame.source.rows for frame in frames} == {min(shape[1], seen)}
    assert {frame.source.cols for frame in frames} == {min(shape[0], seen)}
