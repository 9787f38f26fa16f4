"""Linear layers and convolutions that compute in 16 bits where the processor is faster at it.

Their outputs have the type of their inputs. Weights that ship are stored in bfloat16, so their rounding costs nothing.
An activation that follows a layer is computed in the same pass over memory where PyTorch can do that.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["gelu", "relu6"]

_FUNCTIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu6": F.relu6}
_FUSED: dict[Activation, tuple[str, list[float], str]] = {
    "gelu": ("gelu", [], "none"),
    "relu6": ("hardtanh", [0.0, 6.0], ""),
}
"""How oneDNN names them: name, bounds, algorithm."""


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
        return F.linear(x.bfloat16(), *self._copies.get(self.weight, self.bias)).to(x.dtype)


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

    def activated(self, x: Tensor, activation: Activation) -> Tensor:
        """The activation of the output; in 16 bits where the layer computes so."""
        if not self.is_reduced and not _is_plain(x, self.weight):
            return _FUNCTIONS[activation](super().forward(x))
        weight, bias = self._copies.get(self.weight, self.bias) if self.is_reduced else (self.weight, self.bias)
        stride, padding = _pair(self.stride), _pair(self.padding)
        return activated_convolution(x.to(weight.dtype), weight, bias, activation, stride, padding, self.groups)


def activated_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation,
    stride: tuple[int, int] = (1, 1), padding: tuple[int, int] = (0, 0), groups: int = 1,
) -> Tensor:  # fmt: skip
    """A convolution and the activation of its output, in one pass where PyTorch can do that; without gradients."""
    if x.device.type == "cpu" and _fuses(x.dtype):
        fused: Tensor = _fused(x, weight, bias, activation, (list(padding), list(stride), [1, 1], groups))
        return fused
    return _FUNCTIONS[activation](F.conv2d(x, weight, bias, stride, padding, groups=groups))


def _fused(x: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation, sizes: tuple[Any, ...]) -> Any:
    """PyTorch's convolution with an activation; it belongs to its compiler, so versions may lack it."""
    return torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *sizes, *_FUSED[activation])


def _is_plain(x: Tensor, weight: Tensor) -> bool:
    """Whether a layer is now called in 32 bits for its values alone."""
    recorded = torch.is_grad_enabled() or torch.compiler.is_exporting() or torch.is_autocast_enabled(x.device.type)
    return not recorded and x.dtype == weight.dtype == torch.float32


@cache
def _fuses(kind: torch.dtype) -> bool:
    """Whether this version of PyTorch, on this processor, fuses convolutions with activations, and correctly."""
    x, weight, bias = torch.linspace(-9, 9, 32).view(1, 2, 4, 4), torch.ones(3, 2, 1, 1), torch.zeros(3)
    x, weight, bias = (tensor.to(kind) for tensor in (x, weight, bias))
    plain = F.conv2d(x, weight, bias)
    try:
        outputs = {name: _fused(x, weight, bias, name, ([0, 0], [1, 1], [1, 1], 1)) for name in _FUNCTIONS}
    except (AttributeError, RuntimeError, TypeError):
        return False
    return all(torch.allclose(output, _FUNCTIONS[name](plain), 0.02, 0.02) for name, output in outputs.items())


def _pair(sizes: Any) -> tuple[int, int]:
    rows, cols = sizes
    return int(rows), int(cols)


def for_layer(layer: nn.Module, x: Tensor) -> Tensor:
    """The input of a chain of layers that begins with this one: in 16 bits where the chain computes so."""
    return x.bfloat16() if getattr(layer, "is_reduced", False) else x


def from_layer(layer: nn.Module, x: Tensor) -> Tensor:
    """The output of a chain of layers that ends with this one, for what needs 32 bits."""
    return x.float() if getattr(layer, "is_reduced", False) else x


def reduce_precision(model: nn.Module) -> None:
    """Compute the layers of a model in 16 bits from now on, wherever no gradients are recorded."""
    for layer in model.modules():
        if isinstance(layer, Linear | Conv2d):
            layer.reduced = True


def _state(tensor: Tensor) -> tuple[int, int]:
    """What differs once a tensor has been replaced or changed."""
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version
