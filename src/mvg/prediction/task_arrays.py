"""The prompt slices in a task file, whole and magnified."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.prompts.zoom_plan import ZoomPlan, ZoomRegion

_ARRAYS = ("images", "targets", "volume", "index", "count")
_NOWHERE = [float("nan")] * 2  # the centers of magnified regions in former formats, which do not name them


def described_regions(plan: ZoomPlan) -> list[dict[str, Any]]:
    """What the description of a file says of each magnified region."""
    return [
        {
            "magnification": region.magnification,
            "position": region.position,
            "classes": region.classes,
            "centers": region.centers.tolist(),
        }
        for region in plan.regions
    ]


def restored_plan(saved: Any, tensors: dict[str, Tensor], prompts: PromptSet) -> ZoomPlan:
    """The plan of a file from what its description says; raises what wrong contents raise."""
    regions, classes = [], len(prompts.values)
    for number, region in enumerate(_regions(saved, prompts)):
        magnified = replace(prompts, **prompt_arrays(tensors, f"zoom.{number}."))
        check_arrays(magnified)
        position, about = region["position"], tuple(int(at) for at in region["classes"])
        centers = np.array(region["centers"], np.float32).reshape(-1, 2)
        if len(centers) <= int(magnified.volume.max()) or not all(0 < at <= classes for at in about):
            raise ValueError("a magnified region that is none")
        position = position and (float(position[0]), float(position[1]))
        regions.append(ZoomRegion(magnified, float(region["magnification"]), centers, position, about))
    return ZoomPlan(tuple(regions))


def _regions(zoom: Any, prompts: PromptSet) -> Sequence[Mapping[str, Any]]:
    """The description of each magnified region; in former formats all have one magnification and show all labels."""
    if not isinstance(zoom, Mapping):
        return list(zoom)
    centers = [_NOWHERE] * (int(prompts.volume.max()) + 1)
    shared = {"magnification": zoom["magnification"], "classes": (), "centers": centers}
    return [{**shared, "position": position} for position in zoom["positions"]]


def prompt_tensors(prompts: PromptSet, prefix: str) -> dict[str, Tensor]:
    """The arrays of prompts as tensors; names begin with `prefix`."""
    return {prefix + name: torch.from_numpy(np.ascontiguousarray(getattr(prompts, name))) for name in _ARRAYS}


def prompt_arrays(tensors: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    """The arrays of prompts from a file's tensors, in the present form."""
    arrays = {name: tensors[prefix + name].numpy() for name in _ARRAYS}
    if arrays["images"].ndim == 3:
        arrays["images"] = arrays["images"][:, None]
    return arrays


def check_arrays(prompts: PromptSet) -> None:
    """Raises ValueError for arrays of unequal lengths or shapes, or labels that are none."""
    lengths = {len(getattr(prompts, name)) for name in _ARRAYS}
    shape = prompts.images.shape
    if len(lengths) != 1 or not len(prompts) or len(shape) != 4 or shape[:1] + shape[2:] != prompts.targets.shape:
        raise ValueError("arrays of unequal lengths or shapes")
    if prompts.has_labels and int(prompts.targets.max()) > len(prompts.values):
        raise ValueError(f"class {prompts.targets.max()} of {len(prompts.values)}")
