"""Which colors classes are asked in: as far apart as can be, or those that the weights learnt."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mvg.errors import PromptError
from mvg.model.generalist import Generalist
from mvg.model.outputs import PromptState
from mvg.prediction.inference.prompt_cache import PromptView
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor, PromptedTask
from tests.prediction.learner import tiny_config
from tests.prediction.scans import scan


class Copying(Generalist):
    """Paints every pixel of a query as pixels of about its intensity are painted in the prompts; keeps what it saw."""

    def __init__(self) -> None:
        super().__init__(tiny_config("merged"))
        self.seen: list[set[float]] = []

    def encode(self, images: Tensor, targets: Tensor) -> PromptState:
        self.seen.append({round(color, 3) for color in targets.unique().tolist()})
        return PromptState((images[:, :, 0],), (targets[:, :, 0, :, None],), images.shape[1])

    def answer(self, query: Tensor, prompts: PromptState, kind: str) -> Tensor:
        images, targets = prompts.keys[0][0].float(), prompts.values[0][0, :, :, 0].float()
        shown = torch.stack([(images * 16).round(), targets], dim=-1).flatten(0, -2).unique(dim=0)
        return shown[(query[..., None] * 16 - shown[:, 0]).abs().argmin(-1), 1]


def prompted(model: Generalist) -> PromptedTask:
    images, labels = zip(*(scan(seed=number) for number in range(2)), strict=True)
    return Predictor(model).prompt(images, labels, zoom="off", min_probability=0.0)


@pytest.mark.parametrize(
    ("colors", "seen"),
    [((), [{0, 0.5, 1}]), ((0.25, 0.75), [{0, 0.25, 0.75}]), ((1.0, 1.0), [{0, 1}]), ((0.5, 0.5), [{0, 0.5}])],
)
def test_classes_are_asked_in_their_colors(colors: tuple[float, ...], seen: list[set[float]]) -> None:
    model, (query, truth) = Copying(), scan(seed=9)
    answer = prompted(model).using(colors=colors)(query)
    assert all(shown in seen for shown in model.seen)
    assert np.array_equal(answer.volume.voxels, truth.voxels), "also where every class takes a pass of its own"


def test_an_ensemble_keeps_the_colors_that_were_learnt() -> None:
    model, (query, truth) = Copying(), scan(seed=9)
    answer = prompted(model).using(colors=(0.25, 0.75), members=3)(query)
    assert all(shown == {0, 0.25, 0.75} for shown in model.seen)
    assert np.array_equal(answer.volume.voxels, truth.voxels)


def test_classes_of_one_color_take_passes_of_their_own() -> None:
    view = PromptView((3,), colors=(1.0, 0.5, 0.0, 1.0, 1.0))
    assert [one.colors for one in view.passes()] == [
        (1.0, 0.5, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 0.0, 1.0),
    ]  # fmt: skip
    assert PromptView((3,)).passes() == (PromptView((3,)),)


def test_colors_are_saved_with_a_task(tmp_path: Path) -> None:
    task = prompted(Copying()).using(colors=(0.25, 0.75))
    task.save(tmp_path / "a.mvgtask")
    again = Predictor(Copying()).load_task(tmp_path / "a.mvgtask")
    assert again.options == task.options
    hash(again.options)  # what is found out for settings is kept by them


def test_what_are_no_colors_is_told() -> None:
    with pytest.raises(PromptError, match="at most 1"):
        PredictionOptions(colors=(0.5, 1.5))
    with pytest.raises(PromptError, match="one for each of 2 classes"):
        prompted(Copying()).using(colors=(0.5,))(scan(seed=9)[0])
    with pytest.raises(PromptError, match="0 or more"):
        PredictionOptions(seed=-1)
