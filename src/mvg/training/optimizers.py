"""What turns gradients into steps: AdamW alone, or Muon for the matrices and AdamW for the rest."""

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

Name = Literal["adamw", "muon"]
_THIN = 4  # matrices with fewer rows or columns are no matrices worth orthogonalizing


class Matrices(Muon):
    """Muon (Jordan 2024) for weights of any number of dimensions, each seen as a matrix of one row per output.

    Steps are scaled to the size that AdamW's have, so both take one rate (Liu et al. 2025).
    """

    def __init__(self, weights: list[nn.Parameter], rate: float, weight_decay: float) -> None:
        self.weights = weights
        # Views: a step that changes them changes the weights.
        flat = [weight.detach().view(len(weight), -1).requires_grad_() for weight in weights]
        super().__init__(flat, lr=rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step by the gradients of the weights themselves."""
        for weight, flat in zip(self.weights, self._flat(), strict=True):
            flat.grad = None if weight.grad is None else weight.grad.reshape(flat.shape)
        return super().step(closure)  # type: ignore[no-untyped-call]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the weights and of their views."""
        for tensor in (*self.weights, *self._flat()):
            tensor.grad = None

    def _flat(self) -> list[Tensor]:
        flat: list[Tensor] = self.param_groups[0]["params"]
        return flat


def optimizers_for(
    model: nn.Module, name: Name, rate: float, weight_decay: float, betas: tuple[float, float]
) -> list[Optimizer]:
    """The optimizers that share a model's weights among them. Weights decay where they are matrices: not biases, norms
    and learned tokens.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in weights if name == "muon" and p.ndim >= 2 and min(len(p), p[0].numel()) >= _THIN]
    taken = {id(p) for p in matrices}
    rest = [p for p in weights if id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = AdamW(groups, lr=rate, betas=betas, fused=True)
    return [Matrices(matrices, rate, weight_decay), adamw] if matrices else [adamw]
