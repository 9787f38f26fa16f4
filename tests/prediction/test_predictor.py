"""What a prompted task answers: on the query's grid, with the prompts' values, in the query's units."""

import tracemalloc
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mvg.errors import GeometryError, PromptError, UnknownNameError
from mvg.imaging.volume import LabelMap, Volume
from mvg.model.outputs import PromptState
from mvg.prediction.inference.query_volume import QueryVolume
from mvg.prediction.predictor import Predictor, PromptedTask
from tests.prediction.learner import SIZE, Learner, random_model
from tests.prediction.scans import AFFINE, scan

Settings = dict[str, Any]


def prompted(learner: Learner, count: int = 2, **settings: Any) -> PromptedTask:
    """A segmentation shown on `count` scans."""
    images, labels = zip(*(scan(seed=number) for number in range(count)), strict=True)
    return Predictor(learner).prompt(images, labels, **settings)


def test_segments_with_the_prompts_values_on_the_querys_grid() -> None:
    query, truth = scan(seed=9)
    answer = prompted(Learner())(query)
    assert isinstance(answer.volume, LabelMap)
    assert np.array_equal(answer.volume.affine, query.affine)
    assert np.array_equal(answer.volume.voxels, truth.voxels)
    assert answer.uncertainty is None


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
    answer = prompted(Learner())(query)
    assert np.array_equal(answer.volume.voxels, truth.voxels)
    assert answer.volume.affine.tobytes() == query.affine.tobytes()


def test_sizes_other_than_the_models() -> None:
    query, truth = scan((50, 71, 4), seed=9)
    answer = prompted(Learner())(query)
    assert answer.volume.shape == query.shape
    assert (answer.volume.voxels == truth.voxels).mean() > 0.95


def test_many_classes_with_large_values() -> None:
    values = np.arange(1, 101) * 7
    grid = np.zeros((SIZE, SIZE, 1), np.int32)
    grid[4:14, 4:14, 0] = values.reshape(10, 10)
    affine = np.diag([1.0, 1, 5, 1])
    image, labels = Volume(grid * 2.0 + 200 * (grid > 0), affine), LabelMap(grid, affine)
    answer = Predictor(Learner()).prompt([image], [labels])(image)
    assert answer.volume.voxels.dtype == np.int16
    assert set(np.unique(answer.volume.voxels)) <= {0, *values}
    assert (answer.volume.voxels == grid).mean() > 0.9


def test_a_class_no_shown_prompt_holds_is_not_answered() -> None:
    (image, labels), (query, truth) = scan(seed=0), scan(seed=9)
    other = LabelMap(np.where(labels.voxels == 700, 0, labels.voxels), labels.affine)
    first_alone = prompted_on([(image, other), (image, labels)], num_prompts=1, strategy="nearest_slice")
    found = np.unique(first_alone(query).volume.voxels)
    assert 3 in found
    both = prompted_on([(image, other), (image, labels)], num_prompts=2)
    assert np.array_equal(both(query).volume.voxels, truth.voxels)


def prompted_on(pairs: list[tuple[Volume, LabelMap]], **settings: Any) -> PromptedTask:
    """A segmentation shown on these pairs."""
    images, labels = zip(*pairs, strict=True)
    return Predictor(Learner()).prompt(images, labels, **settings)


def test_prompts_that_show_nothing_answer_nothing() -> None:
    image, labels = scan((32, 32, 6))
    empty = labels.voxels.copy()
    empty[:, :, 3:] = 0
    pair = (image, LabelMap(empty, labels.affine))
    task = prompted_on([pair], num_prompts=1, strategy="nearest_slice")
    voxels = task(scan(seed=9)[0]).volume.voxels
    assert voxels[:, :, :3].any()
    assert not voxels[:, :, 3:].any()


def test_restorations_change_the_raw_query_even_outside_of_the_window() -> None:
    affine = np.diag([0.7, 0.7, 3, 1])
    rng = np.random.default_rng(0)
    low = rng.uniform(-100, 100, (70, 50, 2)).astype(np.float32)
    low[:9, :9] = 1500  # far above the soft-tissue window
    low[-9:, -9:] = -1000
    image, target = Volume(low, affine), Volume(low + np.float32(8), affine)
    task = Predictor(Learner()).prompt([image], [target], "denoising")
    answer = task(image).volume
    assert isinstance(answer, Volume)
    assert answer.voxels[0, 0, 0] == pytest.approx(1500, abs=10)
    assert answer.voxels[-1, -1, 0] == pytest.approx(-1000, abs=10)
    inside = np.abs(low) < 90
    assert np.abs(answer.voxels - low)[inside].mean() == pytest.approx(8, abs=3)


class Filler(Learner):
    """Fills what is dark with 0.6, or as it is told."""

    def __init__(self, said: float = 0.6) -> None:
        super().__init__()
        self.said = said

    def answer(self, query: Tensor, prompts: PromptState, kind: str) -> Tensor:
        return torch.where(query < 0.45, self.said, query)


def test_a_filled_void_has_a_sharp_rim_and_what_lies_beside_it_stays() -> None:
    rng = np.random.default_rng(0)
    whole = rng.uniform(50, 100, (90, 90, 2)).astype(np.float32)
    whole[:2] = 100
    holed = whole.copy()
    holed[30:60, 41:66] = 0
    holed[80:, 80:] = 0  # the window begins here
    query, target = (Volume(voxels, np.diag([0.7, 0.7, 3, 1])) for voxels in (holed, whole))
    answer = Predictor(Filler()).prompt([query], [target], "inpainting")(query).volume.voxels
    assert np.array_equal(answer[holed > 0], holed[holed > 0])
    filled = answer[30:60, 41:66]
    assert filled.min() > 50, "not dark at its rim"
    assert 68 < filled[5:-5, 5:-5].min() < filled[5:-5, 5:-5].max() < 76, "mostly smooth (75), a quarter as said (60)"


@pytest.mark.parametrize(("said", "kept"), [(0.7, False), (0.2, True), (1.0, True)])
def test_a_void_is_filled_from_edge_to_edge_unless_something_else_was_said(said: float, kept: bool) -> None:
    ramp = np.linspace(46, 66, 90, dtype=np.float32)[:, None, None]
    whole = np.broadcast_to(ramp, (90, 90, 2)).copy()
    whole[:2] = 100
    holed = whole.copy()
    holed[35:60, 30:60] = 0
    holed[:2, :2] = 0
    query, target = (Volume(voxels, np.diag([0.7, 0.7, 3, 1])) for voxels in (holed, whole))
    answer = Predictor(Filler(said)).prompt([query], [target], "inpainting")(query).volume.voxels
    filled, truth = answer[38:57, 33:57], whole[38:57, 33:57]
    if kept:
        np.testing.assert_allclose(filled, 100 * said, atol=1)
    else:
        assert np.abs(filled - truth).max() < 0.5 * np.abs(100 * said - truth).max()


def test_air_beside_a_filled_void_of_a_ct_keeps_its_hu() -> None:
    whole = np.full((90, 90, 2), 60, np.float32)
    whole[30:60, 66:80] = -850  # lung, as black in the window as the void
    holed = whole.copy()
    holed[30:60, 41:66] = -1024
    query, target = (Volume(voxels, np.diag([0.7, 0.7, 3, 1])) for voxels in (holed, whole))
    answer = Predictor(Filler()).prompt([query], [target], "inpainting")(query).volume.voxels
    assert (answer[30:60, 66:80] == -850).all()
    assert answer[32:58, 43:64].min() > 0


class Lung(Filler):
    """Fills all that is dark, and more of it than the void is."""

    def answer(self, query: Tensor, prompts: PromptState, kind: str) -> Tensor:
        return torch.where(query < 1e-3, self.said, query)


def test_a_void_is_found_among_more_air_that_was_brightened_too() -> None:
    whole = np.full((90, 90, 2), 60, np.float32)
    whole[5:85, 55:85] = np.random.default_rng(0).uniform(-900, -800, (80, 30, 2))
    holed = whole.copy()
    holed[30:60, 10:30] = -1024
    query, target = (Volume(voxels, np.diag([0.7, 0.7, 3, 1])) for voxels in (holed, whole))
    answer = Predictor(Lung()).prompt([query], [target], "inpainting")(query).volume.voxels
    assert answer[32:58, 12:28].min() > 0
    assert (answer[8:82, 58:82] == whole[8:82, 58:82]).all()


def test_prompts_are_cut_along_the_plane_of_most_of_them() -> None:
    thick = [scan((32, 32, 6), seed=number) for number in (0, 1)]
    thin, labels = scan((32, 12, 32), np.diag([1.0, 1.4, 1.0, 1.0]))
    pairs = [(thin, labels), *thick]
    examples = prompted_on(pairs).prompts
    assert examples.plane == "axial"
    assert thin.plane == "coronal"
    assert examples.count[examples.volume == 0].tolist() == [32] * 32
    assert examples.count[examples.volume == 1].tolist() == [6] * 6


def test_prompt_slices_in_which_nothing_changes_are_passed_over() -> None:
    image, _ = scan((32, 32, 6))
    changed = image.voxels.copy()
    changed[:, :, [1, 4]] += 20
    task = Predictor(Learner()).prompt([image], [Volume(changed, image.affine)], "inpainting")
    assert task.prompts.index.tolist() == [1, 4]
    assert task.prompts.count.tolist() == [6, 6]
    same = Predictor(Learner()).prompt([image], [image], "inpainting")
    assert len(same.prompts) == 6


def test_a_synthesis_comes_back_in_the_targets_units() -> None:
    image, _ = scan(seed=0)
    target = Volume(image.voxels * 10 + 5000, image.affine)
    task = Predictor(Learner()).prompt([image], [target], "synthesis:T1->T2")
    query, _ = scan(seed=9)
    answer = task(query).volume
    assert np.abs(answer.voxels - (query.voxels * 10 + 5000)).mean() < 100
    assert np.array_equal(answer.affine, query.affine)


def test_prompts_are_encoded_once_and_queries_asked_in_small_batches() -> None:
    learner = Learner()
    task = prompted(learner, count=2, num_prompts=12)
    task(scan((32, 32, 6), seed=9)[0])
    first = learner.encoded
    assert first <= 12
    task(scan((32, 32, 40), seed=8)[0])
    assert learner.encoded <= 12
    assert learner.most <= 8


def test_memory_grows_by_the_answer_alone() -> None:
    image, _ = scan(seed=0)
    task = Predictor(Learner()).prompt([image], [Volume(image.voxels * 10, image.affine)], "synthesis:T1->T2")
    query = Volume(np.random.default_rng(0).random((160, 96, 128), np.float32), image.affine)
    task(image)
    tracemalloc.start()  # numpy's alone: the model's share does not know the number of slices
    answer = task(query).volume
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1.5 * answer.voxels.nbytes


@pytest.mark.parametrize("members", [2, 3])
def test_an_ensemble_tells_its_uncertainty(members: int) -> None:
    query, truth = scan(seed=9)
    task = prompted(Learner()).using(members=members)
    answer = task(query)
    assert np.array_equal(answer.volume.voxels, truth.voxels)
    assert answer.uncertainty is not None
    assert answer.uncertainty.voxels.min() >= 0
    assert answer.uncertainty.voxels.max() <= 1
    assert np.array_equal(answer.uncertainty.affine, query.affine)
    assert answer.uncertainty.shape == query.shape


@pytest.mark.parametrize("form", ["matching", "painting", "merged"])
@pytest.mark.parametrize("task", ["segmentation", "synthesis", "denoising"])
def test_the_real_model_in_both_forms(form: str, task: str) -> None:
    image, labels = scan((40, 36, 3))
    predictor = Predictor(random_model(form))
    target: Volume | LabelMap = labels if task == "segmentation" else image
    asked = predictor.prompt([image, image], [target, target], task, members=2, num_prompts=2)
    query, _ = scan((33, 47, 3), seed=9)
    once, again = asked(query), asked(query)
    assert once.volume.shape == query.shape
    assert np.array_equal(once.volume.voxels, again.volume.voxels)
    assert once.uncertainty is not None
    assert 0 <= once.uncertainty.voxels.min() <= once.uncertainty.voxels.max() <= 1
    if task == "segmentation":
        assert set(np.unique(once.volume.voxels)) <= {0, 3, 700}


def test_the_seed_decides_random_strategies() -> None:
    task = prompted(Learner(), count=4, strategy="paper_rule", num_prompts=1)
    query, _ = scan(seed=9)
    same = [np.array(task(query).volume.voxels) for _ in range(2)]
    assert np.array_equal(*same)


def test_a_single_slice_is_cut_along_its_own_plane() -> None:
    query, truth = scan((32, 6, 32), np.array([[1.0, 0, 0, 0], [0, 9, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), seed=9)
    one = Volume(query.voxels[:, 2:3], query.affine)
    slices: list[int] = []
    answer = prompted(Learner())(one, lambda _done, total: slices.append(total)).volume.voxels
    assert slices == [1]
    assert (answer == truth.voxels[:, 2:3]).mean() > 0.95


def test_what_is_said_of_the_prompts_intensities_holds_for_queries() -> None:
    image, labels = scan()
    signed = Volume(20 * image.voxels - 2000, image.affine)  # a phase, say: it looks like HU
    guessed, told = (Predictor(Learner()).prompt([signed], [labels], modality=said) for said in (None, "MR"))
    windows = [QueryVolume.of(signed, task.prompts, task.spec, SIZE).window for task in (guessed, told)]
    assert (windows[0].low, windows[0].high) == (-160, 240)
    assert windows[1].low < -1500
    assert windows[1].high > 1500


def test_label_maps_as_pictures_have_a_window_of_their_own() -> None:
    image, labels = scan()
    few = LabelMap(labels.voxels // 100, labels.affine)  # 0, 7
    task = Predictor(Learner()).prompt([Volume(image.voxels * 100, image.affine)], [few], "synthesis")
    assert task.prompts.target_window.high <= 7


def test_too_many_labels_are_not_asked_for_more() -> None:
    image, labels = scan((32, 32, 2))
    many = LabelMap(np.arange(labels.voxels.size).reshape(labels.voxels.shape), labels.affine)
    with pytest.raises(PromptError, match="expected 1 to 255; ask for fewer"):
        Predictor(Learner()).prompt([image], [many])


@pytest.mark.parametrize(
    ("images", "targets", "task", "error", "said"),
    [
        ([], [], None, PromptError, "at least one"),
        ([0, 1], [0], None, PromptError, "as many of both"),
        ([0], ["shifted"], None, GeometryError, "one shape and affine"),
        ([0], ["smaller"], None, GeometryError, "one shape and affine"),
        ([0], ["empty"], None, PromptError, "add prompts that show some"),
        ([0], ["picture"], None, PromptError, "denoising, inpainting, segmentation, synthesis"),
        ([0], ["picture"], "segmentation", PromptError, "whole numbers"),
        ([0], [0], "sorcery", UnknownNameError, "segmentation"),
    ],
)
def test_prompts_that_cannot_serve(
    images: list[int], targets: list[Any], task: str | None, error: type[Exception], said: str
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

    with pytest.raises(error, match=said):
        Predictor(Learner()).prompt([scan()[0] for _ in images], [target(kind) for kind in targets], task)


def test_unknown_strategies_and_impossible_numbers() -> None:
    with pytest.raises(UnknownNameError, match="nearest_slice"):
        prompted(Learner(), strategy="by_moonlight")
    with pytest.raises(PromptError, match="1 or more"):
        prompted(Learner(), num_prompts=0)
    with pytest.raises(PromptError, match="1 or more"):
        prompted(Learner()).using(members=0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_query_with_nan_or_infinity_is_refused(value: float) -> None:
    query, _ = scan()
    voxels = query.voxels.copy()
    voxels[3, 5, 1] = value
    with pytest.raises(GeometryError, match="finite"):
        prompted(Learner())(Volume(voxels, query.affine))
