"""What every prompt strategy promises, and what each one is for."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mvg._plugins import contributions
from mvg.errors import UnknownNameError
from mvg.prediction.inference.prompt_cache import describe
from mvg.prediction.inference.query_volume import QueryFeatures, QueryVolume
from mvg.prediction.selection import strategies
from mvg.prediction.selection.retrieval import PromptIndex, QuerySlice, select, spread, thumbnails
from tests.prediction.learner import prompted, random_model
from tests.prediction.scans import scan

NAMES = sorted(contributions(strategies))


def index_of(counts: tuple[int, ...], seed: int = 0) -> PromptIndex:
    """One prompt volume per count, every slice a random picture."""
    rng = np.random.default_rng(seed)
    volume = np.repeat(np.arange(len(counts)), counts)
    number = np.concatenate([np.arange(count) for count in counts])
    return PromptIndex(volume, number, np.repeat(counts, counts), thumbnails(rng.random((len(volume), 32, 32))))


def query_at(number: int, count: int, thumbnail: NDArray[np.float32] | None = None) -> QuerySlice:
    picture = np.random.default_rng(99).random((1, 32, 32))
    return QuerySlice(number, count, thumbnails(picture)[0] if thumbnail is None else thumbnail)


def selected(name: str, query: QuerySlice, index: PromptIndex, count: int, seed: int = 0) -> tuple[int, ...]:
    return select(name, query, index, count, np.random.default_rng(seed))


def recording(index: PromptIndex, described: list[int]) -> PromptIndex:
    """The same slices, with their thumbnails as descriptors; `described` receives every slice that is described."""

    def descriptors(indices: NDArray[np.int64]) -> NDArray[np.float32]:
        described.extend(indices.tolist())
        return index.thumbnails[indices]

    return replace(index, descriptors=descriptors)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("counts", [(1,), (7,), (1, 1, 1), (5, 40, 9), (3,) * 20])
@pytest.mark.parametrize("count", [1, 2, 8, 100])
def test_different_slices_and_no_more_than_requested(name: str, counts: tuple[int, ...], count: int) -> None:
    for number in (0, 4, 8):
        chosen = selected(name, query_at(number, 9), index_of(counts), count)
        assert 1 <= len(chosen) <= count
        assert len(set(chosen)) == len(chosen)
        assert all(0 <= one < sum(counts) for one in chosen)
        assert selected(name, query_at(number, 9), index_of(counts), count) == chosen


@pytest.mark.parametrize("name", NAMES)
def test_different_volumes_come_first(name: str) -> None:
    index = index_of((6, 6, 6, 6))
    chosen = selected(name, query_at(2, 6), index, 4)
    assert len({int(index.volume[one]) for one in chosen}) >= 3


def test_an_unknown_strategy_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="nearest_slice"):
        selected("by_moonlight", query_at(0, 1), index_of((1,)), 1)


def test_the_papers_rule_by_its_formula() -> None:
    index = index_of((17,))
    for number in range(30):
        (chosen,) = selected("paper_rule", query_at(number, 30), index, 1)
        assert index.index[chosen] == number * 17 // 30


def test_the_papers_rule_stays_with_its_volume() -> None:
    index = index_of((5,) * 10)
    chosen = [selected("paper_rule", query_at(number, 30), index, 1, seed=3)[0] for number in range(30)]
    assert len({int(index.volume[one]) for one in chosen}) == 1


def test_nearest_slice_spreads_around_the_relative_position() -> None:
    index = index_of((100,))
    chosen = selected("nearest_slice", query_at(24, 50), index, 5)
    positions = sorted(float(index.position[one]) for one in chosen)
    assert positions == pytest.approx([0.39, 0.44, 0.49, 0.54, 0.59], abs=0.011)


def test_nearest_slice_prefers_similar_slices_among_equally_near_ones() -> None:
    index = index_of((1,) * 12)
    assert selected("nearest_slice", query_at(0, 1, index.thumbnails[7]), index, 1) == (7,)


def test_alike_nearby_selects_the_same_picture_unless_it_is_far_and_describes_few_slices() -> None:
    index = index_of((40, 40))
    described: list[int] = []

    def best(number: int) -> int:
        query = replace(query_at(number, 40, index.thumbnails[63]), descriptor=lambda: index.thumbnails[63])
        return selected("alike_nearby", query, recording(index, described), 1)[0]

    assert best(23) == 63
    assert best(20) == 63, "three slices away"
    assert {int(index.index[one]) for one in described} <= set(range(10, 34)), "no distant slice is described"
    distant = best(2)
    assert distant != 63
    assert index.index[distant] <= 12


class Correlated(PromptIndex):
    """An index whose slices have given correlations with the query."""

    correlations: NDArray[np.float64]

    def feature_correlation(self, query: QuerySlice, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.correlations[indices]


@pytest.mark.parametrize(("correlation", "chosen"), [(0.25, 20), (0.35, 24)])
def test_alike_nearby_weighs_correlation_against_distance(correlation: float, chosen: int) -> None:
    """A tenth of the volume away, a slice must have a correlation that is higher by 0.3."""
    plain = index_of((40,))
    index = Correlated(plain.volume, plain.index, plain.count, np.zeros_like(plain.thumbnails))
    correlations = np.zeros(40)
    correlations[24] = correlation
    object.__setattr__(index, "correlations", correlations)
    assert selected("alike_nearby", replace(query_at(20, 40)), index, 1) == (chosen,)


def test_alike_nearby_describes_no_more_slices_of_many_volumes_than_it_must() -> None:
    index = index_of((9,) * 40)
    described: list[int] = []
    query = replace(query_at(4, 9), descriptor=lambda: index.thumbnails[0])
    chosen = selected("alike_nearby", query, recording(index, described), 8)
    assert len({int(index.volume[one]) for one in chosen}) == 8
    assert len(described) == 64


def test_alike_nearby_describes_evenly_spaced_slices_of_long_volumes() -> None:
    index = index_of((90,) * 8)
    described: list[int] = []
    for number in range(90):
        query = replace(query_at(number, 90), descriptor=lambda: index.thumbnails[0])
        chosen = selected("alike_nearby", query, recording(index, described), 8)
        assert len({int(index.volume[one]) for one in chosen}) == 8
    assert sorted(set(described)) == spread(index.volume).tolist()
    assert np.bincount(index.volume[spread(index.volume)]).tolist() == [24] * 8
    few = index_of((200, 90))
    assert np.bincount(few.volume[spread(few.volume)]).tolist() == [96, 90], "of few volumes more slices"


def test_more_prompts_than_evenly_spaced_slices_are_chosen_among_all() -> None:
    index = index_of((90,) * 8)
    assert len(selected("alike_nearby", query_at(45, 90), index, 300)) == 300


def test_what_prompts_are_compared_on_belongs_to_the_evenly_spaced_slices() -> None:
    index = index_of((90,) * 8)
    assert set(index.without_volume(0, 16)[1].tolist()) <= set(spread(index.volume).tolist())


@pytest.mark.parametrize("name", ["alike_nearby", "nearest_slice"])
def test_a_single_slice_may_lie_anywhere(name: str) -> None:
    index = index_of((40, 40))
    (chosen,) = selected(name, query_at(0, 1, index.thumbnails[42]), index, 1)
    assert chosen == 42, "the second slice of its volume"
    mixed = index_of((40, 1))
    (chosen,) = selected(name, query_at(1, 40, mixed.thumbnails[40]), mixed, 1)
    assert chosen == 40


def test_most_similar_selects_the_same_picture_anywhere() -> None:
    index = index_of((40, 40))
    assert selected("most_similar", query_at(0, 40, index.thumbnails[63]), index, 3)[0] == 63


def test_thumbnails_ignore_brightness_and_contrast() -> None:
    pictures = np.random.default_rng(0).random((3, 48, 48))
    assert thumbnails(pictures) == pytest.approx(thumbnails(pictures * 0.2 + 0.5), abs=1e-4)
    assert not thumbnails(np.ones((1, 48, 48))).any()


@pytest.mark.parametrize("form", ["matching", "merged"])
def test_the_models_features_find_the_same_slice(form: str) -> None:
    task = prompted(random_model(form), count=3, zoom="off", strategy="own_features", num_prompts=2)
    every = np.arange(len(task.prompts))
    query = QueryVolume.of(scan(seed=1)[0], task.prompts, task.spec, task.model.config.size)
    features = QueryFeatures(task.model, query).get([2])  # a slice of the second prompt volume
    described = query.query_slice(2, query.squares(2), lambda square: describe(features[square : square + 1])[0])
    best = int(np.argmax(task.cache.index.feature_correlation(described, every)))
    assert (task.prompts.volume[best], task.prompts.index[best]) == (1, 2)
    assert selected("own_features", described, task.cache.index, 1) == (best,)
    assert np.array_equal(task.cache.descriptors(every[::-1]), task.cache.descriptors(every)[::-1])


def test_slices_of_other_volumes_are_evenly_thinned() -> None:
    index = index_of((5, 40, 9))
    others, kept = index.without_volume(0, 3)
    assert others.index.tolist() == [0, 20, 39, 0, 4, 8]
    assert kept.tolist() == [5, 25, 44, 45, 49, 53]
    assert len(index.without_volume(0)[1]) == 49
