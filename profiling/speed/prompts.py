"""The time of a query slice with 1, 4 and 16 prompts that were encoded before."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from mvg.imaging.volume import LabelMap, Volume
from mvg.model.config import GeneralistConfig
from mvg.model.generalist import Generalist
from mvg.model.outputs import PromptState
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from profiling.speed.timing import Timing, time_in_turn

_SLICES = 16


def encoded_prompts(
    config: GeneralistConfig, rounds: int, seed: int, classes: int, counts: tuple[int, ...] = (1, 4, 16)
) -> dict[str, Any]:
    """Time of one query slice with each of `counts` prompts: of the model alone, and of a volume through the public
    interface (windows, frames, strategy and labels included).

    The weights are random: time does not depend on them. Goal: 16 prompts cost at most 1.3 x what 1 costs.
    """
    torch.manual_seed(seed)
    model = Generalist(config).eval()
    functions = _model_calls(model, classes, counts) | _volume_calls(model, classes, counts, seed)
    timings = time_in_turn(functions, rounds)
    return {
        "config": config.as_dict(),
        "classes": classes,
        "rounds": rounds,
        "times": {name: timing.summary() for name, timing in timings.items()},
        "ratios": _ratios(timings, counts),
    }


def predict_slice(model: Generalist, query: torch.Tensor, state: PromptState) -> torch.Tensor:
    """Embed and answer query slices (b, i, s, s)."""
    with torch.inference_mode():
        return model.answer(model.embed(query), state, "labels")


def _model_calls(model: Generalist, classes: int, counts: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    size, channels = model.config.size, 1 if model.config.paints else classes
    query = torch.rand(1, 1, size, size)
    functions: dict[str, Callable[[], object]] = {}
    for count in counts:
        with torch.inference_mode():
            features = model.embed(torch.rand(count, 1, size, size))
            state = model.encode(features, torch.rand(1, count, channels, size, size), "labels")
        functions[f"model, {count} prompts"] = partial(predict_slice, model, query, state)
    return functions


def _volume_calls(
    model: Generalist, classes: int, counts: tuple[int, ...], seed: int
) -> dict[str, Callable[[], object]]:
    rng, size = np.random.default_rng(seed), model.config.size
    query, levels = _volume(size, _SLICES, rng), np.linspace(0.5, 1, classes, endpoint=False)
    functions: dict[str, Callable[[], object]] = {}
    for count in counts:
        images = [_volume(size, 1, rng) for _ in range(count)]
        labels = [LabelMap(np.digitize(image.voxels, levels), image.affine) for image in images]
        task = Predictor(model).prompt(images, labels, options=PredictionOptions(num_prompts=count))
        functions[f"volume of {_SLICES} slices, {count} prompts"] = partial(task, query)
    return functions


def _ratios(timings: dict[str, Timing], counts: tuple[int, ...]) -> dict[str, dict[str, float]]:
    first, *others = counts
    return {
        f"{name}, {count} / {first} prompts": timings[f"{name}, {count} prompts"].ratio_to(
            timings[f"{name}, {first} prompts"]
        )
        for name in ("model", f"volume of {_SLICES} slices")
        for count in others
    }


def _volume(side: int, slices: int, rng: np.random.Generator) -> Volume:
    return Volume(rng.random((side, side, slices), np.float32), np.diag([-1.0, -1.0, 3.0, 1.0]))
