"""A model that learns in context in closed form, so that predictions can be compared with exact answers."""

from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from mvg.model.config import GeneralistConfig, MatchingConfig, MergedConfig
from mvg.model.generalist import Generalist
from mvg.model.outputs import ImageFeatures, PromptState
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from tests.prediction.scans import scan

_Network = TypeVar("_Network", bound=torch.nn.Module)

SIZE = 32


def tiny_config(form: str = "matching", size: int = SIZE) -> GeneralistConfig:
    """The smallest network that runs."""
    assert form in ("matching", "painting", "merged")
    if form == "merged":
        return MergedConfig(size=size, width=24, depth=2, heads=2, fine=8, levels=(1, 2), merge_after=1)
    return MatchingConfig(
        size=size, width=24, depth=2, heads=2, fine=8,
        target_width=32, target_depth=1, decoder_width=32, decoder_depth=1, paint=form == "painting",
    )  # fmt: skip


def random_model(form: str = "matching", size: int = SIZE) -> Generalist:
    """A network with random weights, whose predictions are not all background."""
    torch.manual_seed(0)
    model = Generalist(tiny_config(form, size))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return model.eval()


class Learner(Generalist):
    """Recognizes classes by the mean intensity of their prompts, and pictures by the mean change of their prompts.

    Exact where every class has one intensity. Counts the images that it embeds, the prompts that it encodes and the
    largest number of queries that it answers at once.
    """

    def __init__(self, size: int = SIZE) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # features decide which prompts are selected
            super().__init__(tiny_config(size=size))
        self.embedded, self.encoded, self.largest_batch = 0, 0, 0

    def embed(self, images: Tensor) -> ImageFeatures:
        self.embedded += len(images)
        return super().embed(images)

    def encode(self, features: ImageFeatures, targets: Tensor, target_type: str) -> PromptState:
        self.encoded += targets.shape[1]
        images = features.images.unflatten(0, targets.shape[:2])
        area = targets.sum((-2, -1))
        inside = (images * targets).sum((-2, -1)) / area.clamp(min=1e-6)
        intensity = torch.where(area > 0, inside, torch.full_like(inside, torch.nan))
        change = (targets - images).mean((-2, -1))
        values = torch.stack([intensity, change], dim=-1)  # b n c 2
        return PromptState((values[:, None, :, :1, 0],), (values[:, None],))

    def answer(self, features: ImageFeatures, prompts: PromptState, target_type: str) -> Tensor:
        self.largest_batch = max(self.largest_batch, len(features))
        learned = prompts.expand(len(features)).values[0][:, 0].nanmean(dim=1)  # b c 2
        return self.paint(features.images, learned, target_type)

    def paint(self, images: Tensor, learned: Tensor, target_type: str) -> Tensor:
        """The answer to images (b, 1, s, s) from the intensity and the change of each channel (b, c, 2)."""
        if target_type == "image":
            return images + learned[:, :, 1, None, None]
        return 30 - 300 * (images - learned[:, :, 0, None, None]).abs()


class Filler(Learner):
    """Replaces dark pixels of a picture by one intensity, and makes all others a little darker."""

    def __init__(self, filling: float = 0.6, darkest: float = 0.45, darker: float = 0.0) -> None:
        super().__init__()
        self.filling, self.darkest, self.darker = filling, darkest, darker

    def paint(self, images: Tensor, learned: Tensor, target_type: str) -> Tensor:
        return torch.where(images < self.darkest, self.filling, images - self.darker)


class Copying(Generalist):
    """Paints every pixel of a query as the prompts paint pixels of about its intensity; records the colors."""

    def __init__(self) -> None:
        super().__init__(tiny_config("merged"))
        self.colors: list[set[float]] = []

    def encode(self, features: ImageFeatures, targets: Tensor, target_type: str) -> PromptState:
        self.colors.append({round(color, 3) for color in targets.unique().tolist()})
        images = features.images.unflatten(0, targets.shape[:2])
        return PromptState((images[:, :, 0],), (targets[:, :, 0, :, None],))

    def answer(self, features: ImageFeatures, prompts: PromptState, target_type: str) -> Tensor:
        images, targets = prompts.keys[0][0].float(), prompts.values[0][0, :, :, 0].float()
        table = torch.stack([(images * 16).round(), targets], dim=-1).flatten(0, -2).unique(dim=0)
        return table[(features.images[..., None] * 16 - table[:, 0]).abs().argmin(-1), 1]


def randomized(network: _Network) -> _Network:
    """A network with random weights in all of its layers, also in those that begin with zeros."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


def prompted(model: Generalist, count: int = 2, **options: Any) -> PromptedTask:
    """A segmentation with `count` scans as prompts."""
    images, labels = zip(*(scan(seed=number) for number in range(count)), strict=True)
    return Predictor(model, "made").prompt(images, labels, options=PredictionOptions(**options))


def changed(task: PromptedTask, **options: Any) -> PromptedTask:
    """The same task with some options changed."""
    return task.with_options(replace(task.options, **options))
