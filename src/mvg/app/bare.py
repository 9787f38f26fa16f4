"""Trains on a machine that has PyTorch and little else: from a packed store, for a limited time, without installation.

    PYTHONPATH=src python -m mvg.app.bare recipes/small_gpu.toml --packed packed.zip --output run [--resume]

It is `mvg train` without validation, in one process; the store is unpacked beside its file. It ends by itself
`--wall-minutes` after its start, with a checkpoint from which the same command with `--resume` goes on, here or on
another machine. What `torch.compile` made is kept beside the checkpoint. Types of a recipe's values are not checked
where pydantic is missing: check them before with `mvg train RECIPE.toml --dry-run`.
"""

import argparse
import logging
import shutil
import sys
import time
from dataclasses import replace
from math import inf
from pathlib import Path

import torch

from mvg._atomic import atomic_file
from mvg.data.packed import unpack_store
from mvg.errors import FileError, MvgError
from mvg.training.checkpoint import CHECKPOINT
from mvg.training.launch import RunLocation
from mvg.training.optimization import Progress, StepResult
from mvg.training.recipe import Recipe, read_recipe
from mvg.training.train import train

COMPILED = "compiled.bin"
_LINES = 30.0  # seconds between two lines of progress
_SHARED_MEMORY = Path("/dev/shm")
_WAITING_BATCHES = 5  # per worker, in shared memory: those that wait and the one that is used
_FLOAT = 4  # bytes


def main(words: list[str] | None = None) -> int:
    """Run the command; returns its exit code, 2 with a line for an error that the user can correct."""
    started = time.monotonic()
    options = parser().parse_args(words)
    logging.basicConfig(format="mvg: %(message)s", level=logging.WARNING)
    try:
        _train(options, started)
    except MvgError as error:
        print(f"mvg: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of this program."""
    result = argparse.ArgumentParser(prog="python -m mvg.app.bare", description="Train from a packed store.")
    result.add_argument("recipe", type=Path, metavar="RECIPE.toml")
    result.add_argument("--packed", type=Path, required=True, help="what `mvg pack-store` wrote")
    result.add_argument("--output", type=Path, required=True, help="folder of the run")
    result.add_argument("--wall-minutes", type=float, default=inf, help="the run ends after this time, all included")
    result.add_argument("--device", default="auto", help="auto, cpu or cuda")
    result.add_argument("--teacher", default="", help="weights to distil from, instead of the recipe's")
    result.add_argument("--resume", action="store_true", help="continue the run in the folder")
    return result


def _train(options: argparse.Namespace, started: float) -> None:
    recipe = read_recipe(options.recipe)
    if options.teacher:
        recipe = replace(recipe, distillation=replace(recipe.distillation, teacher=options.teacher))
    if (options.output / CHECKPOINT).exists() != options.resume:
        state = "holds no run" if options.resume else "holds a run"
        raise FileError(f"'{options.output}' {state}", "a new folder, or one of a run with --resume", "choose again")
    location = RunLocation(options.output, options.device, deadline=started + 60 * options.wall_minutes)
    store = unpack_store(options.packed, options.packed.with_name(f"{options.packed.stem}_unpacked"))
    data = replace(recipe.data, store=str(store), workers=affordable_workers(recipe))
    _load_compiled(options.output / COMPILED)
    train(replace(recipe, data=data), location, None, _Lines(recipe))
    if recipe.devices.compile == "inductor":
        _save_compiled(options.output / COMPILED)


class _Lines:
    """Prints a line of progress from time to time."""

    def __init__(self, recipe: Recipe) -> None:
        self.batch, self.last, self.losses = recipe.episodes.batch, time.monotonic(), list[float]()

    def __call__(self, progress: Progress, result: StepResult, share: float) -> None:
        self.losses.append(result.loss)
        now = time.monotonic()
        if now - self.last < _LINES and share < 1:
            return
        mean, count = sum(self.losses) / len(self.losses), len(self.losses)
        print(
            f"step {progress.step}  {100 * share:.1f} %  loss {mean:.4f}  "
            f"{count * self.batch / (now - self.last):.1f} requests/s  "
            f"waited for data {100 * progress.waited / progress.seconds:.0f} %",
            flush=True,
        )
        self.last, self.losses = now, []


def affordable_workers(recipe: Recipe) -> int:
    """The recipe's workers, or as many as shared memory has room for the batches of: they pass through it."""
    free = shutil.disk_usage(_SHARED_MEMORY).free if _SHARED_MEMORY.exists() else inf
    episodes, side = recipe.episodes, max(recipe.episodes.sizes or (recipe.model.size,))
    pictures = episodes.panels[1] * (recipe.model.inputs + 2 * episodes.classes[1])  # targets also with defects
    needed = _WAITING_BATCHES * episodes.batch * pictures * side**2 * _FLOAT
    workers = int(min(recipe.data.workers, free // needed))
    if workers < recipe.data.workers:
        logging.getLogger(__name__).warning(
            "%d workers instead of %d: each needs %.0f MiB of the %.0f MiB that are free in %s",
            workers, recipe.data.workers, needed / 2**20, free / 2**20, _SHARED_MEMORY,
        )  # fmt: skip
    return workers


def _load_compiled(file: Path) -> None:
    """Use what an earlier run compiled; a file that does not fit this machine is of no use, and does no harm."""
    if file.is_file():
        torch.compiler.load_cache_artifacts(file.read_bytes())


def _save_compiled(file: Path) -> None:
    saved = torch.compiler.save_cache_artifacts()
    if saved is not None:
        with atomic_file(file) as temporary:
            temporary.write_bytes(saved[0])


if __name__ == "__main__":
    sys.exit(main())
