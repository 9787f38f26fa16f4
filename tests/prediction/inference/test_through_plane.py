"""Joining along a volume: slices follow their neighbors where these look alike, and only labels of volumes change."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mvg.model.through_plane import MULTIPLE, ThroughPlane
from mvg.prediction.inference import through_plane
from mvg.prediction.inference.through_plane import AnsweredSlices, joined, runs, trust_in
from mvg.prediction.predictor import Predictor
from tests.prediction.learner import SIZE, Learner, changed, prompted, random_model, randomized
from tests.prediction.scans import scan


def joined_without(slices: AnsweredSlices) -> torch.Tensor:
    """Joined by weights without a network."""
    return joined(slices, None, ())


def answered(slices: int = 5) -> AnsweredSlices:
    """Equal images and two classes: slice 2 hardly lacks the first one, slice 0 lacks the second one."""
    probabilities = torch.zeros(slices, 3, 24, 24)
    probabilities[:, 1, 10:20, 12:20] = 0.9
    probabilities[2, 1, 10:20, 12:20] = 0.45
    probabilities[1:, 2, 2:6, 2:6] = 0.6
    probabilities[:, 0] = 1 - probabilities[:, 1:].sum(dim=1)
    return AnsweredSlices(torch.full((slices, 24, 24), 0.5), probabilities)


def test_a_slice_follows_its_neighbors_and_probabilities_sum_to_1() -> None:
    slices = answered()
    fresh = joined_without(slices)
    assert torch.allclose(fresh.sum(dim=1), torch.ones(5, 24, 24), atol=1e-5)
    assert slices.probabilities[2].argmax(dim=0)[15, 15] == 0
    assert fresh[2].argmax(dim=0)[15, 15] == 1
    assert fresh[0, 1, 15, 15] == pytest.approx(0.9, abs=0.03)
    assert not fresh[0, 2].any(), "a class that the prompts of a slice lack"


def test_a_neighbor_that_looks_different_does_not_count() -> None:
    slices = answered()
    images = slices.images.clone()
    images[2] = 1.0
    fresh = joined_without(replace(slices, images=images))
    assert torch.allclose(fresh[2], slices.probabilities[2], atol=1e-3)


def test_equal_slices_stay_as_they_are() -> None:
    slices = answered()
    slices.probabilities[:] = slices.probabilities[3]
    assert torch.allclose(joined_without(slices), slices.probabilities, atol=1e-4)


@pytest.mark.parametrize("count", [2, 48, 49, 130])
def test_runs_hold_every_slice_once_and_see_all_within_reach(count: int) -> None:
    parts = runs(count, None)
    assert [number for part, _ in parts for number in part] == list(range(count))
    for part, window in parts:
        assert window == range(max(0, part.start - 2), min(count, part.stop + 2))


@pytest.mark.parametrize("length", [1, 2, 3, 5])
@pytest.mark.parametrize("form", ["matching", "painting"])
def test_results_do_not_depend_on_how_long_the_runs_are(
    length: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, _ = scan((SIZE, SIZE, 9), seed=9)
    task = prompted(random_model(form), zoom="off", min_probability=0.0, probabilities=True)
    whole = task(query)
    monkeypatch.setattr(through_plane, "RUN", length)
    parts = task(query)
    assert np.array_equal(whole.volume.voxels, parts.volume.voxels)
    assert whole.probabilities is not None
    assert parts.probabilities is not None
    assert np.allclose(whole.probabilities.slices, parts.probabilities.slices, atol=2e-3)


def test_labels_of_a_volume_are_averaged_unless_the_options_say_otherwise() -> None:
    query, _ = scan((SIZE, SIZE, 6), seed=9)
    task = prompted(random_model(), zoom="off", min_probability=0.0)
    assert not np.array_equal(task(query).volume.voxels, changed(task, through_plane="off")(query).volume.voxels)


def test_single_slices_and_pictures_are_left_alone() -> None:
    image, _ = scan((SIZE, SIZE, 6))
    query, truth = scan((SIZE, SIZE, 1), seed=9)
    assert np.array_equal(prompted(Learner(), zoom="off", min_probability=0.0)(query).volume.voxels, truth.voxels)
    task = Predictor(random_model()).prompt([image], [image], "denoising")
    assert np.array_equal(task(image).volume.voxels, changed(task, through_plane="off")(image).volume.voxels)


def test_slices_whose_labels_lie_elsewhere_hardly_count() -> None:
    probabilities = torch.full((3, 2, 24, 24), 1e-3)
    for number, column in enumerate((1, 9, 17)):
        probabilities[number, 1, 8:16, column : column + 6] = 0.8
    probabilities[:, 0] = 1 - probabilities[:, 1]
    fresh = joined_without(AnsweredSlices(torch.full((3, 24, 24), 0.5), probabilities))
    assert torch.equal(fresh.argmax(dim=1), probabilities.argmax(dim=1))
    assert torch.allclose(fresh, probabilities, atol=0.1)


@torch.inference_mode()
def test_a_network_starts_as_the_mean_of_both_answers() -> None:
    slices = answered()
    start, alone, averaged = (
        one.log() for one in (joined(slices, ThroughPlane(), (1.0, 1.0)), slices.probabilities, joined_without(slices))
    )
    expected = (alone[2, 1] - alone[2, 0] + averaged[2, 1] - averaged[2, 0]) / 2
    assert torch.allclose((start[2, 1] - start[2, 0])[12:18, 13:19], expected[12:18, 13:19], atol=0.02)


@torch.inference_mode()
def test_a_network_changes_likely_classes_near_where_they_are_likely() -> None:
    slices = answered()
    fresh, before = joined(slices, randomized(ThroughPlane()), (1.0, 1.0)), joined_without(slices)
    assert torch.allclose(fresh.sum(dim=1), torch.ones(5, 24, 24), atol=1e-5)
    assert (fresh - before).abs().max() > 0.05
    assert not fresh[0, 2].any(), "a class that the prompts of a slice lack"
    unlikely = AnsweredSlices(slices.images, torch.cat([slices.probabilities, torch.full((5, 1, 24, 24), 1e-3)], dim=1))
    assert sorted(unlikely.boxes()) == [1, 2]


@pytest.mark.parametrize(("rows", "columns"), [((0, 1), (127, 128)), ((40, 47), (60, 61)), ((0, 128), (3, 90))])
def test_boxes_hold_what_is_likely_and_fit_the_network(rows: tuple[int, int], columns: tuple[int, int]) -> None:
    probabilities = torch.zeros(3, 2, 128, 128)
    probabilities[1, 1, slice(*rows), slice(*columns)] = 0.5
    ((number, box),) = AnsweredSlices(torch.zeros(3, 128, 128), probabilities).boxes().items()
    assert number == 1
    for side, (first, last) in zip(box, (rows, columns), strict=True):
        assert 0 <= side.start <= first < last <= side.stop <= 128
        assert (side.stop - side.start) % MULTIPLE == 0
    AnsweredSlices(torch.zeros(3, 128, 128), probabilities).maps(number, box)


@torch.inference_mode()
def test_a_network_changes_a_label_as_far_as_it_is_trusted() -> None:
    slices, network = answered(), randomized(ThroughPlane())
    before, half, all_of_it = (joined(slices, network, (0.0, share)).log() for share in (0.0, 0.5, 1.0))
    assert torch.allclose(before, joined_without(slices).log())
    changes = [(one[1:, 2] - one[1:, 1]) - (before[1:, 2] - before[1:, 1]) for one in (half, all_of_it)]
    sure = changes[1].abs() < 20  # no probability has become 0
    assert changes[1][sure].abs().max() > 0.5
    assert torch.allclose(2 * changes[0][sure], changes[1][sure], atol=1e-2)


def test_organs_are_trusted_and_lesions_are_not() -> None:
    assert trust_in(np.array([0.0, 0.4, 0.6, 0.8, 1.0])) == pytest.approx((0, 0, 0.5, 1, 1))
