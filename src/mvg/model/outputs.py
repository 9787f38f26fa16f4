"""The values that the model exchanges with its callers: features of images, the state of prompts, and outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

TargetType = Literal["labels", "image", "field"]
"""What a target is: label channels of 0 and 1, pictures in [0, 1], or a displacement field."""


@dataclass(frozen=True)
class ImageFeatures:
    """What the image encoder computes from b images, before any target is known.

    images: (b, i, s, s) in [0, 1]. Matching form: levels (b, 2, t, d), one token per cell of 8 x 8 pixels, before and
    after the transformer; fine (b, f, s/4, s/4); cells (b, m, k), the features of the regression, one row per 4 x 4
    pixels. None in the merged form, which encodes images together with their targets.
    """

    images: Float[Tensor, "b i s s"]
    levels: Float[Tensor, "b l t d"] | None = None
    fine: Float[Tensor, "b f h w"] | None = None
    cells: Float[Tensor, "b m k"] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | list[int]) -> "ImageFeatures":
        """The features of these images."""
        parts = (self.images, self.levels, self.fine, self.cells)
        return ImageFeatures(*(None if part is None else part[index] for part in parts))  # type: ignore[arg-type]

    @staticmethod
    def concatenate(parts: "Sequence[ImageFeatures]") -> "ImageFeatures":
        """The features of all images of `parts`, in order."""
        fields = zip(*((p.images, p.levels, p.fine, p.cells) for p in parts), strict=True)
        return ImageFeatures(*(None if same[0] is None else torch.cat(same) for same in fields))  # type: ignore[arg-type]


class ModelOutput(NamedTuple):
    """What the model says of each asked panel, at the picture's full resolution, one map per target channel.

    logits: (..., c, s, s) class scores for label targets, background being 0 (softmax over [0, logits]); None where a
    label target is a painted picture; pictures: (..., c, s, s) intensities, about [0, 1], not clipped; None where
    images alone were asked; images: (b, n, t, p * p) the images' own patches, reconstructed, where
    image patches were hidden.
    """

    logits: Tensor | None
    pictures: Tensor | None
    images: Tensor | None


@dataclass(frozen=True)
class PromptState:
    """Prompts encoded once: keys and values of every matching depth or block, and in the matching form sums over them.

    keys: per depth (b, heads, panels * t, e); values: per depth (b, heads, panels * t, channels, v); sums: what the
    regression needs, (b, d, d), (b, channels, d, p) and (b, channels), in float32; empty in the merged form. b is 1 for
    a single request.
    """

    keys: tuple[Float[Tensor, "b h k e"], ...]
    values: tuple[Float[Tensor, "b h k c v"], ...]
    panels: int
    sums: tuple[Float[Tensor, "b ..."], ...] = ()

    @property
    def channels(self) -> int:
        """How many target channels these prompts carry."""
        return int(self.values[0].shape[3])

    def expand(self, batch: int) -> "PromptState":
        """The same prompts for each of `batch` queries, without a copy; prompts that are already per query stay."""
        if self.keys[0].shape[0] == batch:
            return self
        keys = tuple(k.expand(batch, *k.shape[1:]) for k in self.keys)
        values = tuple(v.expand(batch, *v.shape[1:]) for v in self.values)
        return PromptState(keys, values, self.panels, tuple(s.expand(batch, *s.shape[1:]) for s in self.sums))

    def to(self, device: torch.device) -> "PromptState":
        """The same on another device."""
        keys, values, sums = (tuple(t.to(device) for t in parts) for parts in (self.keys, self.values, self.sums))
        return PromptState(keys, values, self.panels, sums)

    @staticmethod
    def concatenate(parts: "tuple[PromptState, ...] | list[PromptState]") -> "PromptState":
        """Join prompts along the panels. Right for the matching form alone, where panels do not look at one another."""
        keys = tuple(torch.cat(same, dim=2) for same in zip(*(p.keys for p in parts), strict=True))
        values = tuple(torch.cat(same, dim=2) for same in zip(*(p.values for p in parts), strict=True))
        sums = tuple(torch.stack(same).sum(0) for same in zip(*(p.sums for p in parts), strict=True))
        return PromptState(keys, values, sum(p.panels for p in parts), sums)

    def tensors(self) -> dict[str, Tensor]:
        """Named tensors, for a file."""
        named = {f"keys.{i}": k for i, k in enumerate(self.keys)} | {
            f"values.{i}": v for i, v in enumerate(self.values)
        }
        named |= {f"sums.{i}": s for i, s in enumerate(self.sums)}
        return {name: tensor.contiguous() for name, tensor in named.items()}

    @staticmethod
    def from_tensors(tensors: dict[str, Tensor], panels: int) -> "PromptState":
        """Undo `tensors`."""
        depths, sums = (sum(name.startswith(part) for name in tensors) for part in ("keys.", "sums."))
        return PromptState(
            tuple(tensors[f"keys.{i}"] for i in range(depths)),
            tuple(tensors[f"values.{i}"] for i in range(depths)),
            panels,
            tuple(tensors[f"sums.{i}"] for i in range(sums)),
        )
