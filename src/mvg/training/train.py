"""Training: one readable loop over steps; checkpoints resume exactly, on one or several devices (Lightning Fabric)."""

import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from mvg._plugins import named
from mvg.canvas import Pairs
from mvg.data.store import Store
from mvg.errors import RecipeError, UnknownNameError
from mvg.model.device import device_named
from mvg.model.generalist import Generalist
from mvg.model.initialization import initialize
from mvg.model.weights import describe_weights, load_weights
from mvg.training import objectives
from mvg.training.batch import ObjectiveContext
from mvg.training.checkpoint import ANEW, CHECKPOINT, fitting, model_of, read, resume, save
from mvg.training.curves import Curves, Progress
from mvg.training.episodes import Episodes, loader
from mvg.training.losses import loss_of
from mvg.training.optimizers import optimizers_for
from mvg.training.precision import precision_on
from mvg.training.recipe import Recipe, check_model

_SETTLED = 1.0  # seconds
Validation = Callable[[Generalist, Path, int], dict[str, float]]
"""(averaged model, folder for pictures, step) -> figures for the curves."""
OnStep = Callable[[Progress, float, float], None]
"""(progress, loss, share done), after each step."""


@dataclass(frozen=True)
class RunLocation:
    """Where a run happens.

    folder: its checkpoint and curves; device: "cpu", "cuda", "cuda:1" or "auto"; processes: how many devices.
    """

    folder: Path
    device: str = "auto"
    processes: int = 1


def train(recipe: Recipe, where: RunLocation, validate: Validation | None = None, watch: OnStep | None = None) -> Path:
    """Train as the recipe says; a folder with a checkpoint is resumed. Returns the checkpoint's path.

    Every step's batch and hidden patches depend on (seed, step) alone, so a resumed run gives the losses of an
    uninterrupted one. Of several processes the first alone validates, watches and returns: the others end with the run.
    """
    recipe = _with_model(recipe, where.folder)
    precision = precision_on(where.device, recipe.precision)
    fabric = _launched(precision, where)
    if where.processes > 1 and fabric.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // where.processes))
    _train_loop(fabric, precision, recipe, where, validate, watch)
    if not fabric.is_global_zero:
        raise SystemExit  # from here, where nothing holds the network: its group of processes would hang at the exit
    return where.folder / CHECKPOINT


def _train_loop(
    fabric: Any, precision: Literal["bf16-mixed", "32-true"], recipe: Recipe, where: RunLocation,
    validate: Validation | None, watch: OnStep | None,
) -> None:  # fmt: skip
    """The loop over steps, in one of the processes."""
    torch.manual_seed(recipe.seed)
    store = store_of(recipe)
    bare = _begun(recipe, where.folder)
    average = Generalist(bare.config)
    average.load_state_dict(bare.state_dict())
    average.to(fabric.device).eval()
    settings = recipe.optimizer
    products = torch.float32 if precision == "32-true" else torch.bfloat16
    model, *optimizers = fabric.setup(
        bare, *optimizers_for(bare, settings.name, settings.rate, settings.weight_decay, settings.betas, products)
    )
    progress, checkpoint = Progress(), where.folder / CHECKPOINT
    if checkpoint.exists():
        resume(fabric, checkpoint, recipe, bare, average, optimizers, progress)
    episodes = Episodes(
        store,
        "train",
        recipe.data.tasks,
        recipe.episodes,
        recipe.augmentation,
        bare.config.size,
        recipe.seed,
        fabric.global_rank,
    )
    curves = Curves(where.folder, progress.step) if fabric.is_global_zero else None
    batches = loader(episodes, progress.step, recipe.data.workers)
    begun, saved, every = progress.step, progress.seconds, 60 * recipe.schedule.validate
    checked = progress.seconds // every * every if every else progress.seconds  # a resumed run keeps the rhythm
    while (done := _done(progress, recipe)) < 1:
        started = time.monotonic()
        pairs = next(batches).to(fabric.device)
        progress.waited += time.monotonic() - started
        loss = _step(fabric, model, optimizers, average, pairs, progress.step, done, recipe)
        progress.step += 1
        # One clock for all processes, or some would stop a step before the others, which would wait for them forever.
        progress.seconds = fabric.broadcast(progress.seconds + time.monotonic() - started)
        if watch is not None and fabric.is_global_zero:
            watch(progress, loss, _done(progress, recipe))
        if curves is not None:
            curves.add(progress, loss, optimizers[0].param_groups[0]["lr"], pairs, recipe.schedule.log)
        if progress.seconds - saved > 60 * recipe.schedule.checkpoint:
            saved = progress.seconds
            save(fabric, checkpoint, recipe, bare, average, optimizers, progress)
        if validate is not None and curves is not None and progress.seconds - checked > every:
            checked = progress.seconds
            curves.write(progress, validate(average, where.folder, progress.step))
    if progress.step > begun:  # several may read back one run that is over: none of them writes it anew
        save(fabric, checkpoint, recipe, bare, average, optimizers, progress)
        if validate is not None and curves is not None:
            curves.write(progress, validate(average, where.folder, progress.step))
    if where.processes > 1:  # or a process may end while another still waits for it, and take the run down
        fabric.barrier()
        # Gloo's thread lets go of the barrier for which it needs the interpreter's lock. Freeing the network holds that
        # lock and waits for the thread: without a pause both may wait forever.
        time.sleep(_SETTLED)
        torch.distributed.destroy_process_group()


def averaged(checkpoint: Path) -> tuple[Generalist, dict[str, Any]]:
    """The averaged (EMA) model of a run's checkpoint, and what that says of the run (recipe, step, seconds, waited)."""
    state = read(checkpoint, torch.device("cpu"), "check the path")
    model = Generalist(model_of(state))
    with fitting(checkpoint, "choose another"):
        model.load_state_dict(state["average"])
    return model.eval(), state["about"]


def store_of(recipe: Recipe) -> Store:
    """The sets that a recipe learns from. Raises what `Store.open` raises, and UnknownNameError for a set."""
    store = Store.open(Path(recipe.data.store))
    for name in recipe.data.sets:
        if name not in store.sets:
            raise UnknownNameError("prepared set", name, store.sets)
    if recipe.data.sets:
        store = replace(store, sets={name: store.sets[name] for name in recipe.data.sets})
    return store


def _launched(precision: Literal["bf16-mixed", "32-true"], where: RunLocation) -> Any:
    """Fabric on the devices, in this precision, once all that it needs is there."""
    device = device_named(where.device)
    most = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device.type, where.processes)
    most = most if device.index is None else 1
    if where.processes > most:
        raise RecipeError(f"{where.processes} processes on '{where.device}'", f"at most {most}", "lower --processes")
    for package in ("lightning_fabric", "tensorboard"):
        if find_spec(package) is None:
            raise RecipeError(
                f"no package '{package}'", "the packages of training", "run pip install '.[train]' in mvg's source"
            )
    from lightning_fabric import Fabric

    fabric = Fabric(
        accelerator=device.type,
        devices=where.processes if device.index is None else [device.index],
        precision=precision,
        strategy="ddp_find_unused_parameters_true" if where.processes > 1 else "auto",
    )
    fabric.launch()
    return fabric


def _with_model(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the network that learns: of the run that goes on or of what is started from, where it is so."""
    checkpoint = folder / CHECKPOINT
    if recipe.start and checkpoint.exists():
        recipe = replace(recipe, model=model_of(read(checkpoint, torch.device("cpu"), ANEW)))
    elif recipe.start:
        recipe = replace(recipe, model=describe_weights(recipe.start).config)
    check_model(recipe)
    return recipe


def _begun(recipe: Recipe, folder: Path) -> Generalist:
    """The network before its first step; a run that is resumed does not need what it began with."""
    resumed = (folder / CHECKPOINT).exists()
    if recipe.start and not resumed:
        return load_weights(recipe.start).train()
    model = Generalist(recipe.model)
    if recipe.initialize and not resumed:
        taken = initialize(model, recipe.initialize)
        logging.getLogger(__name__).info("%d tensors of the encoder come from %s", taken, recipe.initialize)
    return model


def _done(progress: Progress, recipe: Recipe) -> float:
    """The share of the run that lies behind, by the clock or by steps."""
    if recipe.schedule.minutes > 0:
        return progress.seconds / (60 * recipe.schedule.minutes)
    return progress.step / recipe.schedule.steps


def rate_at(done: float, recipe: Recipe) -> float:
    """The learning rate when the share `done` of the run lies behind: linear warm-up, constant, then cosine."""
    settings = recipe.optimizer
    if done < settings.warmup:
        return settings.rate * max(done / settings.warmup, 1e-3)
    falls = max(settings.warmup, 1 - settings.decay)
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, done - falls) / (1 - falls))))
    return settings.rate * (settings.final + (1 - settings.final) * fall)


def _step(
    fabric: Any, model: Any, optimizers: list[Any], average: Generalist,
    pairs: Pairs, step: int, done: float, recipe: Recipe,
) -> float:  # fmt: skip
    """One step of the optimizers; returns the loss."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(done, recipe)
    drop = np.random.SeedSequence([recipe.seed, step, fabric.global_rank]).generate_state(2)
    torch.manual_seed(int(drop[0]))
    shares = recipe.objectives.labels if pairs.target_type == "labels" else recipe.objectives.image
    rng = np.random.default_rng([recipe.seed, step])
    chosen = str(rng.choice(list(shares), p=list(shares.values())))
    draw = ObjectiveContext(
        torch.Generator().manual_seed(int(drop[1])), recipe.objectives.ratio, recipe.objectives.first_pair
    )
    patch = recipe.model.patch
    shown = pairs.painted() if recipe.model.paints else pairs
    question = named(objectives, chosen).ask(shown, patch, draw)
    loss = loss_of(question.put(model), question, pairs, patch, recipe.loss)
    fabric.backward(loss)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.optimizer.clip)
    for optimizer in optimizers:
        if torch.isfinite(norm):
            optimizer.step()
        optimizer.zero_grad()
    decay = min(recipe.optimizer.ema, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    return float(loss.detach())
