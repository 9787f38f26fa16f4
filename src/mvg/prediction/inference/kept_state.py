"""Encoded prompts as they are kept in memory: small, and joined for a query without further copies."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mvg.model.outputs import PromptState


class KeptState(NamedTuple):
    """A state in bfloat16 with a half of its symmetric sums, and with one channel for all empty ones.

    channels: the number of each target channel among those of `distinct`; None where it has all of them.
    """

    distinct: PromptState
    channels: Int[Tensor, " c"] | None = None

    @classmethod
    def of(cls, state: PromptState, channels: Int[Tensor, " c"] | None = None) -> "KeptState":
        """A state as the network encoded it. Sums are differences of large numbers, so they keep 32 bits."""
        keys, values = (tuple(t.bfloat16() for t in tensors) for tensors in (state.keys, state.values))
        gram, others = state.sums[:1], state.sums[1:]
        return cls(PromptState(keys, values, (*(_lower_half(sums) for sums in gram), *others)), channels)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return state_bytes(self.distinct)

    def whole(self) -> PromptState:
        """With every channel and all sums."""
        state = self.distinct if self.channels is None else self.distinct.select(self.channels)
        return replace(state, sums=(*(_both_halves(sums) for sums in state.sums[:1]), *state.sums[1:]))

    def numbers(self, channels: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        """Where these target channels are among those of `distinct`."""
        return channels if self.channels is None else self.channels[channels]


def joined(parts: Sequence[KeptState], channels: Int[Tensor, " c"]) -> PromptState:
    """Some target channels of several prompts; right only where prompts are independent."""
    states, numbers = [part.distinct for part in parts], [part.numbers(channels) for part in parts]
    keys = tuple(torch.cat(same, dim=2) for same in zip(*(state.keys for state in states), strict=True))
    values = tuple(_joined_values(same, numbers) for same in zip(*(state.values for state in states), strict=True))
    same_sums = list(zip(*(state.sums for state in states), strict=True))
    grams = (_both_halves(_total(same)) for same in same_sums[:1])
    others = (_total([part.index_select(1, number) for part, number in zip(same, numbers, strict=True)])
              for same in same_sums[1:])  # fmt: skip
    return PromptState(keys, values, (*grams, *others))


def state_bytes(state: PromptState) -> int:
    """Bytes of a state in memory."""
    return sum(tensor.numel() * tensor.element_size() for tensor in (*state.keys, *state.values, *state.sums))


def _joined_values(
    parts: Sequence[Float[Tensor, "b h k _ v"]], numbers: Sequence[Int[Tensor, " c"]]
) -> Float[Tensor, "b h n c v"]:
    batch, heads, _, _, width = parts[0].shape
    result = parts[0].new_empty(batch, heads, sum(part.shape[2] for part in parts), len(numbers[0]), width)
    start = 0
    for part, number in zip(parts, numbers, strict=True):
        stop = start + part.shape[2]
        result[:, :, start:stop] = part.index_select(3, number)
        start = stop
    return result


def _total(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total


def _lower_half(sums: Float[Tensor, "b d d"]) -> Float[Tensor, "b p"]:
    """Half of symmetric sums, which are most of a state of few classes."""
    return sums.flatten(1)[:, _places(sums.shape[1])[0]]


def _both_halves(half: Float[Tensor, "b p"]) -> Float[Tensor, "b d d"]:
    width = (math.isqrt(8 * half.shape[1] + 1) - 1) // 2
    return half[:, _places(width)[1]].view(len(half), width, width)


@cache
def _places(width: int) -> tuple[Int[Tensor, " p"], Int[Tensor, " q"]]:
    """Where the lower half of a square lies in it, row by row; and where each of its values lies in that half."""
    rows, cols = torch.tril_indices(width, width)
    lower = rows * width + cols
    numbers = torch.zeros(width, width, dtype=torch.long)
    numbers[rows, cols] = numbers[cols, rows] = torch.arange(len(lower))
    return lower, numbers.flatten()
