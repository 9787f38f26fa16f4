"""What goes between prompts and answers: the two values that both forms of the model exchange with their callers."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


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
