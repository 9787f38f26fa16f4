"""SegGPT with its authors' public weights, through transformers, from a folder that the user has: nothing is learnt.

Classes are asked one by one, white on black; with several prompts their features are averaged in the query's half, as
its authors do.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._in_context import InContext
from mvg.errors import BenchmarkError
from mvg.prediction.options import PredictionOptions as Shown
from mvg.tasks import Task

SCOPE: Scope = "untrained"
PROMPTED = True
PLACE = "https://huggingface.co/BAAI/seggpt-vit-large"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the natural images that it was learnt from
_SHARPNESS = 16.0  # logits per brightness: black is -8, white is 8


@dataclass(frozen=True)
class PredictionOptions:
    """path: folder with config.json and weights; prompts: slices shown; embedding: what the network is told of the
    request, "instance" as its authors do by default, or "semantic"."""

    path: str = ""
    prompts: int = 8
    embedding: Literal["instance", "semantic"] = "instance"


def serves(task: Task) -> bool:
    """Segmentation, which it was made for."""
    return task.spec.target_type == "labels"


def learn(settings: PredictionOptions, lesson: TrainingData) -> InContext:
    """Read the weights. Raises BenchmarkError where they or the library are missing."""
    folder = Path(settings.path)
    if not settings.path or not (folder / "config.json").is_file():
        raise BenchmarkError(
            f"no weights at path = '{settings.path}'",
            "a folder with config.json and the weights of SegGPT",
            f"download it from {PLACE} and set path to it",
        )
    try:
        library = import_module("transformers")
    except ImportError as problem:
        raise BenchmarkError("no transformers", "the library", "pip install transformers") from problem
    try:
        network = library.SegGptForImageSegmentation.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, RuntimeError) as problem:
        raise BenchmarkError(
            f"'{folder}' cannot be read ({(str(problem).splitlines() or [''])[0]})",
            "the weights of SegGPT",
            f"download them from {PLACE} again",
        ) from problem
    network.to(lesson.device).eval()
    size = _side(network.config.image_size)

    def ask(
        queries: Float[Tensor, "b 1 s s"], images: Float[Tensor, "b n 1 s s"], targets: Float[Tensor, "b n 1 s s"]
    ) -> Float[Tensor, "b 1 s s"]:
        several = images.shape[1] > 1
        found = []
        for query, shown, masks in zip(queries, images, targets, strict=True):
            said = network(
                pixel_values=_natural(query[None]).expand(len(shown), -1, -1, -1),
                prompt_pixel_values=_natural(shown),
                prompt_masks=_natural(masks),
                feature_ensemble=several,
                embedding_type=settings.embedding,
            ).pred_masks.float()
            lower = said[:, :, said.shape[2] // 2 :].mean(0)  # alike for all prompts where features were averaged
            bright = (lower * lower.new_tensor(_STD)[:, None, None] + lower.new_tensor(_MEAN)[:, None, None]).mean(0)
            found.append(_SHARPNESS * (bright.clamp(0, 1) - 0.5))
        return torch.stack(found)[:, None]

    return InContext(ask, size, "binary", Shown(num_prompts=settings.prompts), lesson.device)


def _natural(pictures: Float[Tensor, "n 1 s s"]) -> Float[Tensor, "n 3 s s"]:
    """Gray pictures as the network knows pictures: three channels of about zero mean."""
    mean, std = (pictures.new_tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))
    return (pictures - mean) / std


def _side(canvas: Any) -> int:
    """The side of one picture, given the canvas of two above one another: (rows, columns)."""
    return int(canvas if isinstance(canvas, int) else canvas[-1])
