"""A question put to the model in training: what it sees, and where its answer is scored."""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvg.canvas import Canvas, Pairs
from mvg.model.outputs import ModelOutput


@dataclass(frozen=True)
class ObjectiveContext:
    """What an objective draws from, and its settings.

    generator: on the CPU, so that every device hides the same patches; mask_ratio: share of patches hidden.
    """

    generator: torch.Generator
    mask_ratio: float


@dataclass(frozen=True)
class TrainingBatch:
    """A canvas, the order of attention, and the weights of what is scored.

    first: the first panel that is answered; scored: (b, n - first, h, w) weights of target patches in [0, 1];
    scored_images: (b, n, h, w), hidden image patches to reconstruct, or None. With order `images` only the image
    stream is asked.
    """

    canvas: Canvas
    order: Literal["causal", "full", "images"]
    first: int
    scored: Float[Tensor, "b m h w"] | None
    scored_images: Bool[Tensor, "b n h w"] | None

    def put(self, model: torch.nn.Module) -> ModelOutput:
        """Ask the model (a Generalist, or its wrapper for several processes)."""
        canvas = self.canvas
        answer: ModelOutput = model(
            canvas.images,
            canvas.targets,
            canvas.visible,
            self.order,
            self.first,
            canvas.image_visible,
            canvas.target_type,
        )
        return answer


class Objective(Protocol):
    """What a file in `objectives/` offers."""

    def ask(self, pairs: Pairs, patch: int, draw: ObjectiveContext) -> TrainingBatch:
        """Hide, and say what is scored."""
        ...
