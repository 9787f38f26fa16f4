"""The second pass at a higher magnification: finer labels where they are small or fine, the same where they are not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from mvg.errors import PromptError
from mvg.imaging.frame import Frame
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.inference import slices
from mvg.prediction.inference.context import PredictionContext, Refinement
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompts.label_extents import Extent, label_extent
from mvg.prediction.prompts.zoom_plan import nearest_frame
from mvg.prediction.refinement import pipeline
from tests.prediction.learner import Learner, changed

AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])


def small(
    corner: tuple[int, int], shape: tuple[int, int, int] = (128, 96, 3), seed: int = 0
) -> tuple[Volume, LabelMap]:
    """A dark volume with a bright block of 11 x 13 voxels, at four times the resolution of whole slices."""
    labels = np.zeros(shape, np.int32)
    labels[corner[0] : corner[0] + 11, corner[1] : corner[1] + 13, :2] = 5
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
    whole, zoomed = changed(task, zoom="off")(query), task(query)
    assert task.zoom is not None
    assert task.zoom.regions[0].magnification == pytest.approx(4.0)
    assert overlap(zoomed.volume, truth) > 0.97
    assert overlap(zoomed.volume, truth) > overlap(whole.volume, truth) + 0.05
    assert zoomed.volume.affine.tobytes() == query.affine.tobytes()
    assert zoomed.volume.voxels.dtype == whole.volume.voxels.dtype


def test_what_whole_slices_say_counts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the combination is what whole slices say, the answer is theirs, at the magnified frame's resolution."""
    prompt, labels = small((20, 30))
    query, truth = small((75, 50), seed=1)
    task, weights = Predictor(Learner()).prompt([prompt], [labels]), list[float]()

    def whole_alone(whole: Tensor, magnified: Tensor, weight: float) -> Tensor:
        assert whole.shape == magnified.shape
        assert whole.sum(dim=0) == pytest.approx(1, abs=2e-3)
        weights.append(weight)
        return whole

    monkeypatch.setattr(slices, "combined", whole_alone)
    alone, answered = changed(task, zoom="off")(query).volume, task(query).volume
    assert weights == [0.5] * query.shape[-1]
    assert overlap(answered, alone) > 0.85
    assert overlap(answered, truth) == pytest.approx(overlap(alone, truth), abs=0.08)


def test_tuned_answers_are_not_combined_with_whole_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt, labels = small((20, 30))
    task, weights = Predictor(Learner()).prompt([prompt], [labels]), list[float]()
    assert task.zoom_pass is not None
    for cache in task.zoom_pass.caches:
        cache.correction = lambda features, probabilities: probabilities

    def noted(whole: Tensor, magnified: Tensor, weight: float) -> Tensor:
        weights.append(weight)
        return magnified

    monkeypatch.setattr(slices, "combined", noted)
    assert task(small((75, 50), seed=1)[0]).volume.values == (5,)
    assert weights == [1.0] * 3


def test_large_labels_are_not_magnified() -> None:
    prompt, _ = small((20, 30))
    labels = LabelMap(np.ones(prompt.shape, np.int32), AFFINE)
    task = Predictor(Learner()).prompt([prompt], [labels])
    assert task.zoom is None
    assert np.array_equal(task(prompt).volume.voxels, changed(task, zoom="off")(prompt).volume.voxels)


def test_a_task_made_without_zoom_cannot_be_zoomed() -> None:
    prompt, labels = small((20, 30))
    task = Predictor(Learner()).prompt([prompt], [labels], options=PredictionOptions(zoom="off"))
    with pytest.raises(PromptError, match="made with zoom 'off'"):
        changed(task, zoom="auto")


def test_zoom_can_be_switched_off_and_on_again() -> None:
    prompt, labels = small((20, 30))
    large = LabelMap(np.ones(prompt.shape, np.int32), AFFINE)
    for target in (labels, large):  # worth a second pass, and not
        task = Predictor(Learner()).prompt([prompt], [target])
        assert changed(changed(task, zoom="off"), zoom="auto").options.zoom == "auto"


@pytest.mark.parametrize("names", [("zoom",), ("rejection", "zoom"), ("rejection", "propagation", "zoom")])
def test_the_second_pass_goes_through_the_earlier_refinements(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    applied: list[str] = []

    def recorded(name: str) -> Refinement:
        def refine(context: PredictionContext, prediction: VolumePrediction) -> VolumePrediction:
            applied.append(name)
            return prediction

        return refine

    for name in ("rejection", "propagation"):
        monkeypatch.setitem(pipeline.REFINEMENTS, name, recorded(name))
    prompt, labels = small((20, 30))
    task = Predictor(Learner()).prompt([prompt], [labels])
    task.spec = replace(task.spec, postprocess=names)
    task(small((75, 50), seed=1)[0])
    assert applied == [*names[:-1], *names[:-1]], "once in each pass, in order, and no others"


def test_slices_of_both_passes_are_counted() -> None:
    prompt, labels = small((20, 30))
    counted: list[tuple[int, int]] = []
    task = Predictor(Learner()).prompt([prompt], [labels])
    task(small((75, 50))[0], lambda done, total: counted.append((done, total)))
    assert counted == [(done, 6) for done in range(1, 7)], "two passes over three slices"


def test_uncertainty_is_that_of_the_second_pass() -> None:
    prompt, labels = small((20, 30))
    query, _ = small((75, 50), seed=1)
    task = Predictor(Learner()).prompt([prompt], [labels], options=PredictionOptions(members=2))
    zoomed, whole = task(query), changed(task, zoom="off")(query)
    assert zoomed.uncertainty is not None
    assert whole.uncertainty is not None
    assert zoomed.uncertainty.shape == query.shape
    assert zoomed.uncertainty.voxels.sum() < 0.7 * whole.uncertainty.voxels.sum(), "the second pass is sharper"


def test_probabilities_are_those_of_the_second_pass_and_change_nothing() -> None:
    prompt, labels = small((20, 30))
    query, _ = small((75, 50), seed=1)
    task = Predictor(Learner()).prompt([prompt], [labels])
    plain, both = task(query), changed(task, probabilities=True, uncertainty=True)(query)
    assert np.array_equal(plain.volume.voxels, both.volume.voxels)
    assert both.probabilities is not None
    likely = both.probabilities.of(5).voxels
    assert np.array_equal(likely > 0.5, plain.volume.voxels > 0)
    assert likely + both.probabilities.of(0).voxels == pytest.approx(1, abs=4e-3)
    whole = changed(task, probabilities=True, zoom="off")(query).probabilities
    assert whole is not None
    assert not np.array_equal(likely, whole.of(5).voxels)


def test_a_saved_task_predicts_the_same(tmp_path: Path) -> None:
    prompt, labels = small((20, 30))
    query, _ = small((75, 50), seed=1)
    predictor = Predictor(Learner())
    task = predictor.prompt([prompt], [labels])
    task.save(tmp_path / "block.mvgtask")
    again = predictor.load_task(tmp_path / "block.mvgtask")
    assert np.array_equal(again(query).volume.voxels, task(query).volume.voxels)


def test_single_distant_pixels_do_not_count() -> None:
    labels = np.zeros((2, 100, 50), np.uint8)
    labels[0, 40:60, 10:30] = 1
    labels[1, 2, 49] = 1
    assert label_extent(labels, (1.0, 1.0)) == Extent((50.0, 20.0), 0.2)
    assert label_extent(0 * labels, (1.0, 1.0)) is None


def test_predicted_labels_must_fit_the_scale_of_the_prompts() -> None:
    prompt, labels = small((20, 30))
    plan = Predictor(Learner()).prompt([prompt], [labels]).zoom
    assert plan is not None
    wide = plan.regions[0].frame(Extent((50.0, 50.0), 0.3), (100, 100), (1.0, 1.0))
    assert wide is not None
    assert wide.source.rows == pytest.approx(33, abs=1)
    assert plan.regions[0].frame(Extent((50.0, 50.0), 0.5), (100, 100), (1.0, 1.0)) is None, (
        "at another scale than the prompts"
    )
    assert plan.regions[0].frame(Extent((50.0, 50.0), 0.9), (100, 100), (1.0, 1.0)) is None
    assert plan.regions[0].frame(None, (100, 100), (1.0, 1.0)) is None


def mesh(seed: int, shape: tuple[int, int, int] = (96, 96, 1)) -> tuple[Volume, LabelMap]:
    """Bright lines of one voxel all over slices that are larger than the model's square."""
    labels = np.zeros(shape, np.int32)
    labels[7 + seed :: 12] = labels[:, 5 + seed :: 10] = 5
    noise = np.random.default_rng(seed).uniform(-5, 5, labels.shape)
    voxels = np.where(labels > 0, 200.0, 20.0) + noise
    return Volume(voxels.astype(np.float32), AFFINE), LabelMap(labels, AFFINE)


def test_thin_labels_are_predicted_region_by_region(tmp_path: Path) -> None:
    (prompt, labels), (query, truth) = mesh(0), mesh(2)
    predictor = Predictor(Learner())
    task = predictor.prompt([prompt], [labels])
    assert task.zoom is not None
    assert task.zoom.regions[0].magnification == pytest.approx(3.0)
    assert len(task.zoom.regions) == 16
    assert overlap(changed(task, zoom="off")(query).volume, truth) < 0.6
    assert overlap(task(query).volume, truth) > 0.95
    task.save(tmp_path / "mesh.mvgtask")
    again = predictor.load_task(tmp_path / "mesh.mvgtask")
    assert np.array_equal(again(query).volume.voxels, task(query).volume.voxels)


def test_a_label_that_was_rejected_in_a_slice_does_not_come_back_in_regions() -> None:
    (prompt, labels), (query, truth) = mesh(0), mesh(2)
    task = Predictor(Learner()).prompt([prompt], [labels], options=PredictionOptions(min_probability=0.995))
    assert not changed(task, zoom="off")(query).volume.voxels.any(), "whole slices are too coarse for probable labels"
    assert not task(query).volume.voxels.any()
    kept = changed(task, min_probability=0.0)(query).volume
    assert overlap(kept, truth) > 0.95


def test_every_pixel_belongs_to_the_frame_with_the_nearest_center() -> None:
    centers = [(float(row), float(col)) for row in (12, 48) for col in (8, 32)]
    frames = tuple(Frame.zoomed((60, 40), (1.0, 1.0), 16, center, 1.6) for center in centers)
    chosen = nearest_frame(frames, (60, 40))
    assert chosen[5, 5] == 0
    assert chosen[5, 35] == 1
    assert chosen[55, 5] == 2
    assert chosen[55, 35] == 3
    for number, frame in enumerate(frames):
        covered = np.zeros((60, 40), bool)
        covered[frame.source.index[1:]] = True
        assert covered[chosen == number].all()
    assert (nearest_frame(frames[:1], (60, 40))[-1] == -1).all(), "pixels outside of all frames keep their labels"


@pytest.mark.parametrize("shape", [(40, 120, 1), (120, 48, 1), (124, 36, 2)])
def test_regions_cover_long_slices_to_their_edges(shape: tuple[int, int, int]) -> None:
    (prompt, labels), (query, truth) = mesh(0, shape), mesh(2, shape)
    task = Predictor(Learner()).prompt([prompt], [labels])
    assert task.zoom is not None
    assert overlap(task(query).volume, truth) > 0.95
    half = Volume(query.voxels[::2, ::2], AFFINE)
    assert task(half).volume.shape == half.shape


def test_classes_that_the_prompts_of_a_region_lack_keep_their_labels() -> None:
    (prompt, labels), (query, truth) = mesh(0), mesh(2)
    left = labels.voxels.copy()
    left[40:] = 0
    task = Predictor(Learner()).prompt([prompt], [LabelMap(left, AFFINE)])
    assert task.zoom is not None
    whole, zoomed = changed(task, zoom="off")(query).volume.voxels, task(query).volume.voxels
    assert np.array_equal(zoomed[80:], whole[80:])
    assert whole[80:].any()
    assert (zoomed[:30] == truth.voxels[:30]).mean() > 0.95


def test_labels_that_whole_slices_lose_are_magnified() -> None:
    voxels = np.full((320, 320, 1), 20.0, np.float32)
    labels = np.zeros(voxels.shape, np.int32)
    labels[161:164, 161:320:40] = 5
    voxels[labels > 0] = 200.0
    voxels[0, 0] = 255
    task = Predictor(Learner()).prompt([Volume(voxels, AFFINE)], [LabelMap(labels, AFFINE)])
    assert task.prompts.values == (5,)
    assert task.zoom is not None


@pytest.mark.parametrize("shape", [(120, 24), (30, 120), (120, 90)])
def test_no_region_extends_beyond_its_slices(shape: tuple[int, int]) -> None:
    prompt, labels = mesh(0, (*shape, 1))
    plan = Predictor(Learner()).prompt([prompt], [labels]).zoom
    assert plan is not None
    frames_or_none = [region.frame(None, (shape[1], shape[0]), (1.0, 1.0)) for region in plan.regions]
    frames = [frame for frame in frames_or_none if frame is not None]
    assert len(frames) == len(plan.regions)
    length = round(max(shape) / plan.regions[0].magnification)
    assert {frame.source.rows for frame in frames} == {min(shape[1], length)}
    assert {frame.source.cols for frame in frames} == {min(shape[0], length)}
