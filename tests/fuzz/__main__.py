"""Hands damaged inputs to mvg, each in a process of its own with bounds on time and memory.

    python -m tests.fuzz --count 10000 --seed 0 --workers 2

Each input must end in one line (an MvgError) or in an answer, within the time, with at most four times the memory of
the whole input. Files without anything of an image in them must end in a line. Prints what ended otherwise, with the
seed by which it comes again (`--only SEED`), and exits with 1.
"""

import argparse
import json
import logging
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads of OpenMP do not survive a fork

from mvg.benchmark.provenance import provenance
from mvg.errors import MvgError
from mvg.prediction.prompted_task import PromptedTask
from tests.fuzz.inside import mutate_inside, with_sha256
from tests.fuzz.mutations import Damaged, mutate
from tests.fuzz.seeds import make_seeds, toy_task
from tests.fuzz.targets import IMAGE_TARGETS, OTHER_TARGETS, EndedInError

_SECONDS = 60  # for one input, on a busy machine
_MEMORY_FACTOR = 4
_INSIDE_SHARE = 0.5  # of the damages leave the checksums of their container right
_BASE_MEMORY = 96 << 20  # what reading and predicting the small whole inputs takes, with imports of decoders
_ADDRESS_SPACE = 8 << 30  # stops what would take the machine down
_ANSWERED, _REFUSED, _FAILED = 0, 3, 4
# How the program itself says that it was not prepared; words of libraries within a line ("unexpected end") are fine.
_UNPREPARED = ("met an unexpected", "does not fit into memory", "Traceback")


def main() -> int:
    """Runs the program; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first input; the others follow")
    parser.add_argument("--only", type=int, help="the one input with this seed")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the inputs that failed")
    parser.add_argument("--output", type=Path, help="JSON file for the counts")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    seeds = [options.only] if options.only is not None else range(options.seed, options.seed + options.count)
    with tempfile.TemporaryDirectory(prefix="mvg-fuzz-") as folder:
        results, failures = _run(Path(folder), list(seeds), options.workers, options.keep)
    if options.output is not None:
        counted = {"counts": dict(sorted(results.items())), "failures": failures}
        write_result(options.output, "tests.fuzz", options.seed, counted)
    endings = Counter[str]()
    for name, count in results.items():
        endings[name.partition(",")[0]] += count
    counts = ", ".join(f"{count} {name}" for name, count in sorted(endings.items()))
    sys.stdout.write("\n".join([f"{sum(results.values())} inputs: {counts}", *failures]) + "\n")
    return 1 if failures else 0


def write_result(path: Path, program: str, seed: int, result: dict[str, Any]) -> None:
    """Write a result with the command, the commit and the machine."""
    command = f"python -m {program} {' '.join(sys.argv[1:])}"
    path.write_text(json.dumps({"provenance": provenance(command, seed), **result}, indent=1) + "\n", encoding="utf-8")


def _run(folder: Path, seeds: list[int], workers: int, keep: Path | None) -> tuple[Counter[str], list[str]]:
    whole = {kind: path.read_bytes() for kind, path in make_seeds(folder / "whole").items()}
    task = toy_task(folder / "whole")
    results, failures = Counter[str](), list[str]()
    running: dict[int, tuple[int, Path, float, str]] = {}
    waiting = iter(seeds)
    while True:
        while len(running) < workers and (seed := next(waiting, None)) is not None:
            work, name = folder / f"work{seed}", f"seed {seed}"
            pid = _start(seed, whole, folder / "whole", work, task)
            running[pid] = (seed, work, time.monotonic(), name)
        if not running:
            return results, failures
        for pid, status, usage in _finished(running):
            seed, work, _, _ = running.pop(pid)
            kind, failure = _judged(work, status)
            results[f"{kind}, {_target(work)}"] += 1
            if failure:
                failures.append(f"seed {seed}: {failure}")
                if keep is not None:
                    shutil.copytree(work, keep / str(seed), dirs_exist_ok=True)
            shutil.rmtree(work, ignore_errors=True)
            del usage


def _finished(running: dict[int, tuple[int, Path, float, str]]) -> Iterator[tuple[int, int, object]]:
    """The workers that ended; those that take too long are ended."""
    for pid, (_, _, started, _) in list(running.items()):
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            yield pid, status, usage
        elif time.monotonic() - started > _SECONDS:
            os.kill(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
            yield pid, -1, usage
    time.sleep(0.001)


def _start(seed: int, whole: dict[str, bytes], source: Path, work: Path, task: PromptedTask) -> int:
    """Forks a worker for one input; it writes what happened to `work/result`."""
    pid = os.fork()
    if pid:
        return pid
    code = _FAILED
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        code = _work(seed, whole, source, work, task)
    finally:
        os._exit(code)


def _work(seed: int, whole: dict[str, bytes], source: Path, work: Path, task: PromptedTask) -> int:
    generator = random.Random(seed)
    kind = generator.choice(sorted(whole))
    inside = generator.random() < _INSIDE_SHARE
    damaged = mutate_inside(kind, whole[kind], generator) if inside else mutate(whole[kind], generator)
    path = _stored(kind, damaged.content, source, work)
    target = OTHER_TARGETS.get(kind) or generator.choice(IMAGE_TARGETS)
    described = f"{target.__name__} of {kind} with {damaged.name}"
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, most))
    before = _peak_memory()
    code, line = _ended(target, path, task, damaged)
    taken, allowed = _peak_memory() - before, _BASE_MEMORY + _MEMORY_FACTOR * len(whole[kind])
    if taken > allowed:
        code, line = _FAILED, f"took {taken >> 20} MB of {allowed >> 20} MB, {line}"
    (work / "result").write_text(f"{described}: {line}", encoding="utf-8")
    return code


def _ended(target: object, path: Path, task: PromptedTask, damaged: Damaged) -> tuple[int, str]:
    """How a target ended with an input."""
    try:
        target(path, task)  # type: ignore[operator]
    except (MvgError, EndedInError) as error:
        line = str(error)
        if "\n" in line or any(words in line for words in _UNPREPARED):
            return _FAILED, line
        return _REFUSED, line
    except BaseException:
        return _FAILED, traceback.format_exc()
    if not damaged.is_image:
        return _FAILED, "was answered without anything of it left"
    return _ANSWERED, ""


def _judged(work: Path, status: int) -> tuple[str, str]:
    """The kind of an ending, and what is wrong with it, "" where nothing is."""
    result = work / "result"
    line = result.read_text(encoding="utf-8") if result.exists() else "before it could say anything"
    if status == -1:
        return "hung", f"took more than {_SECONDS} s, {line}"
    if os.WIFSIGNALED(status):
        return "crashed", f"crashed with signal {os.WTERMSIG(status)}, {line}"
    names = {_ANSWERED: "answered", _REFUSED: "refused"}
    code = os.WEXITSTATUS(status)
    return names.get(code, "failed"), "" if code in names else line


def _target(work: Path) -> str:
    """The target and the kind of an input, as its result says."""
    result = work / "result"
    return result.read_text(encoding="utf-8").partition(" with ")[0] if result.exists() else "unknown"


def _stored(kind: str, content: bytes, source: Path, work: Path) -> Path:
    """The damaged file where its target expects it, with what belongs to it."""
    work.mkdir()
    if kind == "dataset.json":
        shutil.copytree(source / "prompts", work, dirs_exist_ok=True)
        path = work / kind
    elif kind in ("weights", "config.json"):
        shutil.copytree(source / "weights", work, dirs_exist_ok=True)
        path = work / ("model.safetensors" if kind == "weights" else kind)
    elif kind == "task":
        (work / "weights").symlink_to(source / "weights")
        path = work / "task.mvgtask"
    else:
        suffix = kind if kind not in (".rle", ".j2k", ".frames", ".seg") else ".dcm"
        path = work / f"input{suffix}"
    path.write_bytes(content)
    if kind == "weights":
        config = work / "config.json"
        config.write_bytes(with_sha256(config.read_bytes(), content))
    return path


def _peak_memory() -> int:
    """Bytes that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
