"""The options that all specialists share."""

from dataclasses import dataclass

from mvg.errors import RecipeError
from mvg.training.optimization import OptimizerSettings


@dataclass(frozen=True)
class TrainingOptions:
    """How a specialist is trained.

    size: pixels a side of its squares, a multiple of 32. batch: slices per step. rate: AdamW's peak learning rate;
    warmup: fraction of the budget in which it rises, after which it falls along a cosine; decay: weight decay; clip:
    largest norm of a gradient. zoom (logarithm), rotation (radians), shift (fraction of half a picture): standard
    deviations of the random changes of whole slices. workers: processes that load slices.
    """

    size: int = 128
    batch: int = 8
    rate: float = 2e-3
    warmup: float = 0.05
    decay: float = 0.01
    clip: float = 1.0
    zoom: float = 0.1
    rotation: float = 0.12
    shift: float = 0.06
    workers: int = 0

    def __post_init__(self) -> None:
        rules = [
            (self.size >= 32 and self.size % 32 == 0, f"size = {self.size}", "a multiple of 32"),
            (self.batch >= 1, f"batch = {self.batch}", "1 or more"),
            (0 < self.warmup < 1, f"warmup = {self.warmup}", "a fraction between 0 and 1"),
        ]
        for holds, problem, expected in rules:
            if not holds:
                raise RecipeError(problem, expected, "correct the method's options")

    @property
    def optimizer(self) -> OptimizerSettings:
        """The optimizer and its schedule."""
        return OptimizerSettings(
            learning_rate=self.rate,
            weight_decay=self.decay,
            warmup_fraction=self.warmup,
            final_fraction=0.0,
            clip_norm=self.clip,
        )
