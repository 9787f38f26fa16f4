"""In which colors classes are painted: as far apart as possible, or those that the weights learned."""

from pathlib import Path

import numpy as np
import pytest

from mvg.errors import PromptError
from mvg.prediction.inference.prompt_cache import PromptView
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from tests.prediction.learner import Copying, changed, prompted
from tests.prediction.scans import scan


def painted(model: Copying) -> PromptedTask:
    return prompted(model, zoom="off", min_probability=0.0)


@pytest.mark.parametrize(
    ("colors", "passes"),
    [((), [{0, 0.5, 1}]), ((0.25, 0.75), [{0, 0.25, 0.75}]), ((1.0, 1.0), [{0, 1}]), ((0.5, 0.5), [{0, 0.5}])],
)
def test_classes_are_painted_in_their_colors(colors: tuple[float, ...], passes: list[set[float]]) -> None:
    model, (query, truth) = Copying(), scan(seed=9)
    prediction = changed(painted(model), colors=colors)(query)
    assert model.colors
    assert all(one in passes for one in model.colors)
    assert np.array_equal(prediction.volume.voxels, truth.voxels), "also where every class takes a pass of its own"


def test_an_ensemble_keeps_fixed_colors() -> None:
    model, (query, truth) = Copying(), scan(seed=9)
    prediction = changed(painted(model), colors=(0.25, 0.75), members=3)(query)
    assert all(one == {0, 0.25, 0.75} for one in model.colors)
    assert np.array_equal(prediction.volume.voxels, truth.voxels)


def test_classes_of_one_color_take_passes_of_their_own() -> None:
    view = PromptView((3,), colors=(1.0, 0.5, 0.0, 1.0, 1.0))
    assert [one.colors for one in view.passes()] == [
        (1.0, 0.5, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 0.0, 1.0),
    ]  # fmt: skip
    assert PromptView((3,)).passes() == (PromptView((3,)),)


def test_colors_are_saved_with_a_task(tmp_path: Path) -> None:
    task = changed(painted(Copying()), colors=(0.25, 0.75))
    task.save(tmp_path / "a.mvgtask")
    again = Predictor(Copying()).load_task(tmp_path / "a.mvgtask")
    assert again.options == task.options
    assert hash(again.options) == hash(task.options)


def test_another_number_of_colors_than_of_classes_is_refused() -> None:
    with pytest.raises(PromptError, match="one for each of 2 classes"):
        changed(painted(Copying()), colors=(0.5,))(scan(seed=9)[0])
