"""Training: one readable loop over steps; checkpoints resume exactly, on one or several devices (Lightning Fabric)."""

import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
import torch

from mvg._plugins import named
from mvg.canvas import Pairs
from mvg.data.store import Store
from mvg.errors import FileProblem, RecipeProblem, UnknownName
from mvg.model.generalist import Generalist
from mvg.model.initialization import initialize
from mvg.model.weights import load_weights
from mvg.training import objectives
from mvg.training.curves import Curves, Progress
from mvg.training.episodes import Episodes, loader
from mvg.training.losses import loss_of
from mvg.training.optimizers import optimizers_for
from mvg.training.precision import precision_on
from mvg.training.question import Draw
from mvg.training.recipe import Recipe, recipe_from

_CHECKPOINT = "checkpoint.pt"
Validation = Callable[[Generalist, Path, int], dict[str, float]]
"""(averaged model, folder for pictures, step) -> figures for the curves."""


@dataclass(frozen=True)
class Where:
    """Where a run happens.

    folder: its checkpoint and curves; device: "cpu", "cuda", "cuda:1" or "auto"; processes: how many devices.
    """

    folder: Path
    device: str = "auto"
    processes: int = 1


def train(
    recipe: Recipe,
    where: Where,
    validate: Validation | None = None,
    watch: Callable[[Progress, float, float], None] | None = None,
) -> Path:
    """Train as the recipe says; a folder with a checkpoint is resumed. Returns the checkpoint's path.

    Every step's batch and hidden patches depend on (seed, step) alone, so a resumed run gives the losses of an
    uninterrupted one. `watch(progress, loss, share done)` is called after each step.
    """
    precision = precision_on(where.device, recipe.precision)
    fabric = _launched(precision, where)
    if where.processes > 1 and fabric.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // where.processes))
    torch.manual_seed(recipe.seed)
    store = _store(recipe)
    bare = _begun(recipe, where.folder)
    recipe = replace(recipe, model=bare.config)
    average = Generalist(bare.config)
    average.load_state_dict(bare.state_dict())
    average.to(fabric.device).eval()
    settings = recipe.optimizer
    products = torch.float32 if precision == "32-true" else torch.bfloat16
    model, *optimizers = fabric.setup(
        bare, *optimizers_for(bare, settings.name, settings.rate, settings.weight_decay, settings.betas, products)
    )
    progress, checkpoint = Progress(), where.folder / _CHECKPOINT
    if checkpoint.exists():
        _resume(fabric, checkpoint, recipe, bare, average, optimizers, progress)
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
        if watch is not None:
            watch(progress, loss, _done(progress, recipe))
        if curves is not None:
            curves.add(progress, loss, optimizers[0].param_groups[0]["lr"], pairs, recipe.schedule.log)
        if progress.seconds - saved > 60 * recipe.schedule.checkpoint:
            saved = progress.seconds
            _save(fabric, checkpoint, recipe, bare, average, optimizers, progress)
        if validate is not None and curves is not None and progress.seconds - checked > every:
            checked = progress.seconds
            curves.write(progress, validate(average, where.folder, progress.step))
    if progress.step > begun:  # several may read back one run that is over: none of them writes it anew
        _save(fabric, checkpoint, recipe, bare, average, optimizers, progress)
        if validate is not None and curves is not None:
            curves.write(progress, validate(average, where.folder, progress.step))
    if where.processes > 1:  # or a process may end while another still waits for it, and take the run down
        fabric.barrier()
        torch.distributed.destroy_process_group()
    return checkpoint


def averaged(checkpoint: Path) -> tuple[Generalist, dict[str, Any]]:
    """The averaged (EMA) model of a run's checkpoint, and what that says of the run (recipe, step, seconds, waited)."""
    state = _read(checkpoint, torch.device("cpu"), "check the path")
    # Of the recipe only the model: checkpoints outlive the recipes' other keys.
    model = Generalist(recipe_from({"model": state["about"]["recipe"]["model"]}).model)
    model.load_state_dict(state["average"])
    return model.eval(), state["about"]


def _store(recipe: Recipe) -> Store:
    store = Store.open(Path(recipe.data.store))
    for name in recipe.data.sets:
        if name not in store.sets:
            raise UnknownName("prepared set", name, store.sets)
    if recipe.data.sets:
        store = replace(store, sets={name: store.sets[name] for name in recipe.data.sets})
    return store


def _launched(precision: Literal["bf16-mixed", "32-true"], where: Where) -> Any:
    """Fabric on the devices, in this precision."""
    from lightning_fabric import Fabric

    kind, _, number = where.device.partition(":")
    fabric = Fabric(
        accelerator=kind,
        devices=[int(number)] if number else where.processes,
        precision=precision,
        strategy="ddp_find_unused_parameters_true" if where.processes > 1 else "auto",
    )
    fabric.launch()
    return fabric


def _begun(recipe: Recipe, folder: Path) -> Generalist:
    """The network before its first step; a run that is resumed does not need what it began with."""
    resumed = (folder / _CHECKPOINT).exists()
    if recipe.start:
        return averaged(folder / _CHECKPOINT)[0].train() if resumed else load_weights(recipe.start).train()
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
    shares = recipe.objectives.labels if pairs.kind == "labels" else recipe.objectives.image
    rng = np.random.default_rng([recipe.seed, step])
    chosen = str(rng.choice(list(shares), p=list(shares.values())))
    draw = Draw(torch.Generator().manual_seed(int(drop[1])), recipe.objectives.ratio, recipe.objectives.first_pair)
    patch = recipe.model.patch
    shown = pairs if recipe.model.form == "matching" or pairs.kind == "image" else pairs.painted()
    question = named(objectives, chosen).ask(shown, patch, draw)
    loss = loss_of(question.put(model), question, pairs, patch, recipe.loss)
    fabric.backward(loss)
    norm = fabric.clip_gradients(model, optimizers[0], max_norm=recipe.optimizer.clip, error_if_nonfinite=False)
    for optimizer in optimizers:
        if torch.isfinite(norm):
            optimizer.step()
        optimizer.zero_grad()
    decay = min(recipe.optimizer.ema, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    return float(loss.detach())


def _save(
    fabric: Any, path: Path, recipe: Recipe, model: Generalist, average: Generalist, optimizers: list[Any],
    progress: Progress,
) -> None:  # fmt: skip
    if not fabric.is_global_zero:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "recipe": _plain(recipe.as_dict()),
        "step": progress.step,
        "seconds": progress.seconds,
        "waited": progress.waited,
    }
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "about": about,
    }
    temporary = path.with_suffix(".partial")
    torch.save(state, temporary)
    temporary.rename(path)


def _resume(
    fabric: Any, path: Path, recipe: Recipe, model: Generalist, average: Generalist, optimizers: list[Any],
    progress: Progress,
) -> None:  # fmt: skip
    state = _read(path, fabric.device, "remove it to start anew")
    if state["about"]["recipe"]["model"] != _plain(recipe.as_dict())["model"]:
        raise RecipeProblem(f"{path} is of another model", "the model of the recipe", "choose another --output")
    if len(state.get("optimizers", [])) != len(optimizers):
        raise RecipeProblem(
            f"{path} was learnt with another optimizer", "the optimizer of the recipe", "choose another --output"
        )
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    for optimizer, own in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(own)
    progress.step, progress.seconds = state["about"]["step"], state["about"]["seconds"]
    progress.waited = state["about"]["waited"]


def _read(path: Path, device: torch.device, action: str) -> dict[str, Any]:
    """What `_save` wrote; FileProblem for anything else."""
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as problem:
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise FileProblem(f"cannot read {path} ({reason})", "a checkpoint of 'mvg train'", action) from problem
    if not isinstance(state, dict) or not {"model", "average", "about"} <= set(state):
        raise FileProblem(f"{path} is something else", "a checkpoint of 'mvg train'", action)
    return state


def _plain(value: Any) -> Any:
    """Tuples as lists, as a file gives them back."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
