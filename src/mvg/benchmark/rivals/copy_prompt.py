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
USES_PROMPTS = True
_THUMBNAIL = 16  # pixels a side


@dataclass(frozen=True)
class Options:
    """There is nothing to choose."""


def serves(task: Task) -> bool:
    """Every task: prompts have targets."""
    return True


def fit(options: Options, data: TrainingData) -> Method:
    """There is nothing to learn."""
    return copy


def copy(request: Request) -> Volume | LabelMap:
    """The target slice of the prompt whose image correlates best with the query slice (as thumbnails).

    Raises PromptError without prompts.
    """
    query, prompts = request.query, request.prompts
    if not prompts:
        raise PromptError("no prompts to copy from", "at least one", "give a prompt")
    plane = query.cut_along(prompts[0].image.plane)
    pictures = query.pictures(plane)
    rows, cols = pictures.shape[1:]
    indices = [_slice_indices(prompt, len(pictures)) for prompt in prompts]
    thumbnails = _thumbnails(pictures)
    similarity = np.stack([
        (_thumbnails(prompt.image.pictures(prompt.image.plane)[chosen]) * thumbnails).sum(axis=(1, 2))
        for prompt, chosen in zip(prompts, indices, strict=True)
    ])  # fmt: skip
    slices = []
    for at, best in enumerate(similarity.argmax(axis=0)):
        prompt = prompts[best]
        slices.append(_stretched(prompt.target.pictures(prompt.image.plane)[indices[best][at]], rows, cols))
    return query.from_pictures(np.stack(slices), plane)


def _slice_indices(prompt: Prompt, count: int) -> NDArray[np.int64]:
    """The prompt's slices at the relative positions of `count` query slices."""
    length = len(prompt.image.pictures(prompt.image.plane))
    return np.asarray((np.arange(count) + 0.5) * length / count, np.int64)


def _stretched(picture: NDArray[Any], rows: int, cols: int) -> NDArray[Any]:
    if np.issubdtype(picture.dtype, np.integer):
        y = ((np.arange(rows) + 0.5) * picture.shape[0] / rows).astype(int)
        x = ((np.arange(cols) + 0.5) * picture.shape[1] / cols).astype(int)
        return np.asarray(picture[y[:, None], x])
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
