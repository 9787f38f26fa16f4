"""Slices that are sure join the prompts of their neighbours; labels that are unsure are dropped."""

from typing import Any

import numpy as np
import pytest
from torch import Tensor

from mvg.errors import PromptError
from mvg.imaging.frame import Frame
from mvg.imaging.window import Window
from mvg.model.outputs import PromptState
from mvg.prediction.inference import slices as answering
from mvg.prediction.inference.query_volume import QueryVolume
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor, PromptedTask
from tests.prediction.learner import SIZE, Learner, random_model
from tests.prediction.scans import scan


def shown(learner: Learner, **settings: Any) -> PromptedTask:
    images, labels = zip(*(scan(seed=number) for number in range(2)), strict=True)
    return Predictor(learner).prompt(images, labels, zoom="off", **settings)


def test_sure_slices_are_shown_to_their_neighbours_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, tuple[int, ...]]] = []
    views = answering.views

    def spied(query: Any, examples: Any, shelf: Any, settings: Any, painted: bool, extra: tuple[int, ...]) -> Any:
        seen.append((query.index, tuple(int(examples.index[at]) for at in extra)))
        return views(query, examples, shelf, settings, painted, extra)

    monkeypatch.setattr(answering, "views", spied)
    learner = Learner()
    query, truth = scan(seed=9)
    answer = shown(learner, propagate=0.9)(query)
    assert np.array_equal(answer.volume.voxels, truth.voxels)
    first, again = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert all(extra == () for _, extra in first)
    assert again[0] == (0, (1,))
    assert again[2] == (2, (1, 3)), "from below and from above, and never itself"
    assert again[5] == (5, (4,))


class Unsure(Learner):
    """The same answers, with less confidence."""

    def answer(self, query: Tensor, prompts: PromptState, kind: str) -> Tensor:
        return 0.05 * super().answer(query, prompts, kind)


def test_slices_that_are_not_sure_are_not_shown() -> None:
    query, _ = scan(seed=9)
    counted = [Unsure(), Unsure(), Unsure()]
    plain = shown(counted[0])(query)
    gated = shown(counted[1], propagate=0.95)(query)
    shown(counted[2], propagate=0.4)(query)
    assert counted[0].encoded == counted[1].encoded < counted[2].encoded
    assert np.array_equal(plain.volume.voxels, gated.volume.voxels)


def test_labels_less_sure_than_asked_are_dropped() -> None:
    frame = Frame.letterbox((SIZE, SIZE), (1.0, 1.0), SIZE)
    cut = Query(np.zeros((1, SIZE, SIZE), np.float32), "axial", Window(0, 1), (frame,))
    likely = np.zeros((1, 3, SIZE, SIZE), np.float32)
    likely[:, 0] = 1
    likely[0, :, 4:10, 4:10] = np.array([0.4, 0.6, 0.0])[:, None, None]
    likely[0, :, 20:28, 20:28] = np.array([0.1, 0.0, 0.9])[:, None, None]
    numbers, _, sure, _ = cut.labels(likely)
    assert set(np.unique(numbers)) == {0, 1, 2}
    assert 0.6 < sure < 0.9
    numbers, _, sure, dropped = cut.labels(likely, np.full(9, 0.75, np.float32))
    assert set(np.unique(numbers)) == {0, 2}
    assert sure == pytest.approx(0.9, abs=0.02)
    assert dropped == (1,)
    nothing = cut.labels(likely, np.full(9, 0.95, np.float32))
    assert (nothing.numbers.max(), nothing.sure, nothing.dropped) == (0, 0, (1, 2))


@pytest.mark.parametrize("wrong", [{"propagate": -0.1}, {"min_probability": 1.5}])
def test_what_is_no_probability_is_told(wrong: dict[str, float]) -> None:
    with pytest.raises(PromptError, match="probability between 0 and 1"):
        PredictionOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["matching", "merged"])
def test_the_models_own_features_choose(form: str) -> None:
    images, labels = zip(*(scan(seed=number) for number in range(3)), strict=True)
    made = Predictor(random_model(form)).prompt(images, labels, zoom="off", strategy="own_features", num_prompts=2)
    every = np.arange(len(made.prompts))
    features = made.cache.features(every[::-1])
    made.cache.seen_in, see = None, made.cache.seen_in  # type: ignore[method-assign, assignment]
    assert np.array_equal(made.cache.features(every), features[::-1]), "computed once"
    made.cache.seen_in = see  # type: ignore[method-assign]
    query, _ = scan(seed=1)  # one of the prompts: its own slices are most alike
    cut = QueryVolume.of(query, made.prompts, made.spec, SIZE)
    square = cut.squares(2)
    described = cut.described(2, square, made.cache.seen_in)
    shelf = answering.replace(made.prompts.shelf, features=made.cache.features)
    best = int(np.argmax(shelf.likeness(described, every)))
    assert (made.prompts.volume[best], made.prompts.index[best]) == (1, 2)
    assert made(query).volume.shape == query.shape
