"""Copying: for every query slice, the target of the prompt slice at the same relative position, stretched onto it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

from mvg.benchmark.protocol.method import Method, Prompt, Request, Scope, TrainingData
from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import Task

SCOPE: Scope = "untrained"
PROMPTED = True
_THUMBNAIL = 16  # pixels a side


@dataclass(frozen=True)
class Settings:
    """Nothing to choose."""


def serves(task: Task) -> bool:
    """Every task: its prompts have targets."""
    return True


def learn(settings: Settings, lesson: TrainingData) -> Method:
    """Nothing is learnt."""
    return copied


def copied(request: Request) -> Volume | LabelMap:
    """The answer; with several prompts the one whose image looks most like the query slice (thumbnails' correlation).

    Raises PromptError without prompts.
    """
    query, prompts = request.query, request.prompts
    if not prompts:
        raise PromptError("no prompts to copy from", "at least one", "ask with prompts")
    plane = query.cut_along(prompts[0].image.plane)
    pictures = query.pictures(plane)
    rows, cols = pictures.shape[1:]
    places = [_places(prompt, len(pictures)) for prompt in prompts]
    sought = _thumbnails(pictures)
    alike = np.stack([
        (_thumbnails(prompt.image.pictures(prompt.image.plane)[at]) * sought).sum(axis=(1, 2))
        for prompt, at in zip(prompts, places, strict=True)
    ])  # fmt: skip
    answer = []
    for at, best in enumerate(alike.argmax(axis=0)):
        prompt = prompts[best]
        answer.append(_stretched(prompt.target.pictures(prompt.image.plane)[places[best][at]], rows, cols))
    return query.from_pictures(np.stack(answer), plane)


def _places(prompt: Prompt, count: int) -> NDArray[np.int64]:
    length = len(prompt.image.pictures(prompt.image.plane))
    return np.asarray((np.arange(count) + 0.5) * length / count, np.int64)


def _stretched(picture: NDArray[Any], rows: int, cols: int) -> NDArray[Any]:
    if np.issubdtype(picture.dtype, np.integer):
        down = ((np.arange(rows) + 0.5) * picture.shape[0] / rows).astype(int)
        across = ((np.arange(cols) + 0.5) * picture.shape[1] / cols).astype(int)
        return np.asarray(picture[down[:, None], across])
    return np.asarray(resize(picture, (rows, cols), order=1, preserve_range=True), np.float32)


def _thumbnails(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pictures (n, rows, cols) as block means (n, t, t) of zero mean and unit length."""
    small = pictures.astype(np.float32)
    for axis in (1, 2):
        length = pictures.shape[axis]
        edges = np.linspace(0, length, _THUMBNAIL + 1).astype(int)
        widths = np.maximum(np.diff(edges), 1).reshape((-1, 1)[: 3 - axis])  # reduceat repeats pixels of small pictures
        small = np.asarray(np.add.reduceat(small, edges[:-1], axis=axis) / widths, np.float32)
    small -= small.mean(axis=(1, 2), keepdims=True)
    return np.asarray(small / np.maximum(np.linalg.norm(small, axis=(1, 2), keepdims=True), 1e-6), np.float32)
