"""Training: a recipe becomes a run, which can be resumed exactly and may use several devices."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from mvg._plugins import named
from mvg.canvas import Pairs
from mvg.data.store import Store
from mvg.errors import FileError, RecipeError, UnknownNameError
from mvg.model.generalist import Generalist
from mvg.model.initialization import initialize, take_trunk
from mvg.model.weights import describe_weights, load_weights
from mvg.training import objectives
from mvg.training.batch import ObjectiveContext, pairs_for
from mvg.training.checkpoint import CHECKPOINT, START_AGAIN, TrainState, model_of, read, resume, save
from mvg.training.curves import Curves
from mvg.training.devices import DistributedModel, distribute, is_compiler_error, prepare_network, stop_compiling
from mvg.training.distillation import Teacher, load_teacher
from mvg.training.episodes import EpisodeData, Episodes
from mvg.training.launch import RunLocation, launch, lost_processes_as_errors
from mvg.training.loading import loader
from mvg.training.losses import loss_of
from mvg.training.optimization import (
    Clock,
    Every,
    OnStep,
    Progress,
    StepResult,
    Updater,
    averaged_copy,
    train_loop,
)
from mvg.training.optimizers import optimizers_for
from mvg.training.precision import InPrecision, precision_on
from mvg.training.recipe import Recipe, check_model
from mvg.training.run_lock import locked

_SETTLED = 1.0  # seconds
Validation = Callable[[Generalist, Path, int], dict[str, float]]
"""(averaged model, folder for pictures, step) -> scores for the curves."""


def train(
    recipe: Recipe, location: RunLocation, validate: Validation | None = None, on_step: OnStep | None = None
) -> Path:
    """Train as the recipe says and return the checkpoint's path; a folder with a checkpoint is resumed.

    The batch and the hidden patches of a step depend on (seed, step) alone, so a resumed run has the losses of an
    uninterrupted one. Of several processes only the first one validates, calls `on_step` and returns; the others end
    with the run.
    """
    recipe = with_model(recipe, location.folder)
    if recipe.devices.sharding == "full" and location.world_size == 1:
        raise RecipeError("devices.sharding = 'full' in one process", "several processes", "use --processes, or 'none'")
    precision = precision_on(location.device, recipe.precision)
    fabric = launch(precision, location)
    torch.manual_seed(recipe.seed)
    store = store_of(recipe)
    lock = locked(location.folder) if fabric.is_global_zero else nullcontext()
    with lock, lost_processes_as_errors(location):
        _Run.start(fabric, precision, recipe, location.folder).train(store, validate, on_step, location.deadline)
        if location.world_size > 1:
            _wait_for_the_others(fabric)
    if not fabric.is_global_zero:
        raise SystemExit  # from here, where nothing holds the network: its group of processes would hang at the exit
    return location.folder / CHECKPOINT


@dataclass(frozen=True, eq=False)
class _Run:
    """A run in one of its processes."""

    fabric: Any
    recipe: Recipe
    folder: Path
    model: DistributedModel
    state: TrainState
    updater: Updater
    teacher: Teacher | None

    @classmethod
    def start(cls, fabric: Any, precision: Literal["bf16-mixed", "32-true"], recipe: Recipe, folder: Path) -> "_Run":
        """Make the network and its optimizers, as the folder's checkpoint holds them where there is one."""
        network = _first_network(recipe, folder)
        average = averaged_copy(network, recipe.optimizer.ema_decay)
        prepare_network(network, recipe.devices)
        products = torch.float32 if precision == "32-true" else torch.bfloat16

        def optimizers_of(module: nn.Module) -> list[Optimizer]:
            return optimizers_for(module, recipe.optimizer, products)

        model = distribute(fabric, network, average, optimizers_of, recipe.devices)
        state = TrainState(network, average, model.optimizers, Progress(), recipe.devices.sharding == "full")
        if (folder / CHECKPOINT).exists():
            resume(folder / CHECKPOINT, recipe, state, fabric.device)
        _check_agreement(fabric, state.progress.step)
        updater = Updater(network, model.optimizers, recipe.optimizer, average, model.backward)
        return cls(fabric, recipe, folder, model, state, updater, _teacher(fabric, recipe))

    def train(self, store: Store, validate: Validation | None, on_step: OnStep | None, deadline: float) -> None:
        """Take all steps that are left, or those before the deadline, then save and validate once more."""
        progress, first = self.state.progress, self.state.progress.step
        observers, final = self._observers(validate, on_step)
        clock = Clock(agreed=self.fabric.broadcast, deadline=deadline)
        train_loop(self._step, self._batches(store), progress, self.recipe.schedule.budget, observers, clock)
        if progress.step > first:  # a finished run is not written again: several processes may read it
            for action in final:
                action(progress)

    def _batches(self, store: Store) -> Iterator[Pairs]:
        recipe, device = self.recipe, self.fabric.device
        data = EpisodeData(store, ("train",), recipe.data.tasks, recipe.model.inputs)
        episodes = Episodes(
            data, recipe.episodes, recipe.augmentation, recipe.model.size, recipe.seed, self.fabric.global_rank
        )
        steps = loader(episodes, self.state.progress.step, recipe.data.workers, recipe.data.steps_ahead)
        return (pairs.to(device) for pairs in steps)

    def _observers(
        self, validate: Validation | None, on_step: OnStep | None
    ) -> tuple[list[OnStep], list[Callable[[Progress], None]]]:
        """What a process does after each step, and once more at the end: checkpoint and validation.

        The first process alone calls `on_step`, validates and writes curves; all take part in sharded checkpoints.
        """
        schedule, seconds, rank = self.recipe.schedule, self.state.progress.seconds, self.fabric.global_rank
        curves = Curves(self.folder, self.state.progress.step) if rank == 0 else None
        written = {self.state.progress.step}

        def record(progress: Progress, result: StepResult, share: float) -> None:
            rate = self.state.optimizers[0].param_groups[0]["lr"]
            if curves is not None:
                curves.add(progress, result, rate, schedule.log_steps)

        def write_checkpoint(progress: Progress) -> None:
            if progress.step not in written:  # shards that a checkpoint names must never be written again
                save(self.folder / CHECKPOINT, self.recipe, self.state, rank)
                written.add(progress.step)

        def write_validation(progress: Progress) -> None:
            averaged_model = self.state.averaged_model  # by all processes, where it is sharded
            if validate is not None and curves is not None:
                curves.write(progress, validate(averaged_model, self.folder, progress.step))

        every = 60 * schedule.validation_minutes
        rhythm = seconds // every * every if every else seconds  # a resumed run validates when it would have
        observers: list[OnStep] = [
            *([on_step] if on_step is not None and rank == 0 else []),
            record,
            Every(60 * schedule.checkpoint_minutes, write_checkpoint, seconds),
            Every(every, write_validation, rhythm),
        ]
        return observers, [write_checkpoint, write_validation]

    def _step(self, pairs: Pairs, progress: Progress, share: float) -> StepResult:
        """One update; again without compilation where the network cannot be compiled on this machine."""
        try:
            return self._update(pairs, progress, share)
        except RuntimeError as error:
            if not is_compiler_error(error):
                raise
            stop_compiling([self.state.model, *([] if self.teacher is None else [self.teacher.network])], error)
            return self._update(pairs, progress, share)

    def _update(self, pairs: Pairs, progress: Progress, share: float) -> StepResult:
        """One update of the network on one batch, in as many parts as the recipe divides it into."""
        recipe, losses = self.recipe, list[float]()
        objective = recipe.objectives.draw(pairs.target_type, np.random.default_rng([recipe.seed, progress.step]))
        parts = pairs.split(recipe.devices.gradient_accumulation)
        self.updater.begin(share)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            with nullcontext() if last else self.model.unsynchronized():
                loss = self._loss(part, objective, (progress.step, self.fabric.global_rank, number)) / len(parts)
                self.model.backward(loss)
            losses.append(float(loss.detach()))
        self.updater.finish()
        return StepResult(sum(losses), len(pairs.images), pairs.target_type)

    def _loss(self, pairs: Pairs, objective: str, turn: tuple[int, int, int]) -> torch.Tensor:
        """The loss of a part of a batch. turn: step, process and part, which decide what is random."""
        recipe, patch = self.recipe, self.recipe.model.patch
        entropy = [recipe.seed, *(turn if turn[2] else turn[:2])]
        seeds = np.random.SeedSequence(entropy).generate_state(2)
        torch.manual_seed(int(seeds[0]))  # of dropped paths
        context = ObjectiveContext(torch.Generator().manual_seed(int(seeds[1])), recipe.objectives.mask_ratio)
        batch = named(objectives, objective).make_batch(pairs_for(recipe.model, pairs), patch, context)
        loss = loss_of if self.teacher is None else self.teacher.loss
        return loss(batch.run(self.model.module), batch, pairs, patch, recipe.loss)


def _teacher(fabric: Any, recipe: Recipe) -> Teacher | None:
    """The network whose answers a run also learns from, on its device; None where the recipe names none."""
    if not recipe.distillation.teacher:
        return None
    network = load_teacher(recipe.distillation, recipe.model).to(fabric.device)
    prepare_network(network, recipe.devices)
    return Teacher(InPrecision(network, fabric.autocast), recipe.distillation.share)


def _check_agreement(fabric: Any, step: int) -> None:
    """Raises FileError where the processes of a run do not go on from the same checkpoint."""
    first = fabric.broadcast(step)
    if first != step:
        raise FileError(
            f"process {fabric.global_rank} reads a checkpoint of step {step}, the first process one of step {first}",
            "one checkpoint, in a folder that all nodes share",
            "choose an --output on a file system that all nodes share",
        )


def store_of(recipe: Recipe) -> Store:
    """The data sets that a recipe trains on. Raises what `Store.open` raises, and UnknownNameError for a set."""
    store = Store.open(recipe.data.store)
    for name in recipe.data.sets:
        if name not in store.sets:
            raise UnknownNameError("prepared set", name, store.sets)
    if recipe.data.sets:
        store = replace(store, sets={name: store.sets[name] for name in recipe.data.sets})
    return store


def with_model(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the network of the run that is resumed, or of the weights that the run starts from."""
    checkpoint = folder / CHECKPOINT
    if recipe.start and checkpoint.exists():
        recipe = replace(recipe, model=model_of(read(checkpoint, torch.device("cpu"), START_AGAIN)))
    elif recipe.start:
        recipe = replace(recipe, model=describe_weights(recipe.start).config)
    check_model(recipe)
    return recipe


def _first_network(recipe: Recipe, folder: Path) -> Generalist:
    """The network before its first step.

    A run that is resumed does not need the weights that it started from, except where a part alone learns.
    """
    resumed = (folder / CHECKPOINT).exists()
    if recipe.learns == "picture_refiner":
        network = load_weights(recipe.start)
        network.let_refiner_learn_alone()
        return network
    if recipe.start and not resumed:
        network = load_weights(recipe.start)
        network.drop_fitted()
        return network.train()
    network = Generalist(recipe.model)
    if recipe.trunk and not resumed:
        take_trunk(network, recipe.trunk)
    if recipe.initialize and not resumed:
        count = initialize(network, recipe.initialize)
        logging.getLogger(__name__).info("%d tensors of the encoder come from %s", count, recipe.initialize)
    return network


def _wait_for_the_others(fabric: Any) -> None:
    """All processes of a run end together: one that ends while another still waits for it takes the run down."""
    fabric.barrier()
    # Gloo's thread lets go of the barrier for which it needs the interpreter's lock. Freeing the network holds that
    # lock and waits for the thread: without a pause both may wait forever.
    time.sleep(_SETTLED)
    torch.distributed.destroy_process_group()
