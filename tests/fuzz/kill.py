"""Kills predict, finetune, prepare and train at random moments; no file may be a part of one, and all must go on.

python -m tests.fuzz.kill --count 200 --seed 0

Commands run in processes that are forked after the imports, so that the moments lie within their work. A command goes
on after each kill; one that comes to its end starts anew, without its output. At the end all go on to their ends, and
what prediction and preparation wrote must be what they write without a kill.
"""

import argparse
import gzip
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import nibabel as nib
import numpy as np
from PIL import Image
from safetensors import safe_open

from mvg.app import finetuning, predicting, training  # noqa: F401, so that forked processes have them
from mvg.app.cli import main as mvg_main
from mvg.data import preparation  # noqa: F401
from mvg.imaging.files import write
from mvg.model.weights import save_weights
from tests.data.folders import make_mri
from tests.fuzz.__main__ import write_result
from tests.journeys.test_train import RECIPE
from tests.prediction.learner import random_model
from tests.prediction.scans import scan

_SAME_CONTENTS = ("predict", "prepare")
_SHAPE = (32, 32, 3)
_STEP = 0.05  # seconds between two looks at whether a command has ended
_FASTER = 0.9  # of the seconds of a command that ended before it was killed


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
    parser.add_argument("--output", type=Path, help="JSON file for the counts")
    options = parser.parse_args()
    generator, failures, kills = random.Random(options.seed), list[str](), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="mvg-kill-") as folder:
        commands = make_commands(Path(folder))
        seconds = {name: _whole_run(command) for name, command in commands.items()}
        whole = {name: _contents(commands[name].output) for name in _SAME_CONTENTS}
        for command in commands.values():
            shutil.rmtree(command.output, ignore_errors=True)
        while kills.total() < options.count:
            name = generator.choice(sorted(commands))
            moment = generator.uniform(0, 1) * seconds[name]
            was_killed, failure = kill_once(commands[name], moment)
            kills[name] += was_killed
            if failure:
                failures.append(f"kill {kills.total()}, {name} after {moment:.2f} s: {failure}")
            if not was_killed:  # a machine with less other work is faster than it was
                seconds[name] *= _FASTER
                shutil.rmtree(commands[name].output, ignore_errors=True)
        for name, command in commands.items():
            code = _wait(_start(command.after_a_stop(command.output)))
            if code not in (0, 1):
                failures.append(f"{name} does not go on: exit code {code}")
            if name in whole and _contents(command.output) != whole[name]:
                failures.append(f"{name} wrote something else than without a kill")
    if options.output is not None:
        write_result(
            options.output,
            "tests.fuzz.kill",
            options.seed,
            {"kills": dict(sorted(kills.items())), "failures": failures},
        )
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
    assert _wait(_start(("prepare", str(folder / "heads"), "--output", str(folder / "store")))) == 0
    (folder / "toy.toml").write_text(RECIPE.format(store=folder / "store", steps=6))
    queries = tuple(str(folder / f"q{number}.nii.gz") for number in range(3))
    common = ("--prompts", str(prompts), "--weights", weights)
    predict = ("predict", *queries, *common, "--output", str(out / "predict"), "--probabilities")
    finetune = ("finetune", str(prompts), "--weights", weights, "--output", str(out / "finetune"), "--minutes", "0.1")
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


def kill_once(command: Command, moment: float) -> tuple[bool, str]:
    """Starts a command, as after a stop, and kills it: whether it still ran, and what is wrong then, "" for nothing."""
    pid = _start(command.after_a_stop(command.output))
    until, ended = time.monotonic() + moment, 0
    while not ended and time.monotonic() < until:
        time.sleep(min(_STEP, max(0.0, until - time.monotonic())))
        ended, _ = os.waitpid(pid, os.WNOHANG)
    if not ended:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return not ended, "; ".join(damaged_files(command.output))


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


def _contents(folder: Path) -> dict[str, bytes]:
    """What a command wrote, by file: answers (unpacked) and arrays, without records of times and paths."""
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in (".gz", ".npy", ".npz")]
    contents = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in paths)
    return dict(zip((str(path.relative_to(folder)) for path in paths), contents, strict=True))


def _whole_run(command: Command) -> float:
    started = time.monotonic()
    code = _wait(_start(command.words))
    assert code in (0, 1), f"{command.words[0]} ended with {code}"
    return time.monotonic() - started


def _start(words: tuple[str, ...]) -> int:
    """Forks a process that runs a command; returns its id, which is that of its group too."""
    pid = os.fork()
    if pid:
        with suppress(OSError):  # where it was there first
            os.setpgid(pid, pid)
        return pid
    code = 70
    try:
        os.setpgid(0, 0)  # both set it, so that it can be killed from its first moment on
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        sys.argv = ["mvg", *words]
        mvg_main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        os._exit(code)


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
