"""A sample of the fuzz program, and what it must notice."""

import random
import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT
from tests.fuzz.mutations import mutate


def test_a_sample_of_damaged_inputs_ends_well() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--count", "150", "--seed", "0"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("150 inputs: ")


@pytest.mark.parametrize("seed", range(20))
def test_damages_are_the_same_for_a_seed(seed: int) -> None:
    content = bytes(range(256)) * 20
    first, second = (mutate(content, random.Random(seed)) for _ in range(2))
    assert first == second
    assert first.content != content or "cut" in first.name


def test_the_program_notices_every_bad_ending() -> None:
    program = """
import os, signal, sys, time
import numpy
from tests.fuzz import __main__ as fuzz
from tests.fuzz.mutations import Damaged

def target(path, task):
    seed = int(path.parent.name.removeprefix("work"))
    if seed == 0:
        raise KeyError("a")
    if seed == 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    if seed == 2:
        numpy.ones(40_000_000)
    if seed == 3:
        time.sleep(1000)

fuzz.IMAGE_TARGETS, fuzz.OTHER_TARGETS, fuzz._SECONDS = (target,), dict.fromkeys(fuzz.OTHER_TARGETS, target), 10
fuzz.mutate = lambda content, generator: Damaged(b"", "nothing", False)
fuzz.mutate_inside = lambda kind, content, generator: Damaged(b"", "nothing", False)
sys.argv = ["fuzz", "--count", "5", "--workers", "5"]
sys.exit(fuzz.main())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    for kind in ("KeyError", "crashed with signal 11", "MB of", "took more than 10 s", "without anything of it left"):
        assert kind in done.stdout
