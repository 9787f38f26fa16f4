"""What a query slice costs: with 1, 4 and 16 prompts encoded once, and against a canvas that recomputes them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.speed.turns import in_turn
from mvg.imaging.volume import LabelMap, Volume
from mvg.model.answer import Prompts
from mvg.model.generalist import SIZES, Generalist, GeneralistConfig
from mvg.prediction.predictor import Predictor

_SLICES = 16


def prompts_kept(
    config: GeneralistConfig, rounds: int, seed: int, classes: int, counts: tuple[int, ...] = (1, 4, 16)
) -> dict[str, Any]:
    """Time of one query slice with `counts` prompts that were encoded before: the model alone, and a volume through the
    public interface (windows, frames, strategy and labels included).

    Random weights: time does not depend on them. Goal: 16 prompts cost at most 1.3 x what 1 costs.
    """
    torch.manual_seed(seed)
    model = Generalist(config).eval()
    channels = classes if config.form == "matching" else 1
    query = torch.rand(1, 1, config.size, config.size)
    calls: dict[str, Callable[[], object]] = {}
    for count in counts:
        with torch.inference_mode():
            images = torch.rand(1, count, 1, config.size, config.size)
            encoded = model.encode(images, torch.rand(1, count, channels, config.size, config.size))
        calls[f"model, {count} prompts"] = partial(_asked, model, query, encoded, False)
    rng = np.random.default_rng(seed)
    volume = _volume(config.size, _SLICES, rng)
    for count in counts:
        shown = [_volume(config.size, 1, rng) for _ in range(count)]
        labels = [
            LabelMap(np.digitize(one.voxels, np.linspace(0.5, 1, classes, endpoint=False)), one.affine) for one in shown
        ]
        task = Predictor(model).prompt(shown, labels, num_prompts=count)
        calls[f"volume of {_SLICES} slices, {count} prompts"] = partial(task, volume)
    seconds = in_turn(calls, rounds)
    ratios: dict[str, dict[str, float]] = {}
    for what in ("model", f"volume of {_SLICES} slices"):
        least = seconds[f"{what}, {counts[0]} prompts"]
        ratios |= {f"{what}, {count} / {counts[0]} prompts": seconds[f"{what}, {count} prompts"].over(least)
                   for count in counts[1:]}  # fmt: skip
    return {
        "config": config.as_dict(),
        "classes": classes,
        "rounds": rounds,
        "times": {name: values.summed_up() for name, values in seconds.items()},
        "ratios": ratios,
    }


def prompts_recomputed(rounds: int, seed: int, config: GeneralistConfig = SIZES["large"]) -> dict[str, Any]:
    """Time of one query slice with one prompt at the paper's size: prompts kept, against a canvas of prompt and query
    that is computed anew and painted whole for every slice, as in the authors' released code; in 32 and 16 bit.

    Goal: kept and bf16 together at least 5 x faster than the canvas in fp32. Both run our merged form; the canvas lets
    all panels attend to one another after the merge.
    """
    torch.manual_seed(seed)
    config = replace(config, drop_path=0.0)
    model = Generalist(config).eval()
    grid = config.size // config.patch
    images, targets = torch.rand(1, 2, 1, config.size, config.size), torch.rand(1, 2, 1, config.size, config.size)
    visible = torch.ones(1, 2, grid, grid, dtype=torch.bool)
    visible[:, 1] = False
    calls: dict[str, Callable[[], object]] = {}
    for name, half in (("fp32", False), ("bf16", True)):
        net = Generalist(config).eval()
        net.load_state_dict(model.state_dict())
        if half:
            _halve(net)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            encoded = net.encode(images[:, :1], targets[:, :1])
        calls[f"canvas, {name}"] = partial(_canvas, net, images, targets, visible, half)
        calls[f"kept, {name}"] = partial(_asked, net, images[:, 1], encoded, half)
    del model
    seconds = in_turn(calls, rounds)
    slow = seconds["canvas, fp32"]
    return {
        "config": config.as_dict(),
        "parameters": sum(weight.numel() for weight in net.parameters()),
        "rounds": rounds,
        "times": {name: values.summed_up() for name, values in seconds.items()},
        "ratios": {
            f"canvas, fp32 / {name}": slow.over(values) for name, values in seconds.items() if name != "canvas, fp32"
        },
    }


def _asked(model: Generalist, query: torch.Tensor, encoded: Prompts, half: bool) -> None:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        model.answer(query, encoded, "labels")


def _canvas(model: Generalist, images: torch.Tensor, targets: torch.Tensor, visible: torch.Tensor, half: bool) -> None:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        model(images, targets, visible, "full", 0)


def _halve(model: Generalist) -> None:
    """Weights of products and convolutions in bf16, so that autocast need not cast them in every call."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(torch.bfloat16)


def _volume(side: int, slices: int, rng: np.random.Generator) -> Volume:
    return Volume(rng.random((side, side, slices), np.float32), np.diag([-1.0, -1.0, 3.0, 1.0]))
