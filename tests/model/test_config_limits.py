"""Absurd sizes are refused before a network of them is built."""

import json
from pathlib import Path

import pytest

from mvg.errors import WeightsError
from mvg.model.weights import load_weights, save_weights
from tests.prediction.learner import random_model


@pytest.mark.parametrize(
    ("name", "value"), [("depth", 10**30), ("target_depth", 513), ("fine", 10**6), ("size", 2**15)]
)
def test_absurd_sizes_are_refused_before_a_network_is_built(name: str, value: int, tmp_path: Path) -> None:
    folder = save_weights(random_model(), tmp_path / "weights", "# toy\n").folder
    about = json.loads((folder / "config.json").read_text())
    about["config"][name] = value
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(WeightsError, match=f"{name} = {value}"):
        load_weights(folder)
