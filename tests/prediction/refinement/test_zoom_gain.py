"""Small labels get a region of their own where prompts, predicted from one another, say that it serves."""

from pathlib import Path

import numpy as np
import pytest

from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.inference.held_out import held_out_outputs
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.prompts import zoom_plan
from mvg.prediction.refinement import zoom
from mvg.prediction.refinement.zoom_gain import _samples, served_classes
from tests.prediction.learner import Learner, changed

AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])
LARGE, SMALL, OTHER = 5, 7, 9
KEY = ("alike_nearby", 8, 0, ())


@pytest.fixture(autouse=True)
def without_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoom_plan, "_FINE", 0.0)


def body(seed: int, slices: int = 4) -> tuple[Volume, LabelMap]:
    """Slices that a large label fills, with two small ones in opposite corners."""
    labels = np.zeros((128, 128, slices), np.int32)
    labels[4:124, 40:88] = LARGE
    row, col = np.random.default_rng(seed).integers(0, 6, 2)
    labels[10 + row : 21 + row, 10 + col : 19 + col] = SMALL
    labels[100 + row : 109 + row, 100 + col : 111 + col] = OTHER
    shades = np.select(
        [labels == LARGE, labels == SMALL, labels == OTHER], [40.0, 200.0, -20.0], 100.0
    )  # blurred edges are no small label
    voxels = shades + np.random.default_rng(seed).uniform(-5, 5, labels.shape)
    voxels[0, 0], voxels[-1, -1] = -60, 255
    return Volume(voxels.astype(np.float32), AFFINE), LabelMap(labels, AFFINE)


def task_of(prompts: int, slices: int = 4) -> PromptedTask:
    pairs = [body(seed, slices) for seed in range(prompts)]
    return Predictor(Learner()).prompt([image for image, _ in pairs], [labels for _, labels in pairs])


def iou(one: LabelMap, other: LabelMap, value: int) -> float:
    first, second = one.voxels == value, other.voxels == value
    return float((first & second).sum() / (first | second).sum())


def grouped(task: PromptedTask) -> list[tuple[int, ...]]:
    assert task.zoom is not None
    return [region.classes for region in task.zoom.regions if region.classes]


def served_by_groups(task: PromptedTask) -> list[tuple[int, ...]]:
    assert task.zoom_pass is not None
    served = served_classes(task.cache, task.zoom_pass, task.options)
    return [classes for (region, _), classes in zip(task.zoom_pass.regions, served, strict=True) if region.classes]


def test_distant_small_labels_get_regions_of_their_own() -> None:
    task = task_of(3)
    assert task.zoom is not None
    assert grouped(task) == [(2,), (3,)], "class numbers of the small labels"
    for region in task.zoom.regions:
        if region.classes:
            assert region.magnification == 4.0
            assert np.isin(region.prompts.targets, region.classes).mean() > 0.05, "magnified about the label"


def near_body(seed: int) -> tuple[Volume, LabelMap]:
    """Two small labels, one below the other, and the large one."""
    labels = np.zeros((128, 128, 4), np.int32)
    labels[4:124, 40:88] = LARGE
    first = 8 + seed % 4
    labels[first : first + 10, 8:24] = SMALL
    labels[first + 12 : first + 22, 8:24] = OTHER
    shades = np.select([labels == LARGE, labels == SMALL, labels == OTHER], [40.0, 200.0, 240.0], 100.0)
    voxels = shades + np.random.default_rng(seed).uniform(-5, 5, labels.shape)
    return Volume(voxels.astype(np.float32), AFFINE), LabelMap(labels, AFFINE)


def near_task() -> PromptedTask:
    pairs = [near_body(seed) for seed in range(4)]
    return Predictor(Learner()).prompt([image for image, _ in pairs], [labels for _, labels in pairs])


def test_near_small_labels_share_a_region() -> None:
    assert grouped(near_task()) == [(2, 3)]


@pytest.mark.parametrize("lost", [1, 2])
def test_a_label_that_its_group_loses_stays_as_in_whole_slices(lost: int, monkeypatch: pytest.MonkeyPatch) -> None:
    task, (query, _) = near_task(), near_body(9)
    gains = np.full((1, 3), 0.1, np.float32)
    monkeypatch.setitem(task.cache.zoom_gains, KEY, gains)
    whole, zoomed = changed(task, zoom="off")(query).volume, task(query).volume
    gains[:, lost] = -0.1
    again, values = task(query).volume, (SMALL, OTHER)
    kept, magnified = values[lost - 1], values[2 - lost]
    for value in values:
        assert not np.array_equal(whole.voxels == value, zoomed.voxels == value)
    assert np.array_equal(again.voxels == magnified, zoomed.voxels == magnified)
    assert np.array_equal(again.voxels == kept, (whole.voxels == kept) & (again.voxels != magnified))


def test_small_labels_are_outlined_better_and_large_ones_stay() -> None:
    task, (query, truth) = task_of(4), body(9)
    whole, zoomed = changed(task, zoom="off")(query).volume, task(query).volume
    assert isinstance(whole, LabelMap)
    assert isinstance(zoomed, LabelMap)
    for value in (SMALL, OTHER):
        assert iou(zoomed, truth, value) > iou(whole, truth, value) + 0.05
        assert iou(zoomed, truth, value) > 0.95
    assert np.array_equal(zoomed.voxels == LARGE, (whole.voxels == LARGE) & ~np.isin(zoomed.voxels, (SMALL, OTHER)))


def test_two_prompts_cannot_tell_and_leave_groups_alone() -> None:
    task, (query, _) = task_of(2), body(9)
    assert task.zoom_pass is not None
    assert served_by_groups(task) == [(), ()]
    assert np.isnan(task.cache.zoom_gains[KEY]).all()
    assert np.array_equal(task(query).volume.voxels, changed(task, zoom="off")(query).volume.voxels)


@pytest.mark.parametrize("loses", [True, False])
def test_a_region_serves_the_classes_that_gain(loses: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    task, (query, _) = task_of(4), body(9)
    assert task.zoom_pass is not None
    whole, zoomed = changed(task, zoom="off")(query).volume, task(query).volume
    number = [region.classes for region, _ in task.zoom_pass.regions].index((2,))
    gains = task.cache.zoom_gains[KEY].copy()
    assert gains[number, 1] > 0
    gains[number, 1] = -0.1 if loses else 0.1
    monkeypatch.setitem(task.cache.zoom_gains, KEY, gains)
    again = task(query).volume
    assert np.array_equal(again.voxels == SMALL, (whole if loses else zoomed).voxels == SMALL)
    assert np.array_equal(again.voxels == OTHER, zoomed.voxels == OTHER)


def test_labels_of_single_slices_need_a_clear_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean gains of .01 with a standard error of .02 are enough in volumes, and not in single slices."""
    monkeypatch.setattr(
        "mvg.prediction.refinement.zoom_gain._gain", lambda counts: (np.full(3, 0.01), np.full(3, 0.02))
    )
    for slices, enough in ((4, True), (1, False)):
        task = task_of(3, slices)
        assert served_by_groups(task) == ([(2,), (3,)] if enough else [(), ()])


def test_a_region_elsewhere_does_not_count_as_a_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where whole slices do not show where a label is, the query would be magnified elsewhere."""
    task = task_of(4)
    monkeypatch.setattr("mvg.prediction.refinement.zoom_gain._meets_center", lambda *_: False)
    served = served_classes(task.cache, task.zoom_pass, task.options)
    assert not any(
        classes for (region, _), classes in zip(task.zoom_pass.regions, served, strict=True) if region.classes
    )


def test_a_saved_task_knows_its_gains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, (query, _) = task_of(3), body(9)
    task.save(tmp_path / "body.mvgtask")
    loaded = Predictor(task.model).load_task(tmp_path / "body.mvgtask")
    assert np.array_equal(loaded.cache.zoom_gains[KEY], task.cache.zoom_gains[KEY], equal_nan=True)
    assert grouped(loaded) == grouped(task)
    assert loaded.zoom is not None
    assert task.zoom is not None
    for one, other in zip(loaded.zoom.regions, task.zoom.regions, strict=True):
        assert one.centers == pytest.approx(other.centers)
        assert one.magnification == other.magnification
    monkeypatch.setattr("mvg.prediction.refinement.zoom_gain._gains", None)
    assert np.array_equal(loaded(query).volume.voxels, task(query).volume.voxels)


def test_a_further_example_counts_in_the_gains() -> None:
    task = task_of(3)
    assert task.zoom_pass is not None
    served_classes(task.cache, task.zoom_pass, task.options)
    more = task.with_example(*body(5))
    assert more.zoom is not None
    assert [len(region.centers) for region in more.zoom.regions] == [4] * len(more.zoom.regions)
    assert not more.cache.zoom_gains
    assert np.isin(more(body(9)[0]).volume.voxels, (0, LARGE, SMALL, OTHER)).all()


def test_probabilities_add_up_to_one_where_a_group_was_magnified() -> None:
    task, (query, _) = task_of(3), body(9)
    both = changed(task, probabilities=True)(query)
    assert both.probabilities is not None
    total = sum(both.probabilities.of(value).voxels for value in (0, LARGE, SMALL, OTHER))
    assert total == pytest.approx(1, abs=4e-3)
    assert np.array_equal(both.volume.voxels, task(query).volume.voxels)
    assert (both.probabilities.of(SMALL).voxels[both.volume.voxels == SMALL] > 0.4).all()


def test_no_region_is_predicted_that_serves_no_class(monkeypatch: pytest.MonkeyPatch) -> None:
    task, (query, _) = task_of(3), body(9)
    monkeypatch.setattr(zoom, "served_classes", lambda cache, plan, options: [()] * len(plan.regions))
    monkeypatch.setattr(zoom, "_again", None)
    assert np.array_equal(task(query).volume.voxels, changed(task, zoom="off")(query).volume.voxels)


def test_every_label_is_compared_in_slices_that_show_it() -> None:
    """A label in two of twelve slices is not missed, and slices that were chosen for another label count."""
    image, labels = body(1, 12)
    labels.voxels.flags.writeable = True
    voxels = labels.voxels.copy()
    voxels[..., :7][voxels[..., :7] == OTHER] = 0
    voxels[..., 9:][voxels[..., 9:] == OTHER] = 0
    pairs = [(image, LabelMap(voxels, AFFINE)) for _ in range(3)]
    task = Predictor(Learner()).prompt([image for image, _ in pairs], [labels for _, labels in pairs])
    for volume in range(3):
        chosen = _samples(task.prompts, volume)
        assert set(task.prompts.volume[chosen]) == {volume}
        assert task.prompts.classes[chosen].sum(axis=0).tolist() == [len(chosen), len(chosen), 2]
        assert task.prompts.index[chosen].tolist() == [2, 6, 7, 8, 10]


def test_whole_slices_are_predicted_once_for_all_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    task, predicted = task_of(3), list[int]()
    assert task.zoom_pass is not None
    assert len(grouped(task)) == 2

    def outputs(cache: object, options: object, volume: int, numbers: list[int], most: int) -> object:
        if cache is task.cache:
            predicted.extend(numbers)
        return held_out_outputs(cache, options, volume, numbers, most)  # type: ignore[arg-type]

    monkeypatch.setattr("mvg.prediction.refinement.zoom_gain.held_out_outputs", outputs)
    served_classes(task.cache, task.zoom_pass, task.options)
    assert predicted
    assert len(predicted) == len(set(predicted))


def labeled_in(*slices: int, rejected: int | None = None) -> VolumePrediction:
    """A prediction for 40 slices, with the second class in some of them, and rejected in one."""
    area, removed = np.zeros((40, 2), np.int64), np.zeros((40, 2), np.bool_)
    area[:, 0] = 5
    area[list(slices), 1] = 3
    removed[rejected, 1] = rejected is not None
    return VolumePrediction(np.zeros((40, 4, 4), np.uint8), area > 0, np.zeros((40, 2), np.float32), area, removed)


@pytest.mark.parametrize(
    ("prediction", "slices"),
    [
        (labeled_in(10, 11), range(7, 15)),
        (labeled_in(1, 11), range(15)),
        (labeled_in(5, 34), range(40)),
        (labeled_in(10, 29), range(6, 34)),
        (labeled_in(10, 11, 39, rejected=39), range(7, 15)),
        (labeled_in(), range(0)),
    ],
)
def test_slices_near_those_of_a_group_are_magnified(prediction: VolumePrediction, slices: range) -> None:
    """A fifth of their number beyond them, at least three."""
    assert zoom._near(prediction, (2,)) == slices


def test_slices_far_from_a_group_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    task, (query, _) = task_of(4), body(9)
    whole, zoomed = changed(task, zoom="off")(query).volume.voxels, task(query).volume.voxels
    monkeypatch.setattr(zoom, "_near", lambda *_: range(1, 3))
    parts = task(query).volume.voxels
    for number in range(4):
        expected, other = (zoomed, whole) if number in (1, 2) else (whole, zoomed)
        assert np.array_equal(parts[..., number], expected[..., number])
        assert not np.array_equal(parts[..., number], other[..., number])
