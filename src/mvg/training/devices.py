"""How devices share the work of a step; nothing here changes what a step learns from, or what is learned."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from mvg.errors import first_line
from mvg.model.generalist import Generalist
from mvg.model.matching import MatchingForm
from mvg.model.recomputation import recompute_blocks
from mvg.model.transformer import Block
from mvg.training.precision import InPrecision

ACCELERATORS = {
    "a100-80gb": (80e9, 312e12),
    "h100-80gb": (80e9, 989e12),
    "h200-141gb": (141e9, 989e12),
    "l40s-48gb": (48e9, 362e12),
}
"""Bytes of memory and FLOPs per second, dense bfloat16, as their makers state them."""


@dataclass(frozen=True)
class DeviceSettings:
    """How devices share the work.

    gradient_accumulation: parts into which the batch of a step is divided, one after the other, so that a device
    needs the memory of one part; activation_checkpointing: blocks compute their activations again in the backward
    pass, for less memory and about a third more work; compile: the compiler of `torch.compile`, or "off"; sharding:
    "full" divides weights, gradients, optimizer and averaged weights among the processes, "none" copies them to each;
    accelerator: the device that a dry run plans for, a name in `ACCELERATORS`; "" for the one that is there.
    """

    gradient_accumulation: int = 1
    activation_checkpointing: bool = False
    compile: Literal["off", "inductor", "aot_eager"] = "off"
    sharding: Literal["none", "full"] = "none"
    accelerator: Literal["", "a100-80gb", "h100-80gb", "h200-141gb", "l40s-48gb"] = ""


@dataclass(frozen=True, eq=False)
class DistributedModel:
    """A network on its devices.

    module: what is called in training; optimizers: of its parameters; backward: the backward pass of a loss;
    unsynchronized: within it, a backward pass leaves gradients as they are in each process.
    """

    module: nn.Module
    optimizers: list[Optimizer]
    backward: Callable[[Tensor], None]
    unsynchronized: Callable[[], AbstractContextManager[Any]]


def prepare_network(network: Generalist, settings: DeviceSettings) -> None:
    """Let a network recompute activations and compile itself at its first call, as the settings say."""
    if settings.activation_checkpointing:
        recompute_blocks(network)
    if settings.compile != "off":
        for part in _parts_to_compile(network):
            part.compile(backend=settings.compile)


def _parts_to_compile(network: Generalist) -> Sequence[nn.Module]:
    """The parts whose shapes depend on the sizes of a batch alone.

    In the matching form, those with nearly all of the work. Between them, how many pictures have voids decides shapes,
    and each number would be compiled anew.
    """
    form = network.form
    if isinstance(form, MatchingForm):
        return form.image_encoder, form.target_encoder, form.decoder
    return (network,)


def is_compiler_error(error: Exception) -> bool:
    """Whether `torch.compile` raised it. Told by its module, since importing the compiler takes seconds."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))


def stop_compiling(networks: Sequence[nn.Module], error: Exception) -> None:
    """Let networks go on without compilation, and say why: no compiler on this machine, for example."""
    for module in (module for network in networks for module in network.modules()):
        module._compiled_call_impl = None
    logging.getLogger(__name__).warning(
        "the network is not compiled, so it trains more slowly (%s: %s)", type(error).__name__, first_line(error)
    )


def distribute(
    fabric: Any,
    network: Generalist,
    average: AveragedModel,
    optimizers_of: Callable[[nn.Module], list[Optimizer]],
    settings: DeviceSettings,
) -> DistributedModel:
    """Put a network and its average on the devices of a run, copied or sharded, and make its optimizers."""
    average.to(fabric.device)
    if settings.sharding == "full":
        return _sharded(fabric, network, average, optimizers_of)
    module, *optimizers = fabric.setup(network, *optimizers_of(network))

    def unsynchronized() -> AbstractContextManager[Any]:
        if fabric.world_size == 1:
            return nullcontext()
        several: AbstractContextManager[Any] = fabric.no_backward_sync(module)
        return several

    return DistributedModel(module, optimizers, fabric.backward, unsynchronized)


def _sharded(
    fabric: Any, network: Generalist, average: AveragedModel, optimizers_of: Callable[[nn.Module], list[Optimizer]]
) -> DistributedModel:
    """Weights in one shard per process; a block's weights are gathered while the block computes.

    Fabric itself shards on GPUs alone; torch does so on every device.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(fabric.device.type, (fabric.world_size,))
    network.to(fabric.device)
    for root in (network, average.module):
        for block in (module for module in root.modules() if isinstance(module, Block)):
            fully_shard(block, mesh=mesh)
        fully_shard(root, mesh=mesh)
    return DistributedModel(
        InPrecision(network, fabric.autocast),
        optimizers_of(network),
        torch.autograd.backward,
        lambda: _Unsynchronized(network),
    )


class _Unsynchronized(AbstractContextManager[None]):
    """Within it, gradients of a sharded network are summed in each process alone."""

    def __init__(self, network: Any) -> None:
        self.network = network

    def __enter__(self) -> None:
        self.network.set_requires_gradient_sync(False)

    def __exit__(self, *error: object) -> None:
        self.network.set_requires_gradient_sync(True)
