"""What a prompted task predicts: on the query's grid, with the prompts' values, in the query's units."""

import tracemalloc
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from mvg.errors import GeometryError, PromptError, UnknownNameError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.inference.query_volume import QueryVolume
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from tests.prediction.learner import SIZE, Learner, changed, prompted, random_model
from tests.prediction.scans import AFFINE, scan


def prompted_with(pairs: list[tuple[Volume, LabelMap]], **options: Any) -> PromptedTask:
    """A segmentation with these pairs as prompts."""
    images, labels = zip(*pairs, strict=True)
    return Predictor(Learner()).prompt(images, labels, options=PredictionOptions(**options))


def test_a_segmentation_has_the_prompts_values_on_the_querys_grid() -> None:
    query, truth = scan(seed=9)
    prediction = prompted(Learner())(query)
    assert isinstance(prediction.volume, LabelMap)
    assert np.array_equal(prediction.volume.affine, query.affine)
    assert np.array_equal(prediction.volume.voxels, truth.voxels)
    assert prediction.uncertainty is None
    assert prediction.probabilities is None


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_every_orientation_of_the_query(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    spacing = np.array([1.2, 1.2, 5.0])
    affine = np.eye(4)
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[:3, axis] = 0
        affine[world, axis] = sign * spacing[world]
    affine[:3, 3] = (1.25, -7.5, 1 / 3)
    shape = tuple(6 if world == 2 else SIZE for world in order)
    query, truth = scan((shape[0], shape[1], shape[2]), affine, seed=9)
    prediction = prompted(Learner())(query)
    assert np.array_equal(prediction.volume.voxels, truth.voxels)
    assert prediction.volume.affine.tobytes() == query.affine.tobytes()


def test_slices_of_another_size_than_the_models() -> None:
    query, truth = scan((50, 71, 4), seed=9)
    prediction = prompted(Learner())(query)
    assert prediction.volume.shape == query.shape
    assert (prediction.volume.voxels == truth.voxels).mean() > 0.95


def test_many_classes_with_large_values() -> None:
    values = np.arange(1, 101) * 7
    grid = np.zeros((SIZE, SIZE, 1), np.int32)
    grid[4:14, 4:14, 0] = values.reshape(10, 10)
    affine = np.diag([1.0, 1, 5, 1])
    image, labels = Volume(grid * 2.0 + 200 * (grid > 0), affine), LabelMap(grid, affine)
    prediction = Predictor(Learner()).prompt([image], [labels])(image)
    assert prediction.volume.voxels.dtype == np.int16
    assert set(np.unique(prediction.volume.voxels)) <= {0, *values}
    assert (prediction.volume.voxels == grid).mean() > 0.9


def test_a_class_that_no_selected_prompt_holds_is_not_predicted() -> None:
    (image, labels), (query, truth) = scan(seed=0), scan(seed=9)
    one_class = LabelMap(np.where(labels.voxels == 700, 0, labels.voxels), labels.affine)
    pairs = [(image, one_class), (image, labels)]
    values = np.unique(prompted_with(pairs, num_prompts=1, strategy="nearest_slice")(query).volume.voxels)
    assert 3 in values
    both = prompted_with(pairs, num_prompts=2)
    assert np.array_equal(both(query).volume.voxels, truth.voxels)


def test_prompts_without_labels_predict_background() -> None:
    image, labels = scan((32, 32, 6))
    half = labels.voxels.copy()
    half[:, :, 3:] = 0
    pair = (image, LabelMap(half, labels.affine))
    task = prompted_with([pair], num_prompts=1, strategy="nearest_slice")
    voxels = task(scan(seed=9)[0]).volume.voxels
    assert voxels[:, :, :3].any()
    assert not voxels[:, :, 3:].any()


def test_a_residual_changes_the_raw_query_even_outside_of_the_window() -> None:
    affine = np.diag([0.7, 0.7, 3, 1])
    rng = np.random.default_rng(0)
    low = rng.uniform(-100, 100, (70, 50, 2)).astype(np.float32)
    low[:9, :9] = 1500  # far above the soft-tissue window
    low[-9:, -9:] = -1000
    image, target = Volume(low, affine), Volume(low + np.float32(8), affine)
    task = Predictor(Learner()).prompt([image], [target], "denoising")
    prediction = task(image).volume
    assert isinstance(prediction, Volume)
    assert prediction.voxels[0, 0, 0] == pytest.approx(1500, abs=10)
    assert prediction.voxels[-1, -1, 0] == pytest.approx(-1000, abs=10)
    inside = np.abs(low) < 90
    assert np.abs(prediction.voxels - low)[inside].mean() == pytest.approx(8, abs=3)


def test_prompts_are_cut_along_the_plane_of_most_of_them() -> None:
    thick = [scan((32, 32, 6), seed=number) for number in (0, 1)]
    thin, labels = scan((32, 12, 32), np.diag([1.0, 1.4, 1.0, 1.0]))
    prompts = prompted_with([(thin, labels), *thick]).prompts
    assert prompts.plane == "axial"
    assert thin.plane == "coronal"
    assert prompts.count[prompts.volume == 0].tolist() == [32] * 32
    assert prompts.count[prompts.volume == 1].tolist() == [6] * 6


def test_prompt_slices_without_change_are_left_out_of_a_residual_task() -> None:
    image, _ = scan((32, 32, 6))
    brighter = image.voxels.copy()
    brighter[:, :, [1, 4]] += 20
    task = Predictor(Learner()).prompt([image], [Volume(brighter, image.affine)], "inpainting")
    assert task.prompts.index.tolist() == [1, 4]
    assert task.prompts.count.tolist() == [6, 6]
    unchanged = Predictor(Learner()).prompt([image], [image], "inpainting")
    assert len(unchanged.prompts) == 6


def test_a_synthesis_has_the_targets_units() -> None:
    image, _ = scan(seed=0)
    target = Volume(image.voxels * 10 + 5000, image.affine)
    task = Predictor(Learner()).prompt([image], [target], "synthesis:T1->T2")
    query, _ = scan(seed=9)
    prediction = task(query).volume
    assert np.abs(prediction.voxels - (query.voxels * 10 + 5000)).mean() < 100
    assert np.array_equal(prediction.affine, query.affine)


def test_memory_grows_by_the_prediction_alone() -> None:
    image, _ = scan(seed=0)
    task = Predictor(Learner()).prompt([image], [Volume(image.voxels * 10, image.affine)], "synthesis:T1->T2")
    query = Volume(np.random.default_rng(0).random((160, 96, 128), np.float32), image.affine)
    task(image)
    tracemalloc.start()  # counts numpy alone; the model's share does not depend on the number of slices
    prediction = task(query).volume
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * prediction.voxels.nbytes


def test_labels_get_their_values_in_place() -> None:
    image, labels = scan(seed=0)
    one_label = LabelMap(np.where(labels.voxels == 3, 3, 0), labels.affine)
    query = Volume(np.tile(image.voxels, (8, 8, 8)), image.affine)
    task = Predictor(Learner()).prompt([image], [one_label])
    assert set(np.unique(task(image).volume.voxels)) == {0, 3}
    tracemalloc.start()
    prediction = task(query).volume
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert prediction.voxels.dtype == np.uint8
    assert peak < 1.9 * prediction.voxels.nbytes  # 2.1 with a second copy


@pytest.mark.parametrize("form", ["matching", "painting", "merged"])
@pytest.mark.parametrize("kind", ["segmentation", "synthesis", "denoising"])
def test_a_network_of_every_form_predicts_every_target_type(form: str, kind: str) -> None:
    image, labels = scan((40, 36, 3))
    target: Volume | LabelMap = labels if kind == "segmentation" else image
    options = PredictionOptions(members=2, num_prompts=2)
    task = Predictor(random_model(form)).prompt([image, image], [target, target], kind, options)
    query, _ = scan((33, 47, 3), seed=9)
    once, again = task(query), task(query)
    assert once.volume.shape == query.shape
    assert np.array_equal(once.volume.voxels, again.volume.voxels)
    assert once.uncertainty is not None
    assert 0 <= once.uncertainty.voxels.min() <= once.uncertainty.voxels.max() <= 1
    if kind == "segmentation":
        assert set(np.unique(once.volume.voxels)) <= {0, 3, 700}


def test_the_seed_decides_random_strategies() -> None:
    task = prompted(random_model(), count=4, strategy="paper_rule", num_prompts=1, zoom="off")
    query, _ = scan(seed=9)
    first, again = (np.array(task(query).volume.voxels) for _ in range(2))
    assert np.array_equal(first, again)
    others = (changed(task, seed=seed)(query).volume.voxels for seed in range(1, 6))
    assert any(not np.array_equal(first, other) for other in others)


def test_a_single_slice_is_cut_along_its_own_plane() -> None:
    query, truth = scan((32, 6, 32), np.array([[1.0, 0, 0, 0], [0, 9, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), seed=9)
    one = Volume(query.voxels[:, 2:3], query.affine)
    totals: list[int] = []
    prediction = prompted(Learner())(one, lambda _done, total: totals.append(total)).volume.voxels
    assert totals == [1]
    assert (prediction == truth.voxels[:, 2:3]).mean() > 0.95


def test_the_modality_of_the_prompts_holds_for_queries() -> None:
    image, labels = scan()
    signed = Volume(9 * image.voxels - 1080, image.affine)  # a scan with other units, which looks like HU
    guessed, named = (Predictor(Learner()).prompt([signed], [labels], modality=name) for name in (None, "MR"))
    windows = [QueryVolume.of(signed, task.prompts, task.spec, SIZE).window for task in (guessed, named)]
    assert (windows[0].low, windows[0].high) == (-160, 240)
    assert windows[1].low < -1000
    assert windows[1].high > 900


def test_label_maps_as_pictures_have_a_window_of_their_own() -> None:
    image, labels = scan()
    few = LabelMap(labels.voxels // 100, labels.affine)  # 0, 7
    task = Predictor(Learner()).prompt([Volume(image.voxels * 100, image.affine)], [few], "synthesis")
    assert task.prompts.target_window.high <= 7


def test_too_many_label_values_are_refused() -> None:
    image, labels = scan((32, 32, 2))
    many = LabelMap(np.arange(labels.voxels.size).reshape(labels.voxels.shape), labels.affine)
    with pytest.raises(PromptError, match="expected 1 to 255; ask for fewer"):
        Predictor(Learner()).prompt([image], [many])


@pytest.mark.parametrize(
    ("images", "targets", "task", "error", "message"),
    [
        ([], [], None, PromptError, "at least one"),
        ([0, 1], [0], None, PromptError, "as many of both"),
        ([0], ["shifted"], None, GeometryError, "one shape and affine"),
        ([0], ["smaller"], None, GeometryError, "one shape and affine"),
        ([0], ["empty"], None, PromptError, "add prompts that show some"),
        ([0], ["picture"], None, PromptError, "denoising, inpainting, "),
        ([0], ["picture"], "segmentation", PromptError, "whole numbers"),
        ([0], [0], "sorcery", UnknownNameError, "segmentation"),
    ],
)
def test_unusable_prompts_are_refused(
    images: list[int], targets: list[Any], task: str | None, error: type[Exception], message: str
) -> None:
    def target(kind: Any) -> Volume | LabelMap:
        image, labels = scan()
        if kind == "shifted":
            return LabelMap(labels.voxels, AFFINE + np.eye(4) * np.array([0, 0, 0.5, 0]))
        if kind == "smaller":
            return LabelMap(labels.voxels[1:], labels.affine)
        if kind == "empty":
            return LabelMap(labels.voxels * 0, labels.affine)
        return image if kind == "picture" else labels

    with pytest.raises(error, match=message):
        Predictor(Learner()).prompt([scan()[0] for _ in images], [target(kind) for kind in targets], task)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_query_with_nan_or_infinity_is_refused(value: float) -> None:
    query, _ = scan()
    voxels = query.voxels.copy()
    voxels[3, 5, 1] = value
    with pytest.raises(GeometryError, match="finite"):
        prompted(Learner())(Volume(voxels, query.affine))
