"""The weights that ship predict what is stored in predictions.json (written by `python -m tests.golden.make`)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mvg
from tests.golden.golden import block_means, labels_of, least_dice, squared_error
from tests.golden.requests import GRAY, REQUESTS, WHITE, predict

_GOLDEN = json.loads(Path(__file__).with_name("predictions.json").read_text(encoding="utf-8"))["predictions"]
_LEAST_DICE, _MOST_DECIBELS = 0.999, 0.05
_MOST_BLOCK = 0.005  # of the range of the truth


@pytest.mark.slow
def test_segmentation() -> None:
    request, golden = REQUESTS["segmentation"](), _GOLDEN["segmentation"]
    prediction = predict(request)
    assert isinstance(prediction, mvg.LabelMap)
    assert prediction.values == (GRAY, WHITE)
    assert np.array_equal(prediction.affine, request.query.affine)
    assert least_dice(labels_of(golden), request.truth) > 0.75, "the stored labels are those of the tissues"
    assert least_dice(prediction.voxels, labels_of(golden)) >= _LEAST_DICE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["synthesis", "inpainting", "denoising"])
def test_pictures(name: str) -> None:
    request, golden = REQUESTS[name](), _GOLDEN[name]
    prediction = predict(request)
    assert isinstance(prediction, mvg.Volume)
    assert np.array_equal(prediction.affine, request.query.affine)
    error = squared_error(prediction.voxels, request.truth, request.region)
    assert abs(10 * np.log10(error / golden["squared_error"])) <= _MOST_DECIBELS
    apart = np.abs(block_means(prediction.voxels) - _means(golden)).max()
    assert apart <= _MOST_BLOCK * np.ptp(request.truth)


def _means(golden: dict[str, Any]) -> Any:
    return np.array(golden["block_means"])
