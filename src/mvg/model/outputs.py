"""The values that the model exchanges with its callers: features of images, the state of prompts, and outputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

TargetType = Literal["labels", "image", "field"]
"""What a target is: label channels of 0 and 1, pictures in [0, 1], or a displacement field.

The same as in `mvg.tasks`: the model imports no other layer, and `mvg.tasks` does not import torch.
"""


@dataclass(frozen=True)
class ImageFeatures:
    """What the model computes from b images, before any target is known.

    images: (b, i, s, s) in [0, 1]. In the matching form also: levels (b, 2, t, d), one token per cell of 8 x 8 pixels,
    before and after the transformer; fine (b, f, s/4, s/4); filling (b, i, s, s), what filling voids adds to the
    images; cells (b, m, k), the features of the regression, one row per 4 x 4 pixels, None
    where they are computed when needed. All None in the merged form, which encodes images together with their targets.
    """

    images: Float[Tensor, "b i s s"]
    levels: Float[Tensor, "b l t d"] | None = None
    fine: Float[Tensor, "b f h w"] | None = None
    filling: Float[Tensor, "b i s s"] | None = None
    cells: Float[Tensor, "b m k"] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | list[int]) -> "ImageFeatures":
        """The features of these images."""
        return self._map(lambda tensor: tensor[index])

    def panels(self, batch: int, which: slice) -> "ImageFeatures":
        """The features of `which` panels of each of `batch` requests; the images are those of all b * n panels."""
        return self._map(lambda tensor: rearrange(tensor, "(b n) ... -> b n ...", b=batch)[:, which].flatten(0, 1))

    @staticmethod
    def concatenate(parts: "Sequence[ImageFeatures]") -> "ImageFeatures":
        """The features of all images of `parts`, in order."""
        tensors = zip(*(part._tensors() for part in parts), strict=True)
        return ImageFeatures(*(None if same[0] is None else torch.cat(same) for same in tensors))  # type: ignore[arg-type]

    def _tensors(self) -> tuple[Tensor | None, ...]:
        return self.images, self.levels, self.fine, self.filling, self.cells

    def _map(self, function: Callable[[Tensor], Tensor]) -> "ImageFeatures":
        return ImageFeatures(*(None if tensor is None else function(tensor) for tensor in self._tensors()))  # type: ignore[arg-type]


class ModelOutput(NamedTuple):
    """What the model predicts for each query panel, at full resolution, one map per target channel.

    logits: (..., c, s, s) class scores of labels, background being 0 (softmax over [0, logits]); None where labels are
    one painted picture. pictures: (..., c, s, s) intensities, about [0, 1], not clipped; None where only images were
    reconstructed. images: (b, n, t, i * p * p) the images' patches, reconstructed; None where none was hidden.
    """

    logits: Tensor | None
    pictures: Tensor | None
    images: Tensor | None


class RidgeStatistics(NamedTuple):
    """Sums over the cells of prompts; those of several prompts are added. The last feature is the constant 1.

    gram: (b, d, d) features by features; cross: (b, c, d, 16) features by the target pixels of each channel;
    softness: (b, c) t * (1 - t) of each target pixel t: 0 for labels, positive for pictures.
    """

    gram: Float[Tensor, "b d d"]
    cross: Float[Tensor, "b c d p"]
    softness: Float[Tensor, "b c"]


class RidgeSolution(NamedTuple):
    """A solved regression; it depends on the prompts alone. q = channels * 16.

    weights: (b, d, q); inside, outside: (b, 1, q) mean predictions of the prompts' cells with and without the class.
    """

    weights: Float[Tensor, "b d q"]
    inside: Float[Tensor, "b 1 q"]
    outside: Float[Tensor, "b 1 q"]


class _Solutions:
    """The solutions of one prompt state by target type, each computed once; safe from several threads."""

    def __init__(self) -> None:
        self._lock, self._known = Lock(), dict[TargetType, RidgeSolution]()

    def get(self, target_type: TargetType, solve: Callable[[], RidgeSolution]) -> RidgeSolution:
        if torch.is_grad_enabled():  # a gradient needs a graph of its own
            return solve()
        with self._lock:
            if target_type not in self._known:
                self._known[target_type] = solve()
            return self._known[target_type]

    def __deepcopy__(self, memo: dict[int, object]) -> "_Solutions":
        return _Solutions()

    def __reduce__(self) -> tuple[type["_Solutions"], tuple[()]]:
        return _Solutions, ()


@dataclass(frozen=True)
class PromptState:
    """Prompts that were encoded once, for any number of queries.

    keys: per matching depth or block (b, heads, panels * t, e); values: (b, heads, panels * t, channels, v); sums:
    `RidgeStatistics` of the prompts as a plain tuple, in float32, empty in the merged form. b is 1 for prompts that all
    queries share, else one set of prompts per query.
    """

    keys: tuple[Float[Tensor, "b h k e"], ...]
    values: tuple[Float[Tensor, "b h k c v"], ...]
    sums: tuple[Float[Tensor, "b ..."], ...] = ()
    _solutions: _Solutions = field(default_factory=_Solutions, init=False, repr=False, compare=False)

    @property
    def channels(self) -> int:
        """The number of target channels."""
        return int(self.values[0].shape[3])

    @property
    def statistics(self) -> RidgeStatistics:
        """The sums that the regression needs; matching form only."""
        return RidgeStatistics(*self.sums)

    def solution(
        self, target_type: TargetType, solve: Callable[[RidgeStatistics, TargetType], RidgeSolution]
    ) -> RidgeSolution:
        """The regression solved on these prompts; computed at most once per target type where no gradient is wanted."""
        return self._solutions.get(target_type, lambda: solve(self.statistics, target_type))

    def expand(self, batch: int) -> "PromptState":
        """The same prompts for each of `batch` queries, without a copy; prompts that are already per query stay."""
        if self.keys[0].shape[0] == batch:
            return self
        keys, values, sums = (
            tuple(tensor.expand(batch, *tensor.shape[1:]) for tensor in part)
            for part in (self.keys, self.values, self.sums)
        )
        return PromptState(keys, values, sums)

    def select(self, channels: Int[Tensor, " k"]) -> "PromptState":
        """The prompts with these target channels, in this order; a channel may be repeated."""
        values = tuple(values.index_select(3, channels) for values in self.values)
        sums = (*self.sums[:1], *(sums.index_select(1, channels) for sums in self.sums[1:]))
        return PromptState(self.keys, values, sums)

    def to(self, device: torch.device) -> "PromptState":
        """The same on another device."""
        keys, values, sums = (tuple(t.to(device) for t in parts) for parts in (self.keys, self.values, self.sums))
        return PromptState(keys, values, sums)

    @staticmethod
    def concatenate(parts: "Sequence[PromptState]") -> "PromptState":
        """Join prompts. Right only where prompts are independent (`config.independent_prompts`)."""
        keys, values = (
            tuple(torch.cat(same, dim=2) for same in zip(*tensors, strict=True))
            for tensors in ([part.keys for part in parts], [part.values for part in parts])
        )
        sums = tuple(torch.stack(same).sum(0) for same in zip(*(part.sums for part in parts), strict=True))
        return PromptState(keys, values, sums)

    def tensors(self) -> dict[str, Tensor]:
        """Named tensors, for a file."""
        parts = {"keys": self.keys, "values": self.values, "sums": self.sums}
        return {f"{name}.{i}": tensor.contiguous() for name, part in parts.items() for i, tensor in enumerate(part)}

    @staticmethod
    def from_tensors(tensors: dict[str, Tensor]) -> "PromptState":
        """Undo `tensors`."""
        keys, values, sums = (
            tuple(tensors[f"{part}.{i}"] for i in range(sum(name.startswith(f"{part}.") for name in tensors)))
            for part in ("keys", "values", "sums")
        )
        return PromptState(keys, values, sums)
