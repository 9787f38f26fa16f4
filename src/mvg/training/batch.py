"""A training batch: what the model receives, and where its output is scored."""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvg.canvas import Canvas, Pairs
from mvg.model.config import GeneralistConfig
from mvg.model.outputs import ModelOutput


def pairs_for(config: GeneralistConfig, pairs: Pairs) -> Pairs:
    """The pairs as a network receives them: each label target as one painted picture if it paints labels."""
    return pairs.painted() if config.paints else pairs


@dataclass(frozen=True)
class ObjectiveContext:
    """What an objective needs besides the pairs.

    generator: on the CPU, so that every device hides the same patches; mask_ratio: share of patches hidden.
    """

    generator: torch.Generator
    mask_ratio: float


@dataclass(frozen=True)
class TrainingBatch:
    """A canvas, the order of attention, and the weights of the patches that are scored.

    order: "causal" (each pair attends to the ones before it), "full" (all attend to all) or "images" (each image is
    reconstructed by itself). first: the first pair whose target is predicted. scored: weights in [0, 1] of the target
    patches of the pairs from `first` on, or None. scored_images: hidden image patches to reconstruct, or None.
    """

    canvas: Canvas
    order: Literal["causal", "full", "images"]
    first: int
    scored: Float[Tensor, "b m h w"] | None
    scored_images: Bool[Tensor, "b n h w"] | None

    def run(self, model: torch.nn.Module) -> ModelOutput:
        """The output of the model: a Generalist, or its wrapper for several processes."""
        canvas = self.canvas
        output: ModelOutput = model(
            canvas.images,
            canvas.targets,
            canvas.visible,
            self.order,
            self.first,
            canvas.image_visible,
            canvas.target_type,
        )
        return output


class Objective(Protocol):
    """The interface of a file in `objectives/`."""

    def make_batch(self, pairs: Pairs, patch: int, context: ObjectiveContext) -> TrainingBatch:
        """Hide parts of the pairs and choose what is scored. patch: side in pixels."""
        ...
