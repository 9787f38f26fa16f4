"""The tensors that a weights file names, beside the network that its config describes: a larger one is never built."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from threading import get_ident

from safetensors import safe_open
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from mvg.model.state_names import rename_old

Shapes = Mapping[str, tuple[int, ...]]
_TIMES = 2  # as many numbers as a file has may be registered: a part may be set twice while a network is built


def stored_shapes(file: Path) -> Shapes:
    """The shapes of the tensors in a safetensors file by their present names; nothing large is read.

    Raises what `safe_open` raises.
    """
    with safe_open(file, framework="pt") as tensors:
        names = list(tensors.keys())
        shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
    rename_old(shapes)
    return shapes


@contextmanager
def bounded_by(shapes: Shapes) -> Iterator[None]:
    """Raises ValueError as soon as a network that this thread builds has far more numbers than the tensors.

    PyTorch asks the system for a parameter, registers it and fills it then, so one that is too large takes no memory.
    """
    thread, most, count = get_ident(), _TIMES * sum(map(prod, shapes.values())), 0

    def add(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal count
        if parameter is not None and get_ident() == thread:
            count += parameter.numel()
            if count > most:
                raise ValueError(f"its config describes a network of more than {most} numbers, which the file lacks")

    hook = register_module_parameter_registration_hook(add)
    try:
        yield
    finally:
        hook.remove()


def misfit(model: nn.Module, shapes: Shapes) -> str:
    """What differs between a network and the tensors of a file; "" where they are the same."""
    needed = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name, shape in needed.items():
        if name not in shapes:
            return f"{name} is missing"
        if shapes[name] != shape:
            return f"{name} is {_written(shapes[name])}, and {_written(shape)} by its config"
    unknown = sorted(set(shapes) - set(needed))
    return f"{unknown[0]} belongs to another network" if unknown else ""


def _written(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "one number"
