"""What every prompt strategy promises, and what each one is for."""

from dataclasses import replace

import numpy as np
import pytest

from mvg._plugins import contributions
from mvg.prediction.selection import strategies
from mvg.prediction.selection.retrieval import PromptIndex, QuerySlice, thumbnails

NAMES = sorted(contributions(strategies))


def shelf(counts: tuple[int, ...], seed: int = 0) -> PromptIndex:
    """One prompt volume per count, every slice a random picture."""
    rng = np.random.default_rng(seed)
    volume = np.repeat(np.arange(len(counts)), counts)
    index = np.concatenate([np.arange(count) for count in counts])
    return PromptIndex(volume, index, np.repeat(counts, counts), thumbnails(rng.random((len(volume), 32, 32))))


def query(index: int, count: int, like: np.ndarray | None = None) -> QuerySlice:
    look = np.random.default_rng(99).random((1, 32, 32))
    return QuerySlice(index, count, thumbnails(look)[0] if like is None else like)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("counts", [(1,), (7,), (1, 1, 1), (5, 40, 9), (3,) * 20])
@pytest.mark.parametrize("count", [1, 2, 8, 100])
def test_some_different_slices_and_no_more_than_asked(name: str, counts: tuple[int, ...], count: int) -> None:
    for index in (0, 4, 8):
        chosen = choose(name, query(index, 9), shelf(counts), count, np.random.default_rng(0))
        assert 1 <= len(chosen) <= count
        assert len(set(chosen)) == len(chosen)
        assert all(0 <= one < sum(counts) for one in chosen)
        again = choose(name, query(index, 9), shelf(counts), count, np.random.default_rng(0))
        assert chosen == again


@pytest.mark.parametrize("name", NAMES)
def test_different_volumes_come_first(name: str) -> None:
    found = shelf((6, 6, 6, 6))
    chosen = choose(name, query(2, 6), found, 4, np.random.default_rng(0))
    assert len({int(found.volume[one]) for one in chosen}) >= 3


def test_the_papers_rule_by_its_formula() -> None:
    found = shelf((17,))
    for index in range(30):
        (chosen,) = choose("paper_rule", query(index, 30), found, 1, np.random.default_rng(0))
        assert found.index[chosen] == index * 17 // 30


def test_the_papers_rule_stays_with_its_volume() -> None:
    found = shelf((5,) * 10)
    volumes = {
        int(found.volume[choose("paper_rule", query(index, 30), found, 1, np.random.default_rng(3))[0]])
        for index in range(30)
    }
    assert len(volumes) == 1


def test_nearest_slice_spreads_around_the_relative_position() -> None:
    found = shelf((100,))
    chosen = choose("nearest_slice", query(24, 50), found, 5, np.random.default_rng(0))
    positions = sorted(float(found.position[one]) for one in chosen)
    assert positions == pytest.approx([0.39, 0.44, 0.49, 0.54, 0.59], abs=0.011)


def test_nearest_slice_prefers_likeness_among_equally_near() -> None:
    found = shelf((1,) * 12)
    chosen = choose("nearest_slice", query(0, 1, found.thumbnails[7]), found, 1, np.random.default_rng(0))
    assert chosen == (7,)


def test_alike_nearby_finds_the_same_picture_if_it_is_not_far_and_looks_at_little() -> None:
    found = shelf((40, 40))
    seen: list[int] = []

    def features(at: np.ndarray) -> np.ndarray:
        seen.extend(at.tolist())
        return found.thumbnails[at]

    def best(index: int) -> int:
        asked = query(index, 40, found.thumbnails[63])
        asked = replace(asked, features=lambda: found.thumbnails[63])
        return choose("alike_nearby", asked, replace(found, features=features), 1, np.random.default_rng(0))[0]

    assert best(23) == 63
    assert best(20) == 63, "three slices away"
    assert {int(found.index[one]) for one in seen} <= set(range(10, 34)), "nothing far away is looked at"
    far = best(2)
    assert far != 63
    assert found.index[far] <= 12


def test_alike_nearby_looks_at_no_more_slices_of_many_volumes_than_it_must() -> None:
    found = shelf((9,) * 40)
    seen: list[int] = []

    def features(at: np.ndarray) -> np.ndarray:
        seen.extend(at.tolist())
        return found.thumbnails[at]

    asked = replace(query(4, 9), features=lambda: found.thumbnails[0])
    chosen = choose("alike_nearby", asked, replace(found, features=features), 8, np.random.default_rng(0))
    assert len({int(found.volume[one]) for one in chosen}) == 8
    assert len(seen) == 64


@pytest.mark.parametrize("name", ["alike_nearby", "nearest_slice"])
def test_a_slice_that_is_alone_may_lie_anywhere(name: str) -> None:
    found = shelf((40, 40))
    (chosen,) = choose(name, query(0, 1, found.thumbnails[42]), found, 1, np.random.default_rng(0))
    assert chosen == 42, "the second slice of its volume"
    mixed = shelf((40, 1))
    (chosen,) = choose(name, query(1, 40, mixed.thumbnails[40]), mixed, 1, np.random.default_rng(0))
    assert chosen == 40


def test_most_similar_finds_the_same_picture_anywhere() -> None:
    found = shelf((40, 40))
    chosen = choose("most_similar", query(0, 40, found.thumbnails[63]), found, 3, np.random.default_rng(0))
    assert chosen[0] == 63


def test_thumbnails_ignore_brightness_and_contrast() -> None:
    pictures = np.random.default_rng(0).random((3, 48, 48))
    assert thumbnails(pictures) == pytest.approx(thumbnails(pictures * 0.2 + 0.5), abs=1e-4)
    assert not thumbnails(np.ones((1, 48, 48))).any()
