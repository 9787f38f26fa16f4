"""Every test runs on one thread: tests are small, and several run side by side."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from mvg.tasks import kinds
from tests.browsers import LEFT_OUT, REQUIRED, browser_path

os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

collect_ignore = [] if browser_path() or REQUIRED else ["browser"]

NEW_KIND = '''
"""{title}: a picture -> the square root of its intensities."""

from dataclasses import dataclass

import numpy as np

from mvg.tasks.task import Task, TaskSpec

SPEC = TaskSpec("{name}", inputs={inputs})


@dataclass(frozen=True)
class {title}(Task):
    """The first channel, brighter."""

    spec = SPEC

    def accepts(self, row):
        return True

    def pair(self, piece, rng):
        picture = piece.picture(0)
        return np.stack([picture] * {inputs}), np.sqrt(picture)


def offered_by(card):
    """One task of every set."""
    return [{title}("{name}:" + card.channels[0], card)]
'''


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than some seconds; runs with the others")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if collect_ignore:
        terminalreporter.write_line(LEFT_OUT)


@pytest.fixture
def new_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Adds a file with a new kind of task, of that name and number of images, to the folder of kinds during a test."""
    folder = tmp_path / "new_kinds"
    folder.mkdir()
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(folder)])

    def add(name: str, inputs: int = 1) -> None:
        source = NEW_KIND.format(name=name, title=name.capitalize(), inputs=inputs)
        (folder / f"{name}.py").write_text(source.lstrip(), encoding="utf-8")

    yield add
    for path in folder.glob("*.py"):
        sys.modules.pop(f"{kinds.__name__}.{path.stem}", None)
        if hasattr(kinds, path.stem):
            delattr(kinds, path.stem)
