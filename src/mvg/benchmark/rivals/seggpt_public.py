"""SegGPT with its authors' public weights, through transformers, from a folder that the user has; no training here.

There is one pass per class, white on black. With several prompts, their features are averaged in the query's half, as
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
from mvg.errors import BenchmarkError, first_line
from mvg.prediction.options import PredictionOptions
from mvg.tasks import Task

SCOPE: Scope = "untrained"
USES_PROMPTS = True
DOWNLOAD = "https://huggingface.co/BAAI/seggpt-vit-large"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the natural images that it was trained on
_SHARPNESS = 16.0  # logits per brightness: black is -8, white is 8


@dataclass(frozen=True)
class Options:
    """path: folder with config.json and weights; prompts: slices per query slice; embedding: the kind of request, which
    the network is given: "instance", the default of its authors, or "semantic"."""

    path: str = ""
    prompts: int = 8
    embedding: Literal["instance", "semantic"] = "instance"


def serves(task: Task) -> bool:
    """Label maps, from one image."""
    return task.spec.target_type == "labels"


def fit(options: Options, data: TrainingData) -> InContext:
    """Read the weights. Raises BenchmarkError if they or the library are missing."""
    network = _load(options.path).to(data.device).eval()

    def predict(
        queries: Float[Tensor, "b 1 s s"], images: Float[Tensor, "b n 1 s s"], targets: Float[Tensor, "b n 1 s s"]
    ) -> Float[Tensor, "b 1 s s"]:
        parts = zip(queries, images, targets, strict=True)
        return torch.stack([_predict_one(network, *part, options.embedding) for part in parts])[:, None]

    side = _side(network.config.image_size)
    return InContext(predict, side, "binary", PredictionOptions(num_prompts=options.prompts), data.device)


def _load(path: str) -> Any:
    """The network with the weights of a folder."""
    if not path or not (Path(path) / "config.json").is_file():
        raise BenchmarkError(
            f"no weights at path = '{path}'",
            "a folder with config.json and the weights of SegGPT",
            f"download it from {DOWNLOAD} and set path to it",
        )
    try:
        library = import_module("transformers")
    except ImportError as error:
        raise BenchmarkError("no transformers", "the library", "pip install transformers") from error
    try:
        return library.SegGptForImageSegmentation.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise BenchmarkError(
            f"'{path}' cannot be read ({first_line(error)})",
            "the weights of SegGPT",
            f"download them from {DOWNLOAD} again",
        ) from error


def _predict_one(
    network: Any,
    query: Float[Tensor, "1 s s"],
    images: Float[Tensor, "n 1 s s"],
    masks: Float[Tensor, "n 1 s s"],
    embedding: str,
) -> Float[Tensor, "s s"]:
    """Logits of the class of the masks."""
    output: Tensor = network(
        pixel_values=_natural(query[None]).expand(len(images), -1, -1, -1),
        prompt_pixel_values=_natural(images),
        prompt_masks=_natural(masks),
        feature_ensemble=len(images) > 1,
        embedding_type=embedding,
    ).pred_masks.float()
    lower = output[:, :, output.shape[2] // 2 :].mean(0)  # the same for all prompts if features were averaged
    mean, std = (lower.new_tensor(values)[:, None, None] for values in (_MEAN, _STD))
    brightness = (lower * std + mean).mean(0)
    return _SHARPNESS * (brightness.clamp(0, 1) - 0.5)


def _natural(pictures: Float[Tensor, "n 1 s s"]) -> Float[Tensor, "n 3 s s"]:
    """Gray pictures as the network expects them: three channels of about zero mean."""
    mean, std = (pictures.new_tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))
    return (pictures - mean) / std


def _side(canvas: Any) -> int:
    """The side of one picture, given the size of the canvas, which stacks two: (rows, columns)."""
    return int(canvas if isinstance(canvas, int) else canvas[-1])
