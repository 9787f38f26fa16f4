"""A small network that corrects what the generalist predicts for one task, which itself stays as it is.

It sees the image, the frozen features of the image encoder and the prediction, and adds a change to the logarithms of
the probabilities, or to the picture. An untrained one changes nothing. (Stacking: Wolpert 1992; auto-context: Tu and
Bai 2010.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.config import GeneralistConfig, MatchingConfig
from mvg.model.device import prefers_bfloat16
from mvg.model.outputs import ImageFeatures, TargetType
from mvg.model.transformer import to_map

_WIDTHS = (16, 32, 64, 96, 128)  # channels at the full resolution, a half, a quarter, an eighth and a sixteenth of it
_MIN_PROBABILITY = 1e-4  # less likely classes count as this likely, so that a change can still raise them
_CONTRAST = 4.0  # pictures vary by about a quarter of [0, 1], logarithms of probabilities by about four


@dataclass(frozen=True)
class AdapterConfig:
    """The shape of an adapter.

    channels: classes and background, or 1 for a picture; inputs: images per pair; fine, level: channels of the image
    encoder's maps at a quarter and an eighth of the resolution, 0 where the network has none.
    """

    target_type: TargetType
    channels: int
    inputs: int = 1
    fine: int = 0
    level: int = 0

    @staticmethod
    def of(config: GeneralistConfig, target_type: TargetType, classes: int) -> "AdapterConfig":
        """The shape for a network; `classes` without background, 0 for pictures."""
        fine, level = (config.fine_width, 2 * config.fine) if isinstance(config, MatchingConfig) else (0, 0)
        return AdapterConfig(target_type, classes + 1, config.inputs, fine, level)


class AdapterInput(NamedTuple):
    """What an adapter sees of b squares: images, the encoder's maps (None without), and the prediction.

    prediction: probabilities, background first, or a picture.
    """

    images: Float[Tensor, "b i s s"]
    fine: Float[Tensor, "b f q q"] | None
    level: Float[Tensor, "b l e e"] | None
    prediction: Float[Tensor, "b k s s"]

    def map(self, change: Callable[[Tensor], Tensor]) -> "AdapterInput":
        """The same with every map changed."""
        fine, level = (None if part is None else change(part) for part in (self.fine, self.level))
        return AdapterInput(change(self.images), fine, level, change(self.prediction))

    @staticmethod
    def concatenate(parts: "Sequence[AdapterInput]") -> "AdapterInput":
        """Those of all squares of `parts`, in order."""
        fine, level = (
            None if same[0] is None else torch.cat([part for part in same if part is not None])
            for same in ([part.fine for part in parts], [part.level for part in parts])
        )
        images, prediction = ([part.images for part in parts], [part.prediction for part in parts])
        return AdapterInput(torch.cat(images), fine, level, torch.cat(prediction))

    @staticmethod
    def of(features: ImageFeatures, prediction: Float[Tensor, "b k s s"]) -> "AdapterInput":
        """From the features of the images."""
        level = None
        if features.levels is not None:
            level = to_map(features.levels[:, -1].float(), round(features.levels.shape[2] ** 0.5))
        fine = None if features.fine is None else features.fine.float()
        return AdapterInput(features.images, fine, level, prediction)


class _Pair(nn.Module):
    """A residual pair of 3 x 3 convolutions, each normalized over the batch; the identity before training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.first_norm, self.second_norm = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        nn.init.zeros_(self.second_norm.weight)

    def forward(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        return F.relu(x + self.second_norm(self.second(F.relu(self.first_norm(self.first(x))))))


class Corrector(nn.Module):
    """A U-Net of some 1.5 million weights at up to half the resolution; its last layer starts at zero.

    In training mode it normalizes over the batch. It computes in 16 bits where a processor is faster in them.
    """

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        full, *widths = _WIDTHS
        half, quarter, eighth, sixteenth = widths
        planes = config.channels + config.inputs
        self.target_type = config.target_type
        self.enter, self.at_half = nn.Conv2d(4 * planes, half, 3, padding=1), _Pair(half)
        self.down = nn.ModuleList(nn.Conv2d(wide, deep, 2, 2) for wide, deep in pairwise(widths))
        self.from_fine = nn.Conv2d(config.fine, quarter, 1) if config.fine else None
        self.from_level = nn.Conv2d(config.level, eighth, 1) if config.level else None
        self.at_quarter, self.at_eighth, self.at_sixteenth = (
            nn.Sequential(_Pair(width), _Pair(width)) for width in (quarter, eighth, sixteenth)
        )
        self.up = nn.ModuleList(nn.Conv2d(deep, 4 * wide, 1) for wide, deep in pairwise(widths))
        self.join_half, self.join_quarter, self.join_eighth = _Pair(half), _Pair(quarter), _Pair(eighth)
        self.up_full, self.detail = nn.Conv2d(half, 4 * full, 1), nn.Conv2d(planes, full, 3, padding=1)
        self.out = nn.Conv2d(full, config.channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, inputs: AdapterInput) -> Float[Tensor, "b k s s"]:
        """The change of `scores(prediction)`, in float32."""
        images = _CONTRAST * (inputs.images - 0.5)
        base = scores(inputs.prediction, self.target_type)
        base = base / _CONTRAST + 1 if self.target_type == "labels" else _CONTRAST * (base - 0.5)
        planes = torch.cat([images, base], dim=1).contiguous(memory_format=torch.channels_last)
        with torch.autocast(planes.device.type, torch.bfloat16, enabled=prefers_bfloat16(planes.device)):
            features = self._features(planes, inputs)
        change: Tensor = self.out(features.float())
        return change

    def _features(self, planes: Float[Tensor, "b p s s"], inputs: AdapterInput) -> Float[Tensor, "b f s s"]:
        to_quarter, to_eighth, to_sixteenth = self.down
        from_quarter, from_eighth, from_sixteenth = self.up
        halves = F.pixel_unshuffle(planes, 2).contiguous(memory_format=torch.channels_last)
        half = self.at_half(self.enter(halves))
        quarter = to_quarter(half)
        if self.from_fine is not None and inputs.fine is not None:
            quarter = quarter + self.from_fine(inputs.fine)
        quarter = self.at_quarter(quarter)
        eighth = to_eighth(quarter)
        if self.from_level is not None and inputs.level is not None:
            eighth = eighth + self.from_level(inputs.level)
        eighth = self.at_eighth(eighth)
        sixteenth = self.at_sixteenth(to_sixteenth(eighth))
        eighth = self.join_eighth(eighth + F.pixel_shuffle(from_sixteenth(sixteenth), 2))
        quarter = self.join_quarter(quarter + F.pixel_shuffle(from_eighth(eighth), 2))
        half = self.join_half(half + F.pixel_shuffle(from_quarter(quarter), 2))
        return F.relu(F.pixel_shuffle(self.up_full(half), 2) + self.detail(planes))


class Adapter(nn.Module):
    """The mean change of several correctors, each trained on other volumes."""

    def __init__(self, config: AdapterConfig, members: nn.ModuleList) -> None:
        super().__init__()
        self.config, self.members = config, members

    @staticmethod
    def from_tensors(config: AdapterConfig, tensors: dict[str, Tensor]) -> "Adapter":
        """An adapter with the tensors of another one's `state_dict`. Raises RuntimeError where they do not fit."""
        count = len({name.split(".")[1] for name in tensors})
        adapter = Adapter(config, nn.ModuleList(Corrector(config) for _ in range(count)))
        adapter.load_state_dict(tensors)
        return adapter.eval().requires_grad_(requires_grad=False)

    def forward(
        self, features: ImageFeatures, prediction: Float[Tensor, "b k s s"], strength: float
    ) -> Float[Tensor, "b k s s"]:
        """The corrected prediction, on the device of the given one; strength: share of the change, 0 to 1."""
        inputs = AdapterInput.of(features, prediction.to(features.images.device))
        change = torch.stack([member(inputs) for member in self.members]).mean(0)
        return corrected(inputs.prediction, strength * change, self.config.target_type).to(prediction.device)


def scores(prediction: Float[Tensor, "b k s s"], target_type: TargetType) -> Float[Tensor, "b k s s"]:
    """What a change is added to: the logarithms of probabilities, or the picture itself."""
    return prediction.clamp(min=_MIN_PROBABILITY).log() if target_type == "labels" else prediction


def corrected(
    prediction: Float[Tensor, "b k s s"], change: Float[Tensor, "b k s s"], target_type: TargetType
) -> Float[Tensor, "b k s s"]:
    """Probabilities that sum to 1, or a picture in [0, 1], after a change of `scores(prediction)`."""
    changed = scores(prediction, target_type) + change
    return changed.softmax(dim=1) if target_type == "labels" else changed.clamp(0, 1)
