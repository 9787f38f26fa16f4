"""The options of prediction: what is refused, and the names that saved tasks use."""

from dataclasses import asdict
from typing import Any

import pytest

from mvg.errors import PromptError, UnknownNameError
from mvg.prediction.options import PredictionOptions


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"strategy": "by_moonlight"}, UnknownNameError, "nearest_slice"),
        ({"zoom": "twice"}, UnknownNameError, "off"),
        ({"through_plane": "always"}, UnknownNameError, "off"),
        ({"registration": "always"}, UnknownNameError, "off"),
        ({"num_prompts": 0}, PromptError, "1 or more"),
        ({"members": 0}, PromptError, "1 or more"),
        ({"propagate": -0.1}, PromptError, "probability between 0 and 1"),
        ({"min_probability": 1.5}, PromptError, "probability between 0 and 1"),
        ({"seed": -1}, PromptError, "0 or more"),
        ({"colors": (0.5, 1.5)}, PromptError, "at most 1"),
        ({"colors": (0.0,)}, PromptError, "above 0"),
    ],
)
def test_impossible_values_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PredictionOptions(**options)


def test_saved_options_are_read_under_their_present_and_former_names() -> None:
    options = PredictionOptions("paper_rule", 3, zoom="off", min_probability=0.5, colors=(0.25, 0.75))
    assert PredictionOptions.from_saved(asdict(options) | {"colors": [0.25, 0.75]}) == options
    former = {
        "strategy": "paper_rule", "num_prompts": 3, "members": 1, "seed": 0, "look": "whole", "propagate": 0.0,
        "reject": 0.5, "colors": [0.25, 0.75],
    }  # fmt: skip
    assert PredictionOptions.from_saved(former) == options
    assert PredictionOptions.from_saved(former | {"look": "close"}).zoom == "auto"
    with pytest.raises(TypeError, match="moon"):
        PredictionOptions.from_saved(former | {"moon": 1})
