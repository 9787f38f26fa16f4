"""Validation during training: fixed requests of patients that training does not use."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mvg.canvas import Pairs, all_visible, compose
from mvg.data.store import Store
from mvg.imaging.overlay import fill, plain
from mvg.model.generalist import Generalist
from mvg.training.augmentation import NO_AUGMENTATION
from mvg.training.batch import pairs_for
from mvg.training.episodes import EpisodeData, Episodes
from mvg.training.requests import EpisodeSettings
from mvg.training.task_sources import TaskSource

_PICTURES = 2  # per score


@dataclass(frozen=True)
class ValidationSettings:
    """Which requests validation makes.

    kinds: of tasks (empty: all); coloring: as in `EpisodeSettings`; per_set: queries per data set and kind of task,
    fewer (but one) where these would be more than `most` in all; prompts: per query.
    """

    kinds: tuple[str, ...] = ()
    coloring: Literal["random", "predefined", "binary"] = "random"
    per_set: int = 8
    most: int = 800
    prompts: int = 3


def validation(store: Store, settings: ValidationSettings) -> Callable[[Generalist, Path, int], dict[str, float]]:
    """A validation for `train`: queries are slices of "val" patients, prompts of "train" patients.

    Scores: `iou/SET` (mean over the queries of the mean IoU over the classes of prompts or query, per slice, at the
    model's resolution), `psnr/SET/KIND` in dB over the whole square in [0, 1], and their means `iou` and `psnr/KIND`.
    Pictures go to `FOLDER/pictures/STEP.png`: a row per query with a prompt, its target, the query, the prediction and
    the truth. The requests are made at the first call.
    """

    @cache
    def requests(size: int, inputs: int) -> list[Pairs]:
        data = EpisodeData(store, ("train", "val"), settings.kinds, inputs)
        return list(_requests(data, settings, size))

    def validate(model: Generalist, folder: Path, step: int) -> dict[str, float]:
        scores: dict[str, list[float]] = {}
        rows = []
        for pairs in requests(model.config.size, model.config.inputs):
            prediction = predict(model, pairs)
            name, score = _score(prediction, pairs)
            scores.setdefault(name, []).append(score)
            if len(scores[name]) <= _PICTURES:
                rows.append(_row(prediction, pairs))
        if rows:
            (folder / "pictures").mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.concatenate(rows)).save(folder / "pictures" / f"{step:07d}.png")
        return _with_means({name: float(np.mean(values)) for name, values in scores.items()})

    return validate


def _with_means(scores: dict[str, float]) -> dict[str, float]:
    """The scores with their means over data sets: "psnr/SET/KIND" counts for "psnr/KIND"."""
    groups: dict[str, list[float]] = {}
    for name, score in scores.items():
        groups.setdefault("/".join(name.split("/")[::2]), []).append(score)
    return scores | {group: float(np.mean(groups[group])) for group in sorted(groups)}


@torch.inference_mode()
def predict(model: Generalist, pairs: Pairs) -> Tensor:
    """The prediction (s, s) for the query of one request: class indices (k is channel k - 1), or a picture."""
    inputs = pairs_for(model.config, pairs)
    visible = all_visible(inputs, model.config.patch)
    visible[:, -1] = False
    canvas = compose(inputs, visible)
    device = next(model.parameters()).device
    images, targets = canvas.images.to(device), canvas.targets.to(device)
    prompts = model.encode(model.embed(images[0, :-1]), targets[:, :-1], pairs.target_type)
    output = model.answer(model.embed(images[:, -1]), prompts, pairs.target_type)[0].cpu()
    if pairs.target_type != "labels":
        return output[0].clamp(0, 1)
    if not model.config.paints:
        return torch.cat([torch.zeros_like(output[:1]), output]).argmax(0)
    colors = torch.cat([torch.zeros(1), pairs.colors[0]])
    return (output - colors.view(-1, 1, 1)).abs().argmin(0)


def _requests(data: EpisodeData, settings: ValidationSettings, size: int) -> Iterator[Pairs]:
    """The requests of the first task of every data set and kind of task."""
    drawing = EpisodeSettings(
        batch=1, panels=(1, 1), classes=(99, 99), empty_query_fraction=0.0, position_jitter=0.0,
        coloring=settings.coloring,
    )  # fmt: skip
    episodes = Episodes(replace(data, splits=("train",)), drawing, NO_AUGMENTATION, size, seed=0)
    sources = [tasks[0] for kinds in data.sources.values() for sets in kinds.values() for tasks in sets]
    sources = [source for source in sources if source.of_split("train") and source.of_split("val")]
    queries, count = max(1, min(settings.per_set, settings.most // max(1, len(sources)))), 0
    for source in sources:
        rng = np.random.default_rng([7, count])
        for _ in range(queries):
            count += 1
            yield episodes.request(source, _draw_patients(source, settings.prompts, rng), rng)


def _draw_patients(source: TaskSource, prompts: int, rng: np.random.Generator) -> list[str]:
    """Patients of the prompts, and last of the query."""
    examples = rng.permutation(np.array(source.of_split("train")))[:prompts]
    return [*map(str, examples), str(rng.choice(np.array(source.of_split("val"))))]


def _score(prediction: Tensor, pairs: Pairs) -> tuple[str, float]:
    truth = pairs.targets[0, -1]
    name, task = pairs.names[0].split("/", 1)
    if pairs.target_type != "labels":
        error = float((prediction - truth[0]).square().mean())
        return f"psnr/{name}/{task.split(':')[0]}", -10 * np.log10(max(error, 1e-10))
    scores = []
    for channel, mask in enumerate(truth > 0, start=1):
        predicted = prediction == channel
        union = (predicted | mask).sum()
        if union > 0:
            scores.append(float((predicted & mask).sum() / union))
    return f"iou/{name}", float(np.mean(scores)) if scores else 1.0


def _row(prediction: Tensor, pairs: Pairs) -> NDArray[np.uint8]:
    """A prompt, its target, the query, the prediction and the truth side by side; labels in color on their image."""
    prompt, query = pairs.images[0, 0, 0].numpy(), pairs.images[0, -1, 0].numpy()
    targets = pairs.targets[0]
    if pairs.target_type == "image":
        pictures = [targets[0, 0].numpy(), prediction.numpy(), targets[-1, 0].numpy()]
        target, predicted, truth = (plain(picture) for picture in pictures)
    else:
        classes = torch.arange(1, targets.shape[1] + 1).view(-1, 1, 1)
        target = fill(prompt, (targets[0] * classes).amax(0).numpy())
        predicted, truth = fill(query, prediction.numpy()), fill(query, (targets[-1] * classes).amax(0).numpy())
    return np.concatenate([plain(prompt), target, plain(query), predicted, truth], axis=1)
