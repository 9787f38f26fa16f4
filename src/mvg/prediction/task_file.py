"""Task files (`.mvgtask`): prompts, ready and encoded, in one file that can be shared; safetensors with JSON inside,
no pickle.

    images, targets, volume, index, count    the prompt slices, see `PromptSet`
    close.I.images, ...                      the same, seen closely in one or several pieces, where the task has that
    encoded.I.keys.J, ....values.J, ....sums.J   what the model made of them, see `PromptState`; up to 256 MB

The JSON names the weights and the fingerprint of the model: another model of the same picture size encodes the slices
again.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mvg._atomic import atomic_file
from mvg.errors import FileError, MvgError, WeightsError
from mvg.imaging.window import Window
from mvg.model.outputs import PromptState
from mvg.prediction.inference.ensemble import PredictionOptions
from mvg.prediction.inference.prompt_cache import PromptView
from mvg.prediction.predictor import Predictor, PromptedTask
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.refinement.zoom import ZoomPlan, ZoomRegion
from mvg.tasks import spec_of

SUFFIX = ".mvgtask"
_FORMAT = 2
_ROOM = 256 * 2**20  # bytes of encodings that a file carries
_ARRAYS = ("images", "targets", "volume", "index", "count")


def save(task: PromptedTask, path: Path) -> None:
    """Write a task whole or not at all. Raises FileError for a wrong suffix or where it cannot be written."""
    if path.suffix != SUFFIX:
        raise FileError(f"a task to be saved as '{path.name}'", f"a name that ends in {SUFFIX}", "rename it")
    tensors = _tensors(task.examples, "")
    for number, piece in enumerate(task.close.pieces if task.close else ()):
        tensors |= _tensors(piece.examples, f"close.{number}.")
    views = []
    for number, (view, prompts) in enumerate(task.cache.encoded(_ROOM)):
        views.append(asdict(view) | {"panels": prompts.panels})
        tensors |= {f"encoded.{number}.{name}": tensor.cpu() for name, tensor in prompts.tensors().items()}
    examples = task.examples
    about = {
        "format": _FORMAT,
        "weights": task.predictor.name,
        "model": fingerprint(task.predictor.model),
        "asked": asdict(task.asked),
        "settings": asdict(task.settings),
        "values": examples.values,
        "plane": examples.plane,
        "modality": examples.modality,
        "target_window": asdict(examples.target_window),
        "encoded": views,
        "close": task.close and {"closer": task.close.closer, "at": [piece.at for piece in task.close.pieces]},
    }
    with atomic_file(path, partial(_unwritable, path), (OSError, SafetensorError)) as temporary:
        save_file(tensors, temporary, metadata={"mvg": json.dumps(about)})


def _unwritable(path: Path, error: Exception) -> FileError:
    return FileError(
        f"'{path}' could not be written ({error})", "a writable folder with space left", "choose another folder"
    )


def load(predictor: Predictor, path: Path) -> PromptedTask:
    """The task in a file, for this predictor's model.

    Raises FileError for what is no whole task file, WeightsError for a model of another picture size.
    """
    about, tensors = _about(path), _read(path)
    try:
        examples = PromptSet(
            **_arrays(tensors, ""),
            values=tuple(about["values"]),
            plane=about["plane"],
            modality=about["modality"],
            target_window=Window(**about["target_window"]),
        )
        asked, used = spec_of(about["asked"]["kind"]), about["settings"]
        settings = PredictionOptions(**used | {"colors": tuple(used.get("colors", ()))})
        _check_sizes(examples)
        close = None
        if about["close"] is not None:
            close = _close(about["close"], tensors, examples)
    except MvgError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _no_task(path, f"{type(error).__name__}: {error}") from error
    size = predictor.model.config.size
    if examples.images.shape[-1] != size:
        raise WeightsError(
            f"'{path}' holds pictures of {examples.images.shape[-1]} pixels and the model takes {size}",
            f"the weights it was made with ('{about['weights']}')",
            "choose these weights or make the task again from its prompts",
        )
    task = PromptedTask(predictor, asked, examples, settings, close)
    if about.get("model") == fingerprint(predictor.model):
        device = next(predictor.model.parameters()).device
        for view, prompts in _encoded(about["encoded"], tensors, device):
            task.cache.put(view, prompts)
    return task


def weights_of(path: Path) -> str:
    """The id or path of the weights that a task file was made with. Raises FileError, WeightsError."""
    about = _about(path)
    if not about.get("weights"):
        raise WeightsError(f"'{path}' names no weights", "the weights it was made with", "name them (--weights)")
    return str(about["weights"])


def fingerprint(model: nn.Module) -> str:
    """The sha256 of all parameters, in hex: equal for models that encode prompts alike."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise FileError(f"no file '{path}'", f"a task file ({SUFFIX})", "check the path")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise _no_task(path, str(error)) from error


def _about(path: Path) -> dict[str, Any]:
    """What the file says of itself; nothing large is read."""
    with _opened(path) as file:
        about = json.loads((file.metadata() or {}).get("mvg", "null"))
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise _no_task(path, "no description of a task of this version")
    return about


def _read(path: Path) -> dict[str, Tensor]:
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a method, not a dict)


def _tensors(examples: PromptSet, prefix: str) -> dict[str, Tensor]:
    return {prefix + name: torch.from_numpy(np.ascontiguousarray(getattr(examples, name))) for name in _ARRAYS}


def _arrays(tensors: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    return {name: tensors[prefix + name].numpy() for name in _ARRAYS}


def _close(about: dict[str, Any], tensors: dict[str, Tensor], examples: PromptSet) -> ZoomPlan:
    pieces = []
    for number, at in enumerate(about["at"]):
        own = replace(examples, **_arrays(tensors, f"close.{number}."))
        _check_sizes(own)
        pieces.append(ZoomRegion(at and (float(at[0]), float(at[1])), own))
    return ZoomPlan(float(about["closer"]), tuple(pieces))


def _encoded(
    views: list[dict[str, Any]], tensors: dict[str, Tensor], device: torch.device
) -> list[tuple[PromptView, PromptState]]:
    found = []
    for number, about in enumerate(views):
        prefix = f"encoded.{number}."
        own = {name.removeprefix(prefix): t.to(device) for name, t in tensors.items() if name.startswith(prefix)}
        colors = None if about["colors"] is None else tuple(about["colors"])
        view = PromptView(tuple(about["chosen"]), about["mirrored"], colors)
        found.append((view, PromptState.from_tensors(own, about["panels"])))
    return found


def _check_sizes(examples: PromptSet) -> None:
    lengths = {len(getattr(examples, name)) for name in _ARRAYS}
    if (
        len(lengths) != 1
        or not len(examples)
        or examples.images.ndim != 3
        or examples.images.shape != examples.targets.shape
    ):
        raise ValueError("arrays of unequal lengths or shapes")


def _no_task(path: Path, why: str) -> FileError:
    return FileError(
        f"'{path}' is not a whole task file ({why})", f"a {SUFFIX} file of this version", "make or copy it again"
    )
