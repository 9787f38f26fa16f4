"""Linear layers and convolutions that compute in 16 bits where the processor is faster at it.

Only the products are in bfloat16: inputs and outputs are float32, and so are residual streams, norms, activations and
the regression. Weights that ship are stored in bfloat16, so their rounding costs nothing.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Copies:
    """The weight and bias of a layer in bfloat16, made again when these change."""

    def __init__(self) -> None:
        self._kept: tuple[object, Tensor, Tensor | None] | None = None

    def get(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        state = (_state(weight), None if bias is None else _state(bias))
        kept = self._kept
        if kept is None or kept[0] != state:
            copied = weight.detach().bfloat16()
            if copied.ndim == 4:
                copied = copied.contiguous(memory_format=torch.channels_last)
            kept = (state, copied, None if bias is None else bias.detach().bfloat16())
            self._kept = kept  # two threads may both compute it; the copies are equal
        return kept[1], kept[2]

    def __deepcopy__(self, memo: dict[int, object]) -> "_Copies":
        return _Copies()

    def __reduce__(self) -> tuple[type["_Copies"], tuple[()]]:
        return _Copies, ()


class Linear(nn.Linear):
    """`nn.Linear`, in 16 bits where `reduced` and where no gradients are recorded."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.reduced, self._copies = False, _Copies()

    @property
    def is_reduced(self) -> bool:
        """Whether a call now computes in 16 bits."""
        return self.reduced and not torch.is_grad_enabled() and self.weight.dtype == torch.float32

    def forward(self, x: Tensor) -> Tensor:
        """As nn.Linear."""
        if not self.is_reduced:
            return super().forward(x)
        return F.linear(x.bfloat16(), *self._copies.get(self.weight, self.bias)).float()


class Conv2d(nn.Conv2d):
    """`nn.Conv2d`, in 16 bits where `reduced` and where no gradients are recorded."""

    def __init__(
        self, inputs: int, outputs: int, side: int, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, side, stride, padding, groups=groups)
        self.reduced, self._copies = False, _Copies()

    @property
    def is_reduced(self) -> bool:
        """Whether a call now computes in 16 bits."""
        return self.reduced and not torch.is_grad_enabled() and self.weight.dtype == torch.float32

    def forward(self, x: Tensor) -> Tensor:
        """As nn.Conv2d; maps that are in 16 bits stay so."""
        if not self.is_reduced:
            return super().forward(x)
        weight, bias = self._copies.get(self.weight, self.bias)
        return F.conv2d(x.bfloat16(), weight, bias, self.stride, self.padding, groups=self.groups).to(x.dtype)


def reduce_precision(model: nn.Module) -> None:
    """Compute the layers of a model in 16 bits from now on, wherever no gradients are recorded."""
    for layer in model.modules():
        if isinstance(layer, Linear | Conv2d):
            layer.reduced = True


def _state(tensor: Tensor) -> tuple[int, int]:
    """What differs once a tensor has been replaced or changed."""
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version
