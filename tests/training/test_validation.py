"""Validation while training."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from mvg.canvas import Pairs
from mvg.data import Store, prepare
from mvg.data.case import split_of
from mvg.model.generalist import Generalist
from mvg.model.outputs import ImageFeatures, PromptState, TargetType
from mvg.training.validation import ValidationSettings, predict, validation
from tests.data.folders import make_mri
from tests.training.conftest import TRAIN, Make


class Copies(Generalist):
    """Predicts the target of the first prompt, which is right where all patients are equal."""

    def encode(self, features: ImageFeatures, targets: Tensor, target_type: TargetType) -> PromptState:
        self.first = targets[:, 0]
        return super().encode(features, targets, target_type)

    def answer(self, features: ImageFeatures, prompts: PromptState, target_type: TargetType) -> Tensor:
        if not self.config.paints and target_type == "labels":
            return 20 * (2 * self.first - 1)
        return self.first


@pytest.mark.parametrize("model", [{"form": "matching"}, {"form": "matching", "paint": True}, {"form": "merged"}])
def test_right_predictions_score_one(store: Store, make_recipe: Make, tmp_path: Path, model: dict[str, Any]) -> None:
    scores = validation(store, ValidationSettings(per_set=3, prompts=2))(
        Copies(make_recipe(model=model).model), tmp_path, 12
    )
    assert scores["iou/mri"] == scores["iou"] == pytest.approx(1.0)
    assert 5 < scores["psnr/mri/synthesis"] < 60
    assert {"psnr/mri/inpainting", "psnr/inpainting", "psnr/synthesis"} <= set(scores)
    with Image.open(tmp_path / "pictures/0000012.png") as picture:
        assert picture.width == 5 * 32
        assert picture.height % 32 == 0


def test_a_new_network_scores_badly_and_always_the_same(store: Store, make_recipe: Make, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Generalist(make_recipe("merged").model).eval()
    one = validation(store, ValidationSettings(per_set=2, prompts=2))(model, tmp_path, 1)
    two = validation(store, ValidationSettings(per_set=2, prompts=2))(model, tmp_path, 2)
    assert one == two
    assert one["iou/mri"] < 0.3


def test_without_patients_to_validate_there_are_no_scores(make_recipe: Make, tmp_path: Path) -> None:
    make_mri(tmp_path / "raw/mri", dict.fromkeys(TRAIN[:3], (16, 16, 2)))
    prepare([tmp_path / "raw/mri"], tmp_path / "store")
    validate = validation(Store.open(tmp_path / "store"), ValidationSettings())
    assert validate(Generalist(make_recipe().model), tmp_path, 1) == {}
    assert not (tmp_path / "pictures").exists()


def requests(
    store: Store, model: Generalist, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> list[Pairs]:
    """The requests of a validation."""
    requests_made: list[Pairs] = []

    def spy(model: Generalist, pairs: Pairs) -> Tensor:
        requests_made.append(pairs)
        return predict(model, pairs)

    monkeypatch.setattr("mvg.training.validation.predict", spy)
    validation(store, ValidationSettings(per_set=4, prompts=2, **settings))(model.eval(), folder, 1)
    assert requests_made
    return requests_made


@pytest.mark.parametrize(("most", "expected"), [(800, 4), (7, 2), (1, 1)])
def test_many_tasks_have_fewer_queries_each(
    store: Store, make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, expected: int
) -> None:
    made = requests(store, Generalist(make_recipe().model), tmp_path, monkeypatch, most=most)
    counts = Counter(name.split(":")[0] for pairs in made for name in pairs.names)
    assert set(counts) == {"mri/segmentation", "mri/inpainting", "mri/synthesis"}
    assert set(counts.values()) == {expected}


def test_queries_are_of_patients_that_are_never_trained_on(
    store: Store, make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pairs in requests(store, Generalist(make_recipe().model), tmp_path, monkeypatch):
        *prompts, query = pairs.patients[0]
        assert split_of(query) == "val"
        assert {split_of(prompt) for prompt in prompts} == {"train"}


@pytest.mark.parametrize(("coloring", "colors"), [("random", None), ("predefined", {(0.5, 1.0)}), ("binary", {(1.0,)})])
def test_requests_have_the_kinds_and_colors_of_training(
    store: Store, make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coloring: str, colors: Any
) -> None:
    model = Generalist(make_recipe("merged").model)
    requests_made = requests(store, model, tmp_path, monkeypatch, kinds=("segmentation",), coloring=coloring)
    assert {pairs.target_type for pairs in requests_made} == {"labels"}
    colors_used = {tuple(sorted(pairs.colors[0].tolist())) for pairs in requests_made}
    assert colors_used == colors if colors else len(colors_used) > 1
