"""Long prompt volumes are thinned evenly; short ones keep every slice."""

import numpy as np
import pytest

from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.prompts.cutting import SliceLayout
from mvg.prediction.prompts.pairs import PairReader, PromptPairs
from mvg.prediction.prompts.prompt_set import prepare
from mvg.prediction.prompts.task_choice import task_spec

MOST = 384


def pairs_of(*lengths: int) -> PromptPairs:
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    rng = np.random.default_rng(0)
    images = [Volume(rng.random((16, 16, length), np.float32), affine) for length in lengths]
    return PromptPairs(images, [LabelMap(image.voxels > 0.5, affine) for image in images])


@pytest.mark.parametrize(("lengths", "expected"), [
    ((500,), (MOST,)), ((300, 40), (MOST // 2, 40)), ((100, 100, 100), (100, 100, 100)), ((9,) * 60, (8,) * 60),
])  # fmt: skip
def test_all_volumes_together_give_so_many_slices(lengths: tuple[int, ...], expected: tuple[int, ...]) -> None:
    prompts = prepare(PairReader(pairs_of(*lengths), task_spec("segmentation")), SliceLayout(16))
    assert tuple(np.bincount(prompts.volume)) == expected
    for volume, length in enumerate(lengths):
        index = prompts.index[prompts.volume == volume]
        assert (index[0], index[-1]) == (0, length - 1)
        assert np.ptp(np.diff(index)) <= 1, "evenly spaced"
    assert (prompts.count == np.repeat(lengths, expected)).all()


@pytest.mark.parametrize("values", [(2, 5), (3, 70_000), (-4, 7)])
def test_labels_are_numbered_in_their_order(values: tuple[int, int]) -> None:
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    image = Volume(np.random.default_rng(0).random((16, 16, 4), np.float32), affine)
    labels = np.where(image.voxels > 0.7, values[0], np.where(image.voxels > 0.4, values[1], 0)).astype(np.int32)
    pairs = PromptPairs([image], [LabelMap(labels, affine)])
    prompts = prepare(PairReader(pairs, task_spec("segmentation")), SliceLayout(16))
    assert prompts.values == values
    expected = np.searchsorted([*values], labels) + 1
    assert np.array_equal(np.bincount(prompts.targets.ravel()), np.bincount(np.where(labels == 0, 0, expected).ravel()))
