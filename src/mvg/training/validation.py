"""Validation while training: fixed requests on patients that training never sees, answered by the averaged weights."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mvg.canvas import Pairs, compose, everywhere
from mvg.data.store import Store
from mvg.imaging.overlay import fill, plain
from mvg.model.generalist import Generalist
from mvg.training.augmentation import AugmentationSettings
from mvg.training.episodes import Episodes, EpisodeSettings
from mvg.training.task_sources import task_sources

PLAIN = AugmentationSettings(
    zoom=(1.0, 1.0), rotation=0.0, shift=0.0, flip_fraction=0.0, inversion_fraction=0.0, tone=0.0, noise=0.0
)
Colors = Literal["random", "predefined", "binary"]


def validation(
    store: Store, kinds: tuple[str, ...] = (), coloring: Colors = "random", per_set: int = 8, prompts: int = 3
) -> Callable[[Generalist, Path, int], dict[str, float]]:
    """A validation for `train`: per set and kind of task, `per_set` queries of "val" patients, "train" ones prompt.

    kinds: of tasks, all where empty; coloring: as in `EpisodeSettings`. Requests are made when first asked.
    Figures: `iou/SET`, mean over queries of the mean IoU over the classes shown by prompts or query (per slice, at the
    model's resolution), `psnr/SET/KIND` in dB over the whole square in [0, 1], and their means `iou` and `psnr/KIND`.
    Pictures go to `FOLDER/pictures/STEP.png`: a row per query, with a prompt, its target, the query, the answer and
    the truth.
    """

    @cache
    def requests(size: int) -> list[Pairs]:
        return _requests(store, kinds, coloring, per_set, prompts, size)

    def validate(model: Generalist, folder: Path, step: int) -> dict[str, float]:
        scores: dict[str, list[float]] = {}
        rows = []
        for pairs in requests(model.config.size):
            answer = answered(model, pairs)
            name, score = _score(answer, pairs)
            scores.setdefault(name, []).append(score)
            if len(scores[name]) <= 2:
                rows.append(_row(answer, pairs))
        figures = {name: float(np.mean(values)) for name, values in scores.items()}
        for group in sorted({"/".join(name.split("/")[::2]) for name in figures}):
            mean = [value for name, value in figures.items() if "/".join(name.split("/")[::2]) == group]
            figures[group] = float(np.mean(mean))
        if rows:
            (folder / "pictures").mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.concatenate(rows)).save(folder / "pictures" / f"{step:07d}.png")
        return figures

    return validate


@torch.inference_mode()
def answered(model: Generalist, pairs: Pairs) -> Tensor:
    """The answer to one request's query, (s, s): class indices for labels (k is channel k - 1), else the picture."""
    shown = pairs.painted() if model.config.paints else pairs
    visible = everywhere(shown, model.config.patch)
    visible[:, -1] = False
    canvas = compose(shown, visible)
    device = next(model.parameters()).device
    images, targets = canvas.images.to(device), canvas.targets.to(device)
    prompts = model.encode(model.embed(images[0, :-1]), targets[:, :-1], pairs.target_type)
    said = model.answer(model.embed(images[:, -1]), prompts, pairs.target_type)[0].cpu()
    if pairs.target_type == "image":
        return said[0].clamp(0, 1)
    if not model.config.paints:
        return torch.cat([torch.zeros_like(said[:1]), said]).argmax(0)
    colors = torch.cat([torch.zeros(1), pairs.colors[0]])
    return (said - colors.view(-1, 1, 1)).abs().argmin(0)


def _requests(
    store: Store, kinds: tuple[str, ...], coloring: Colors, per_set: int, prompts: int, size: int
) -> list[Pairs]:
    settings = EpisodeSettings(
        batch=1, panels=(1, 1), classes=(99, 99), empty_query_fraction=0.0, position_jitter=0.0, coloring=coloring
    )
    episodes = Episodes(store, "train", kinds, settings, PLAIN, size, seed=0)
    requests: list[Pairs] = []
    for found in task_sources(store, ("train", "val"), kinds).values():
        for sets in found.values():
            for sources in sets:
                source = sources[0]
                shown, asked = source.on("train"), source.on("val")
                rng = np.random.default_rng([7, len(requests)])
                for _ in range(per_set if shown and asked else 0):
                    chosen = [*rng.permutation(np.array(shown))[:prompts], rng.choice(np.array(asked))]
                    requests.append(episodes.request(source, [str(patient) for patient in chosen], rng))
    return requests


def _score(answer: Tensor, pairs: Pairs) -> tuple[str, float]:
    truth = pairs.targets[0, -1]
    name, kind = pairs.names[0].split("/", 1)
    if pairs.target_type == "image":
        error = float((answer - truth[0]).square().mean())
        return f"psnr/{name}/{kind.split(':')[0]}", -10 * np.log10(max(error, 1e-10))
    scores = []
    for channel, mask in enumerate(truth, start=1):
        said = answer == channel
        union = (said | (mask > 0)).sum()
        if union > 0:
            scores.append(float((said & (mask > 0)).sum() / union))
    return f"iou/{name}", float(np.mean(scores)) if scores else 1.0


def _row(answer: Tensor, pairs: Pairs) -> NDArray[np.uint8]:
    """A prompt, its target, the query, the answer and the truth side by side; labels in color on their image."""
    prompt, query = pairs.images[0, 0, 0].numpy(), pairs.images[0, -1, 0].numpy()
    targets = pairs.targets[0]
    if pairs.target_type == "image":
        pictures = [targets[0, 0].numpy(), answer.numpy(), targets[-1, 0].numpy()]
        target, predicted, truth = (plain(picture) for picture in pictures)
    else:
        classes = torch.arange(1, targets.shape[1] + 1).view(-1, 1, 1)
        target = fill(prompt, (targets[0] * classes).amax(0).numpy())
        predicted, truth = fill(query, answer.numpy()), fill(query, (targets[-1] * classes).amax(0).numpy())
    return np.concatenate([plain(prompt), target, plain(query), predicted, truth], axis=1)
