"""The pair of a case for a task: always the same for one seed. What was read last is cached."""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from mvg.data.case import Card, Case
from mvg.data.case_labels import read_case_labels
from mvg.imaging.files import read_gray
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import CaseFiles, CasePair, Task

CACHED_FILES = 48  # images, and as many label maps
_CACHED_PAIRS = 24


def random_generator(seed: int, *words: str) -> np.random.Generator:
    """A random generator that depends on seed and words alone."""
    return np.random.default_rng(int(hashlib.md5("/".join((str(seed), *words)).encode()).hexdigest(), 16))


@lru_cache(maxsize=_CACHED_PAIRS)
def case_pair(task: Task, case: Case, seed: int) -> CasePair:
    """The pair of a case for a task, the same whether the case is a query or a prompt."""
    rng = random_generator(seed, task.card.name, task.name, case.name)
    return task.case_pair(CaseFiles(case, task.card, _read, _read_labels), rng)


@lru_cache(maxsize=CACHED_FILES)
def _read(path: Path) -> Volume:
    return read_gray(path)


@lru_cache(maxsize=CACHED_FILES)
def _read_labels(case: Case, card: Card) -> LabelMap:
    return read_case_labels(case, card)
