"""What a query slice costs: with 1, 4 and 16 prompts encoded once, and against a canvas that recomputes them."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from mvg.imaging.volume import LabelMap, Volume
from mvg.model.config import SIZES, GeneralistConfig
from mvg.model.generalist import Generalist
from mvg.model.outputs import PromptState
from mvg.prediction.predictor import Predictor
from profiling.speed.turns import in_turn

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
    channels = 1 if config.paints else classes
    query = torch.rand(1, 1, config.size, config.size)
    calls: dict[str, Callable[[], object]] = {}
    for count in counts:
        with torch.inference_mode():
            features = model.embed(torch.rand(count, 1, config.size, config.size))
            encoded = model.encode(features, torch.rand(1, count, channels, config.size, config.size), "labels")
        calls[f"model, {count} prompts"] = partial(_asked, model, query, encoded)
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


def prompts_recomputed(
    rounds: int, seed: int, config: GeneralistConfig = SIZES["large"], counts: tuple[int, ...] = (1, 4)
) -> dict[str, Any]:
    """Time of one query slice at the paper's size: prompts kept, against a canvas of prompts and query that is computed
    anew and painted whole for every slice, as in the authors' released code; kept also in bf16 and in int8.

    Goal: kept and fewer bits together at least 5 x faster than the canvas in fp32. All run our merged form; the canvas
    lets all panels attend to one another after the merge. int8: weights and inputs of products rounded to 8 bits
    (PyTorch's dynamic quantization), "int8_error" being how far that moves the answer, of its own spread.
    """
    torch.manual_seed(seed)
    config = replace(config, drop_path=0.0)
    model = Generalist(config).eval()
    nets = {"fp32": model, "bf16": _halved(model), "int8": _quantized(model)}
    grid = config.size // config.patch
    calls: dict[str, Callable[[], object]] = {}
    answers: dict[str, torch.Tensor] = {}
    for count in counts:
        images, targets = (torch.rand(1, count + 1, 1, config.size, config.size) for _ in range(2))
        visible = torch.ones(1, count + 1, grid, grid, dtype=torch.bool)
        visible[:, -1] = False
        with torch.inference_mode():
            encoded = model.encode(model.embed(images[0, :-1]), targets[:, :-1], "labels")
        calls[f"canvas, {count} prompts, fp32"] = partial(_canvas, model, images, targets, visible)
        for name, net in nets.items():
            calls[f"kept, {count} prompts, {name}"] = partial(_kept, net, images[:, -1], encoded, name, answers)
    seconds = in_turn(calls, rounds, before=0)  # a forward of seconds needs no warming up
    return {
        "config": config.as_dict(),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "rounds": rounds,
        "times": {name: values.summed_up() for name, values in seconds.items()},
        "ratios": {
            f"{count} prompts, canvas in fp32 / kept in {name}": seconds[f"canvas, {count} prompts, fp32"].over(
                seconds[f"kept, {count} prompts, {name}"]
            )
            for count in counts
            for name in nets
        },
        "int8_error": round(float((answers["int8"] - answers["fp32"]).std() / answers["fp32"].std()), 4),
    }


def _asked(model: Generalist, query: torch.Tensor, encoded: PromptState) -> None:
    with torch.inference_mode():
        model.answer(model.embed(query), encoded, "labels")


def _kept(
    model: Generalist, query: torch.Tensor, encoded: PromptState, name: str, answers: dict[str, torch.Tensor]
) -> None:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=name == "bf16"):
        answers[name] = model.answer(model.embed(query), encoded, "labels")


def _canvas(model: Generalist, images: torch.Tensor, targets: torch.Tensor, visible: torch.Tensor) -> None:
    with torch.inference_mode():
        model(images, targets, visible, "full", 0)


def _halved(model: Generalist) -> Generalist:
    """Weights of products and convolutions in bf16, so that autocast need not cast them in every call."""
    net = deepcopy(model)
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(torch.bfloat16)
    return net


def _quantized(model: Generalist) -> Generalist:
    """The blocks' products in int8."""
    net = deepcopy(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of a library of its own
        net.form.blocks = torch.ao.quantization.quantize_dynamic(net.form.blocks, {nn.Linear}, dtype=torch.qint8)
    return net


def _volume(side: int, slices: int, rng: np.random.Generator) -> Volume:
    return Volume(rng.random((side, side, slices), np.float32), np.diag([-1.0, -1.0, 3.0, 1.0]))
