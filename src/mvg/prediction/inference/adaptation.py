"""An adapter as a task uses it: how far its change counts in whole slices, and how far in magnified ones."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mvg.model.adapter import Adapter, AdapterConfig
from mvg.model.outputs import ImageFeatures

NETWORK = 2
"""Stands in files for the network that this version has; files without it hold the first one."""

Correction = Callable[[ImageFeatures, Tensor], Tensor]
"""(features of b squares, their prediction (b, k, s, s)) -> the corrected prediction."""


@dataclass(frozen=True, eq=False)
class TaskAdapter:
    """A network, and the shares of its change that are used: in whole slices, and in magnified ones (0: not used)."""

    network: Adapter
    whole: float
    zoom: float

    def correction(self, zoomed: bool) -> Correction | None:
        """What corrects predictions at one scale; None where nothing does."""
        strength = self.zoom if zoomed else self.whole
        return partial(self.network, strength=strength) if strength > 0 else None

    def to(self, device: torch.device) -> "TaskAdapter":
        """The same on another device."""
        return replace(self, network=copy.deepcopy(self.network).to(device))

    @property
    def description(self) -> dict[str, Any]:
        """Everything but the weights as plain values, for a file."""
        return {"config": asdict(self.network.config), "whole": self.whole, "zoom": self.zoom, "network": NETWORK}

    @staticmethod
    def restored(description: Mapping[str, Any], weights: dict[str, Tensor]) -> "TaskAdapter":
        """From a description and weights. Raises KeyError, TypeError or RuntimeError where they do not fit."""
        network = Adapter.from_tensors(AdapterConfig(**description["config"]), weights)
        return TaskAdapter(network, float(description["whole"]), float(description["zoom"]))
