"""Kills predict, finetune, prepare and train at random moments; no file may be a part of one, and all must go on.

python -m tests.fuzz.kill --count 200 --seed 0
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import nibabel as nib
import numpy as np
from PIL import Image
from safetensors import safe_open

from mvg.imaging.files import write
from mvg.model.weights import save_weights
from tests.data.folders import make_mri
from tests.journeys.test_train import RECIPE
from tests.prediction.learner import random_model
from tests.prediction.scans import scan

_MVG = [sys.executable, "-c", "from mvg.app.cli import main; main()"]
_SHAPE = (32, 32, 3)


@dataclass(frozen=True)
class Command:
    """A command, what it is run with after a stop, and its output folder."""

    words: tuple[str, ...]
    after_a_stop: Callable[[Path], tuple[str, ...]]
    output: Path


def main() -> int:
    """Runs the program; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator, failures = random.Random(options.seed), list[str]()
    with tempfile.TemporaryDirectory(prefix="mvg-kill-") as folder:
        commands = make_commands(Path(folder))
        seconds = {name: _whole_run(command) for name, command in commands.items()}
        for number in range(options.count):
            name = generator.choice(sorted(commands))
            moment = generator.uniform(0, 1.1) * seconds[name]
            failure = kill_once(commands[name], moment)
            if failure:
                failures.append(f"kill {number}, {name} after {moment:.2f} s: {failure}")
        for name, command in commands.items():
            done = _run(command, command.after_a_stop(command.output))
            if done.returncode not in (0, 1):
                failures.append(f"{name} does not go on: {done.stderr.decode()[-500:]}")
    sys.stdout.write("\n".join([f"{options.count} kills, {len(failures)} failures", *failures]) + "\n")
    return 1 if failures else 0


def make_commands(folder: Path) -> dict[str, Command]:
    """Small data and a command of each kind."""
    prompts, out = folder / "prompts", folder / "out"
    for part in ("images", "targets"):
        (prompts / part).mkdir(parents=True)
    for number in range(3):
        image, labels = scan(_SHAPE, seed=number)
        write(image, prompts / "images" / f"p{number}.nii.gz")
        write(labels, prompts / "targets" / f"p{number}.nii.gz")
        write(image, folder / f"q{number}.nii.gz")
    weights = str(save_weights(random_model(), folder / "weights", "# toy\n").folder)
    make_mri(folder / "heads", {f"pat{number}": _SHAPE for number in range(6, 13)})
    subprocess.run([*_MVG, "prepare", str(folder / "heads"), "--output", str(folder / "store")], check=True)
    (folder / "toy.toml").write_text(RECIPE.format(store=folder / "store", steps=6))
    queries = tuple(str(folder / f"q{number}.nii.gz") for number in range(3))
    common = ("--prompts", str(prompts), "--weights", weights)
    predict = ("predict", *queries, *common, "--output", str(out / "predict"), "--probabilities")
    finetune = ("finetune", str(prompts), "--weights", weights, "--output", str(out / "finetune"), "--minutes", "0.02")
    prepare = ("prepare", str(folder / "heads"), "--output", str(out / "store"))
    train = ("train", str(folder / "toy.toml"), "--output", str(out / "train"))
    return {
        "predict": Command(predict, lambda _: predict, out / "predict"),
        "finetune": Command(finetune, lambda _: finetune, out / "finetune"),
        "prepare": Command(prepare, lambda _: prepare, out / "store"),
        "train": Command(
            train, lambda run: (*train, "--resume") if (run / "checkpoint.pt").exists() else train, out / "train"
        ),
    }


def kill_once(command: Command, moment: float) -> str:
    """Starts a command, as after a stop, and kills it; returns what is wrong then, "" for nothing."""
    process = subprocess.Popen(
        [*_MVG, *command.after_a_stop(command.output)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    time.sleep(moment)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return "; ".join(damaged_files(command.output))


def damaged_files(folder: Path) -> list[str]:
    """The files that cannot be read whole; temporary folders of a killed process do not count."""
    damaged = []
    for path in sorted(folder.rglob("*")) if folder.exists() else ():
        is_temporary = any(part.startswith(".writing-") for part in path.relative_to(folder).parts)
        if path.is_file() and not is_temporary:
            try:
                _read_whole(path)
            except Exception as error:
                damaged.append(f"{path.relative_to(folder)} ({type(error).__name__}: {error})"[:200])
    return damaged


def _read_whole(path: Path) -> None:
    if path.name.endswith(".nii.gz"):
        np.asarray(nib.load(path).dataobj)
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".png":
        Image.open(path).load()
    elif path.suffix == ".html":
        assert path.read_text(encoding="utf-8").rstrip().endswith("</html>"), "it ends too early"
    elif path.suffix in (".safetensors", ".mvgtask"):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                file.get_tensor(name)
    elif path.suffix in (".npy", ".npz"):
        np.load(path)
    elif path.suffix == ".pt":
        import torch

        torch.load(path, weights_only=False, map_location="cpu")
    else:
        path.read_bytes()


def _whole_run(command: Command) -> float:
    started = time.monotonic()
    _run(command, command.words)
    return time.monotonic() - started


def _run(command: Command, words: tuple[str, ...]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*_MVG, *words], check=False, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
