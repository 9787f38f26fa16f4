"""Absurd sizes are refused before a network of them is built."""

import json
import resource
from pathlib import Path

import pytest

from mvg.errors import WeightsError
from mvg.model.weights import load_weights, save_weights
from tests.prediction.learner import random_model


@pytest.mark.parametrize(
    ("name", "value"), [("depth", 10**30), ("target_depth", 513), ("fine", 10**6), ("size", 2**15)]
)
def test_absurd_sizes_are_refused_before_a_network_is_built(name: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"{name} = {value}"):
        load_weights(_changed_weights(tmp_path, name, value))


@pytest.mark.parametrize(("name", "value"), [("fine", 2048), ("target_width", 2048), ("width", 2048)])
def test_a_network_that_the_tensors_do_not_fill_takes_no_memory(name: str, value: int, tmp_path: Path) -> None:
    """Each of these would take hundreds of megabytes; the shapes in the weights file refuse it before."""
    folder = _changed_weights(tmp_path, name, value)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match=r"a network of more than \d+ numbers, which the file lacks"):
        load_weights(folder)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken < 16 << 10, f"{taken >> 10} MB"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("decoder_width", 36, r"form\.decoder\S+ is .*32.*, and .*36.* by its config"),
        ("depth", 3, r"form\.\S+ is missing"),
        ("depth", 1, r"form\.\S+ belongs to another network"),
    ],
)
def test_a_network_of_other_shapes_is_named_by_its_first_tensor(
    name: str, value: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=message):
        load_weights(_changed_weights(tmp_path, name, value))


def _changed_weights(folder: Path, name: str, value: int) -> Path:
    """Weights whose config has another value."""
    path = save_weights(random_model(), folder / "weights", "# toy\n").folder
    about = json.loads((path / "config.json").read_text())
    about["config"][name] = value
    (path / "config.json").write_text(json.dumps(about))
    return path
