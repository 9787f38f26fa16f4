"""UniverSeg with its authors' public weights, from a file that the user has; there is no training here."""

import re
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals import universeg
from mvg.benchmark.rivals._in_context import InContext
from mvg.errors import BenchmarkError
from mvg.prediction.options import PredictionOptions
from mvg.tasks import Task

SCOPE: Scope = "untrained"
USES_PROMPTS = True
WEIGHTS = "universeg_v1_nf64_ss64_STA.pt"
DOWNLOAD = f"https://github.com/JJGO/UniverSeg/releases/download/weights/{WEIGHTS}"
_WIDTHS = (64, 64, 64, 64)
_SIZE = 128  # pixels, as in the training of the weights
_NAMES = {
    r"^enc_blocks\.(\d+)\.": r"down.\1.",
    r"^dec_blocks\.(\d+)\.": r"up.\1.",
    r"\.cross\.cross_conv\.": ".cross.",
    r"\.target\.vmapped\.conv\.": ".query.",
    r"\.support\.vmapped\.conv\.": ".prompt.",
    r"^out_conv\.conv\.": "read.",
}
"""Patterns of names in the public file, and the names in our network."""


@dataclass(frozen=True)
class Options:
    """path: of the weights; prompts: slices per query slice (the authors use 64)."""

    path: str = ""
    prompts: int = 64


def serves(task: Task) -> bool:
    """Label maps, from one image."""
    return universeg.serves(task)


def check(options: Options) -> None:
    """Raise BenchmarkError if the file is missing or cannot be read."""
    _read(options.path)


def fit(options: Options, data: TrainingData) -> InContext:
    """Read the weights. Raises BenchmarkError for a file that is missing or contains something else."""
    network = universeg.CrossUNet(_WIDTHS)
    try:
        network.load_state_dict(translated(_read(options.path)))
    except RuntimeError as error:
        raise BenchmarkError(
            f"'{options.path}' has weights of another network", f"the weights {WEIGHTS}", f"download {DOWNLOAD}"
        ) from error
    network.to(data.device).eval().requires_grad_(requires_grad=False)
    return InContext(network, _SIZE, "binary", PredictionOptions(num_prompts=options.prompts), data.device)


def translated(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the public file with the names of our network."""
    renamed = {}
    for name, tensor in weights.items():
        for pattern, ours in _NAMES.items():
            name = re.sub(pattern, ours, name)
        renamed[name] = tensor
    return renamed


def _read(path: str) -> dict[str, Tensor]:
    if not Path(path).is_file():
        raise BenchmarkError(
            f"no weights at path = '{path}'", f"the file {WEIGHTS}", f"download {DOWNLOAD} and set path to it"
        )
    try:
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return dict(weights)
    except (OSError, RuntimeError, ValueError, TypeError, EOFError, UnpicklingError) as error:
        raise BenchmarkError(
            f"'{path}' cannot be read as weights", f"the file {WEIGHTS}", f"download {DOWNLOAD} again"
        ) from error
