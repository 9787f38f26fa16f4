"""The time of a query slice at the paper's size: prompts encoded once, against a canvas that recomputes them."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from mvg.model.config import SIZES, GeneralistConfig
from mvg.model.generalist import Generalist
from mvg.model.layers import Linear
from mvg.model.outputs import PromptState
from profiling.speed.prompts import predict_slice
from profiling.speed.timing import Timing, time_in_turn


def recomputed_prompts(
    rounds: int, seed: int, config: GeneralistConfig = SIZES["large"], counts: tuple[int, ...] = (1, 4)
) -> dict[str, Any]:
    """Time of one query slice with prompts kept, against a canvas of prompts and query that is computed and painted
    whole for every slice, as in the authors' released code; kept also in bf16 and in int8.

    Goal: kept prompts and fewer bits together are at least 5 x faster than the canvas in fp32. All run our merged
    form; on the canvas all panels attend to one another after the merge. int8: weights and inputs of products are
    rounded to 8 bits (PyTorch's dynamic quantization); "int8_error" is the change of the prediction over its spread.
    """
    torch.manual_seed(seed)
    config = replace(config, drop_path=0.0)
    model = Generalist(config).eval()
    models = {"fp32": model, "bf16": _halved(model), "int8": _quantized(model)}
    functions: dict[str, Callable[[], object]] = {}
    predictions: dict[str, torch.Tensor] = {}
    for count in counts:
        canvas = _Canvas.random(config, count)
        state = canvas.encoded(model)
        functions[f"canvas, {count} prompts, fp32"] = partial(canvas.painted, model)
        for name, variant in models.items():
            functions[f"kept, {count} prompts, {name}"] = partial(
                _predict_kept, variant, canvas.images[:, -1], state, name, predictions
            )
    timings = time_in_turn(functions, rounds, warm_up=0)  # a pass takes seconds and needs no warm-up
    error = (predictions["int8"] - predictions["fp32"]).std() / predictions["fp32"].std()
    return {
        "config": config.as_dict(),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "rounds": rounds,
        "times": {name: timing.summary() for name, timing in timings.items()},
        "ratios": _ratios(timings, counts, tuple(models)),
        "int8_error": round(float(error), 4),
    }


@dataclass(frozen=True)
class _Canvas:
    """Random images and targets (1, n, 1, s, s), the query last, and the visible patches (1, n, g, g)."""

    images: torch.Tensor
    targets: torch.Tensor
    visible: torch.Tensor

    @classmethod
    def random(cls, config: GeneralistConfig, prompts: int) -> "_Canvas":
        grid = config.size // config.patch
        images, targets = (torch.rand(1, prompts + 1, 1, config.size, config.size) for _ in range(2))
        visible = torch.ones(1, prompts + 1, grid, grid, dtype=torch.bool)
        visible[:, -1] = False
        return cls(images, targets, visible)

    def encoded(self, model: Generalist) -> PromptState:
        with torch.inference_mode():
            return model.encode(model.embed(self.images[0, :-1]), self.targets[:, :-1], "labels")

    def painted(self, model: Generalist) -> None:
        with torch.inference_mode():
            model(self.images, self.targets, self.visible, "full", 0)


def _predict_kept(
    model: Generalist, query: torch.Tensor, state: PromptState, name: str, predictions: dict[str, torch.Tensor]
) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=name == "bf16"):
        predictions[name] = predict_slice(model, query, state)


def _ratios(timings: dict[str, Timing], counts: tuple[int, ...], names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    return {
        f"{count} prompts, canvas in fp32 / kept in {name}": timings[f"canvas, {count} prompts, fp32"].ratio_to(
            timings[f"kept, {count} prompts, {name}"]
        )
        for count in counts
        for name in names
    }


def _halved(model: Generalist) -> Generalist:
    """Weights of products and convolutions in bf16, so that autocast need not cast them in every call."""
    halved = deepcopy(model)
    for module in halved.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(torch.bfloat16)
    return halved


def _quantized(model: Generalist) -> Generalist:
    """The products of the blocks in int8."""
    quantized = deepcopy(model)
    for module in list(quantized.form.blocks.modules()):
        for name, child in module.named_children():
            if isinstance(child, Linear):  # PyTorch converts its own class alone
                plain = nn.Linear(child.in_features, child.out_features)
                plain.load_state_dict(child.state_dict())
                setattr(module, name, plain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch is moving this to a library of its own
        quantized.form.blocks = torch.ao.quantization.quantize_dynamic(
            quantized.form.blocks, {nn.Linear}, dtype=torch.qint8
        )
    return quantized
