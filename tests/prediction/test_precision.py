"""Products in 16 bits, chosen by the processor, predict what 32 bits predict."""

import numpy as np
import pytest

import mvg
from mvg.errors import UnknownNameError
from mvg.model.layers import Linear, reduce_precision
from tests.golden.golden import least_dice
from tests.golden.requests import REQUESTS


def _layers(predictor: mvg.Predictor) -> list[Linear]:
    return [module for module in predictor.model.modules() if isinstance(module, Linear)]


@pytest.mark.parametrize(("precision", "capable", "reduced"), [
    ("auto", True, True), ("auto", False, False), ("float32", True, False),
])  # fmt: skip
def test_precision_follows_processor_and_wish(
    precision: str, capable: bool, reduced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvg.prediction.predictor.prefers_bfloat16", lambda device: capable)
    assert {layer.reduced for layer in _layers(mvg.load("tiny", "cpu", precision))} == {reduced}


def test_unknown_precision() -> None:
    with pytest.raises(UnknownNameError, match="auto, float32"):
        mvg.load("tiny", "cpu", "float64")


@pytest.mark.slow
def test_labels_agree() -> None:
    request = REQUESTS["segmentation"]()
    labels = []
    for reduced in (False, True):
        predictor = mvg.load("tiny", "cpu", "float32")
        if reduced:
            reduce_precision(predictor.model)
        task = predictor.prompt(request.images, request.targets)
        labels.append(np.asarray(task(request.query).volume.voxels))
    assert not np.array_equal(*labels), "16 bits round"
    assert least_dice(*labels) >= 0.999
