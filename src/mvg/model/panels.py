"""Tensors of all panels of a batch of requests, (b * n, ...), as (b, n, ...), and sums over panels."""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from mvg.model.outputs import RidgeStatistics


def prefix_sums(sums: RidgeStatistics, batch: int, queries: range, order: Literal["causal", "full"]) -> RidgeStatistics:
    """The sums of each panel of each request -> for each query panel, those of the panels that it is predicted from."""

    def prefix(part: Float[Tensor, "b n *rest"]) -> Float[Tensor, "b q *rest"]:
        if order == "full":
            return part.sum(1, keepdim=True).expand(-1, len(queries), *part.shape[2:])
        before = torch.cat([torch.zeros_like(part[:, :1]), part.cumsum(1)], dim=1)
        return before[:, queries.start : queries.stop]

    return RidgeStatistics(*(prefix(panels_of(part, batch)).flatten(0, 1) for part in sums))


def panels_of(tensor: Tensor, batch: int) -> Tensor:
    """Panels (b * n, ...) of all requests as (b, n, ...)."""
    return rearrange(tensor, "(b n) ... -> b n ...", b=batch)


def panel_sums(tensor: Tensor, batch: int) -> Tensor:
    """The sum (batch, ...) over the panels (b * n, ...) of each request; a single panel is not copied."""
    return tensor if tensor.shape[0] == batch else panels_of(tensor, batch).sum(1)
