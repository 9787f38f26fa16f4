"""Freed memory stays with the process, in huge pages, unless the user has set how memory is allocated."""

import os
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
import numpy as np
from mvg.prediction.huge_pages import prefer_huge_pages
print(prefer_huge_pages())
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [np.ones(2**20) for _ in range(2)]  # of 8 MiB
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def _run(setting: dict[str, str]) -> tuple[str, int]:
    command = [sys.executable, "-c", _FAULTS]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=kept | setting)
    possible, faults = result.stdout.split()
    return possible, int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="parameters of glibc")
def test_memory_that_was_freed_is_not_asked_for_again() -> None:
    possible, faults = _run({})
    assert possible == "True"
    assert faults < 100


def test_settings_of_the_user_stay() -> None:
    assert _run({"MALLOC_TRIM_THRESHOLD_": "131072"})[0] == "False"
