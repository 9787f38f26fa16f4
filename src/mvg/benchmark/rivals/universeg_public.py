"""UniverSeg with its authors' public weights, from a file that the user has: nothing is learnt here."""

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
from mvg.prediction.options import PredictionOptions as Shown
from mvg.tasks import Task

SCOPE: Scope = "untrained"
PROMPTED = True
WEIGHTS = "universeg_v1_nf64_ss64_STA.pt"
PLACE = f"https://github.com/JJGO/UniverSeg/releases/download/weights/{WEIGHTS}"
_WIDTHS = (64, 64, 64, 64)
_SIZE = 128  # pixels, what the weights were learnt at
_NAMES = {
    r"^enc_blocks\.(\d+)\.": r"down.\1.",
    r"^dec_blocks\.(\d+)\.": r"up.\1.",
    r"\.cross\.cross_conv\.": ".cross.",
    r"\.target\.vmapped\.conv\.": ".query.",
    r"\.support\.vmapped\.conv\.": ".prompt.",
    r"^out_conv\.conv\.": "read.",
}
"""How the public file names what our network calls otherwise."""


@dataclass(frozen=True)
class PredictionOptions:
    """path: of the weights; prompts: slices shown (the authors show 64)."""

    path: str = ""
    prompts: int = 64


def serves(task: Task) -> bool:
    """Segmentation alone."""
    return universeg.serves(task)


def check(settings: PredictionOptions) -> None:
    """Whether the file is there and can be read."""
    _read(settings.path)


def learn(settings: PredictionOptions, lesson: TrainingData) -> InContext:
    """Read the weights. Raises BenchmarkError for a file that is missing or holds something else."""
    network = universeg.CrossUNet(_WIDTHS)
    try:
        network.load_state_dict(translated(_read(settings.path)))
    except RuntimeError as problem:
        raise BenchmarkError(
            f"'{settings.path}' is of another network", f"the weights {WEIGHTS}", f"download {PLACE}"
        ) from problem
    network.to(lesson.device).eval().requires_grad_(requires_grad=False)
    return InContext(network, _SIZE, "binary", Shown(num_prompts=settings.prompts), lesson.device)


def translated(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the public file by the names of our network."""
    found = {}
    for name, tensor in weights.items():
        for theirs, ours in _NAMES.items():
            name = re.sub(theirs, ours, name)
        found[name] = tensor
    return found


def _read(path: str) -> dict[str, Tensor]:
    if not Path(path).is_file():
        raise BenchmarkError(
            f"no weights at path = '{path}'", f"the file {WEIGHTS}", f"download {PLACE} and set path to it"
        )
    try:
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return dict(weights)
    except (OSError, RuntimeError, ValueError, TypeError, EOFError, UnpicklingError) as problem:
        raise BenchmarkError(
            f"'{path}' cannot be read as weights", f"the file {WEIGHTS}", f"download {PLACE} again"
        ) from problem
