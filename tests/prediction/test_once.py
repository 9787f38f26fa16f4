"""What is done once: reading a pair, embedding a slice at a scale, also over several queries and threads."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Generic, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from mvg.imaging.volume import LabelMap, Volume
from mvg.model.generalist import Generalist
from mvg.model.outputs import ImageFeatures
from mvg.prediction.inference.query_volume import QueryVolume
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.refinement import rejection
from tests.prediction.learner import random_model, tiny_config
from tests.prediction.scans import AFFINE

_Item = TypeVar("_Item")


class Lazy(Generic[_Item]):
    """A sequence that counts how often each item is read."""

    def __init__(self, items: list[_Item]) -> None:
        self._items, self.reads = items, Counter[int]()

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, number: int) -> _Item:
        self.reads[number] += 1
        return self._items[number]


@pytest.fixture(autouse=True)
def _needs_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random predictions are so certain that nothing would ask for the thresholds of rejection."""
    monkeypatch.setattr(rejection, "_LEVELS", np.array([0, 0.99]))


class Counting(Generalist):
    """Random weights; counts how often each square is embedded, mirrored or not."""

    def __init__(self, delay: float = 0.0) -> None:
        super().__init__(tiny_config())
        self.load_state_dict(random_model().state_dict())
        self.embedded, self.delay = Counter[bytes](), delay

    def embed(self, images: Tensor) -> ImageFeatures:
        self.embedded.update(image.numpy().tobytes() for image in images)
        time.sleep(self.delay)
        return super().embed(images)


def block(seed: int, slices: int = 5) -> tuple[Volume, LabelMap]:
    """A bright block of a quarter of the side in noise, so that prompts are magnified."""
    labels = np.zeros((64, 64, slices), np.int32)
    labels[20 + seed : 36 + seed, 24:40, 1:] = 4
    voxels = np.where(labels > 0, 200.0, 20.0) + np.random.default_rng(seed).uniform(-20, 20, labels.shape)
    return Volume(voxels.astype(np.float32), AFFINE), LabelMap(labels, AFFINE)


def prompted(model: Generalist, strategy: str = "alike_nearby") -> PromptedTask:
    images, labels = zip(*(block(seed) for seed in range(3)), strict=True)
    options = PredictionOptions(strategy=strategy, num_prompts=4, through_plane="off")
    task = Predictor(model).prompt(images, labels, options=options)
    assert task.zoom is not None
    return task


@pytest.mark.parametrize("task", ["segmentation", None])
def test_every_prompt_image_and_target_is_read_once(task: str | None) -> None:
    pairs = [block(seed) for seed in range(3)]
    images, targets = Lazy([image for image, _ in pairs]), Lazy([labels for _, labels in pairs])
    prompted = Predictor(random_model()).prompt(images, targets, task)
    assert prompted.zoom is not None, "also where the labels are measured and magnified"
    prompted(block(7)[0])
    assert images.reads == targets.reads == {0: 1, 1: 1, 2: 1}


@pytest.mark.parametrize("kind", ["denoising", "synthesis", "inpainting"])
def test_every_pair_of_pictures_is_read_once(kind: str) -> None:
    volumes = [block(seed)[0] for seed in range(3)]
    images, targets = Lazy(volumes), Lazy([Volume(300 - image.voxels, image.affine) for image in volumes])
    Predictor(random_model()).prompt(images, targets, kind)(volumes[0])
    assert images.reads == targets.reads == {0: 1, 1: 1, 2: 1}


def squares_of(task: PromptedTask) -> Iterator[bytes]:
    """All prompt slices at their scales, as they are embedded."""
    for prompts in (task.prompts, *(region.prompts for region in task.zoom.regions if task.zoom)):
        yield from (image.tobytes() for image in prompts.image_batch(range(len(prompts))))


@pytest.mark.parametrize("strategy", ["alike_nearby", "own_features", "most_similar"])
def test_every_prompt_slice_and_every_query_square_is_embedded_once_per_scale(strategy: str) -> None:
    model = Counting()
    task = prompted(model, strategy)
    for seed in (7, 8):
        assert task(block(seed)[0]).volume.voxels.any()
    assert task.cache.thresholds, "prompts are predicted from other prompts, too"
    assert set(model.embedded.values()) == {1}
    queries = set(model.embedded) - set(squares_of(task))
    assert len(queries) in (2 * 5, 2 * 2 * 5), "each query at one scale or two"
    if strategy == "own_features":
        assert set(squares_of(task)) - set(model.embedded) in (set(), set(list(squares_of(task))[len(task.prompts) :]))


def test_mirrored_squares_are_embedded_once_too() -> None:
    model = Counting()
    task = prompted(model)
    task = task.with_options(PredictionOptions(members=4, zoom="off"))
    task(block(7)[0])
    assert set(model.embedded.values()) == {1}


@pytest.mark.parametrize("kind", ["denoising", "synthesis"])
def test_every_query_slice_is_windowed_and_framed_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cut, squares = Counter[int](), QueryVolume.squares

    def counted(query: QueryVolume, number: int) -> NDArray[np.float32]:
        cut[number] += 1
        return squares(query, number)

    volumes = [block(seed)[0] for seed in range(3)]
    targets = [Volume(300 - image.voxels, image.affine) for image in volumes]
    task = Predictor(random_model()).prompt(volumes, targets, kind)
    monkeypatch.setattr(QueryVolume, "squares", counted)
    task(volumes[0])
    assert cut == dict.fromkeys(range(5), 1)


def test_two_threads_predict_what_one_does_and_share_what_they_compute() -> None:
    query, _ = block(7)
    alone = prompted(Counting())(query)
    for _ in range(3):
        model = Counting(delay=0.002)
        task, barrier = prompted(model), Barrier(2)

        def predict(task: PromptedTask = task, barrier: Barrier = barrier) -> Volume | LabelMap:
            barrier.wait()
            return task(query).volume

        with ThreadPoolExecutor(2) as pool:
            first, second = (future.result() for future in [pool.submit(predict) for _ in range(2)])
        assert np.array_equal(first.voxels, alone.volume.voxels)
        assert np.array_equal(second.voxels, alone.volume.voxels)
        prompts = set(squares_of(task))
        assert {count for square, count in model.embedded.items() if square in prompts} == {1}
        assert task.cache.thresholds
