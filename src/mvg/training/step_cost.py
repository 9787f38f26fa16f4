"""What one training step costs, counted on tensors without memory: bytes on each device, and operations."""

from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary, finalize

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from mvg._plugins import named
from mvg.canvas import Pairs
from mvg.model.generalist import Generalist
from mvg.model.recomputation import recompute_blocks
from mvg.model.transformer import Block
from mvg.tasks import TargetType
from mvg.training import objectives
from mvg.training.batch import ObjectiveContext, pairs_for
from mvg.training.losses import loss_of
from mvg.training.recipe import Recipe

_FLOAT = 4  # bytes of a weight
_OVERHEAD = 1.45  # a real step of `large` held 1.41 times the computed bytes: profiling/results/large-step.json


@dataclass(frozen=True)
class StepCost:
    """The cost of one step of a recipe on each device.

    parameters: of the network; state_bytes: weights, averages and the optimizer's tensors; working_bytes: the most that
    a part of a batch needs beside them, gradients and activations; flops: of a step, a product and a sum being two, on
    average over the recipe's objectives; checkpoint_bytes: of a checkpoint of the run on disk.
    """

    parameters: int
    state_bytes: int
    working_bytes: int
    flops: float
    checkpoint_bytes: int

    @property
    def device_bytes(self) -> int:
        """The memory that a step needs on each device, with what libraries need beside tensors."""
        return self.state_bytes + round(_OVERHEAD * self.working_bytes)


def step_cost(recipe: Recipe, precision: Literal["bf16-mixed", "32-true"], world_size: int) -> StepCost:
    """Count a step of the largest shapes that the recipe draws, for every objective that it uses.

    The bytes are those of attention that is computed at once, as on a CPU; fused attention needs less.
    Nothing is computed where the network's path does not depend on pixels, as in the merged form; else one step of
    random pictures is.
    """
    kinds: tuple[tuple[TargetType, float, dict[str, float]], ...] = (
        ("labels", recipe.episodes.label_fraction, recipe.objectives.labels),
        ("image", 1 - recipe.episodes.label_fraction, recipe.objectives.image),
    )
    runs = [
        (fraction * share, _counted(recipe, precision, target_type, objective))
        for target_type, fraction, shares in kinds
        for objective, share in shares.items()
        if fraction * share > 0
    ]
    parts = recipe.devices.gradient_accumulation
    counts = runs[0][1]
    shards = world_size if recipe.devices.sharding == "full" else 1
    copies = 2 + (2 if recipe.optimizer.name == "adamw" else 1)  # weights, average; moments
    gathered = 0 if shards == 1 else _FLOAT * (counts.outside_blocks + 2 * counts.block)  # one computes, one comes
    return StepCost(
        counts.parameters,
        -(-copies * _FLOAT * counts.parameters // shards),
        max(count.peak for _, count in runs) + gathered,
        parts * sum(weight * count.flops for weight, count in runs),
        copies * _FLOAT * counts.parameters,
    )


@dataclass(frozen=True)
class _Counts:
    """parameters: of all, of one block, and of what is in no block; peak: bytes; flops: of one part of a batch."""

    parameters: int
    block: int
    outside_blocks: int
    peak: int
    flops: float


def _counted(recipe: Recipe, precision: str, target_type: TargetType, objective: str) -> _Counts:
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            return _count(recipe, precision, target_type, objective)
    except DataDependentOutputException:
        return _count(recipe, precision, target_type, objective)


def _count(recipe: Recipe, precision: str, target_type: TargetType, objective: str) -> _Counts:
    network = Generalist(recipe.model).train()
    if recipe.learns == "picture_refiner":
        network.let_refiner_learn_alone()
    if recipe.devices.activation_checkpointing:
        recompute_blocks(network)
    with _PeakMemory() as memory:
        one_step(network, recipe, precision, target_type, objective)
    # Counted apart, because the counter keeps tensors alive that are computed again.
    with FlopCounterMode(display=False) as operations:
        one_step(network, recipe, precision, target_type, objective)
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    total, in_blocks = _size(network), sum(map(_size, blocks))
    return _Counts(total, max(map(_size, blocks)), total - in_blocks, memory.peak, float(operations.get_total_flops()))


def one_step(network: Generalist, recipe: Recipe, precision: str, target_type: TargetType, objective: str) -> Tensor:
    """The forward and backward pass of random requests of the largest shapes of a recipe; returns the loss."""
    pairs, patch = _largest_pairs(recipe, target_type), recipe.model.patch
    context = ObjectiveContext(torch.Generator().manual_seed(0), recipe.objectives.mask_ratio)
    batch = named(objectives, objective).make_batch(pairs_for(recipe.model, pairs), patch, context)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        loss = loss_of(batch.run(network), batch, pairs, patch, recipe.loss)
        torch.autograd.backward(loss)
    return loss.detach()


def _largest_pairs(recipe: Recipe, target_type: TargetType) -> Pairs:
    """Random requests of the most pairs, classes and pixels, in one part of a batch."""
    episodes, model = recipe.episodes, recipe.model
    count, panels = episodes.batch // recipe.devices.gradient_accumulation, episodes.panels[1]
    side = max(episodes.sizes, default=model.size)
    classes = episodes.classes[1] if target_type == "labels" and not model.paints else 1
    images = torch.rand(count, panels, model.inputs, side, side)
    targets = torch.rand(count, panels, classes, side, side)
    if target_type == "labels":
        targets = (targets > 0.9).float()
    return Pairs(
        images,
        targets,
        torch.ones(count, classes, dtype=torch.bool),
        torch.rand(count, classes),
        (tuple(str(panel) for panel in range(panels)),) * count,
        target_type,
        ("set/task",) * count,
    )


class _PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that operations make, and the most that were alive at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        inputs = {id(tensor.untyped_storage()) for tensor in args if isinstance(tensor, Tensor)}
        tree_map_only(Tensor, lambda tensor: self._note(tensor, inputs), results)
        return results

    def _note(self, tensor: Tensor, inputs: set[int]) -> None:
        storage = tensor.untyped_storage()
        if id(storage) in inputs or storage in self._known:  # a view
            return
        size = storage.nbytes()
        self._known[storage] = size
        self.live += size
        self.peak = max(self.peak, self.live)
        finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.live -= size


def _size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
