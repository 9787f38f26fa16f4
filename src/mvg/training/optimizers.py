"""Optimizers by name: AdamW alone, or Muon for weights that are matrices and AdamW for the rest."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from mvg.training.optimization import OptimizerSettings

BETAS = (0.9, 0.95)
"""Of AdamW."""
_FEWEST = 4  # rows and columns of a weight that Muon takes
_MOMENTUM = 0.95
_ITERATIONS, _COEFFICIENTS = 5, (3.4445, -4.775, 2.0315)  # Newton-Schulz iteration, values of Jordan (2024)
_ADAMW_SIZE = 0.2  # root mean square of AdamW's steps


class Muon(Optimizer):
    """Muon (Jordan 2024) for weights of any number of dimensions; each counts as a matrix with one row per output.

    PyTorch's own Muon takes matrices only and multiplies in bfloat16, which takes 27 times as long on a processor
    without bfloat16 (9.2 s instead of 0.33 s per step of `tiny`). products: the type in which matrices are multiplied.
    Steps have the size of AdamW's, so both take one learning rate (Liu et al. 2025).
    """

    def __init__(
        self, weights: list[nn.Parameter], rate: float, weight_decay: float, products: torch.dtype = torch.bfloat16
    ) -> None:
        super().__init__(weights, {"lr": rate, "weight_decay": weight_decay})
        self.products = products

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Update all weights that have a gradient."""
        assert closure is None, "closures are not supported"
        for group in self.param_groups:
            for weight in (weight for weight in group["params"] if weight.grad is not None):
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                mean = state["momentum"]
                mean.lerp_(weight.grad, 1 - _MOMENTUM)
                matrix = weight.grad.lerp(mean, _MOMENTUM).reshape(len(weight), -1)
                step = orthogonal(matrix.to(self.products)).to(weight.dtype).view_as(weight)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(step, alpha=group["lr"] * _ADAMW_SIZE * max(matrix.shape) ** 0.5)


def orthogonal(matrix: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """About the nearest matrix whose singular values are all 1, by a quintic Newton-Schulz iteration."""
    flat = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    flat = flat / flat.norm().clamp(min=1e-7)
    first, third, fifth = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        square = flat @ flat.T
        flat = torch.addmm(flat, torch.addmm(square, square, square, beta=third, alpha=fifth), flat, beta=first)
    return flat if len(matrix) <= matrix.shape[1] else flat.T


def optimizers_for(
    network: nn.Module, settings: OptimizerSettings, products: torch.dtype = torch.bfloat16
) -> list[Optimizer]:
    """The optimizers that share the parameters of a network among them.

    Only weights of layers with two dimensions or more decay: not biases, norms, and parameters outside of layers.
    products: see `Muon`.
    """
    learned = {name: p for name, p in network.named_parameters() if p.requires_grad}
    weights = [p for name, p in learned.items() if name.endswith(".weight") and p.ndim >= 2]
    matrices = [p for p in weights if settings.name == "muon" and min(len(p), p[0].numel()) >= _FEWEST]
    by_muon, decayed = ({id(p) for p in group} for group in (matrices, weights))
    groups = [
        {"params": [p for p in weights if id(p) not in by_muon], "weight_decay": settings.weight_decay},
        {"params": [p for p in learned.values() if id(p) not in decayed], "weight_decay": 0.0},
    ]
    adamw = AdamW(groups, lr=settings.learning_rate, betas=BETAS, fused=True)
    return [Muon(matrices, settings.learning_rate, settings.weight_decay, products), adamw] if matrices else [adamw]
