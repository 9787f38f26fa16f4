"""Distillation: a network learns from the soft answers of a larger one, its teacher, beside the truth.

The teacher receives the same requests. Its class probabilities and pictures stand in for the targets (Hinton et al.
2015), in the same loss but for Dice, which rewards hard answers.
"""

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from mvg.canvas import Pairs
from mvg.errors import RecipeError
from mvg.model.config import GeneralistConfig
from mvg.model.generalist import Generalist
from mvg.model.outputs import ModelOutput
from mvg.model.weights import load_weights
from mvg.training.batch import TrainingBatch
from mvg.training.losses import LossSettings, loss_of


@dataclass(frozen=True)
class DistillationSettings:
    """Whose answers a network also learns from.

    teacher: weights, by id or folder ("": none); share: of the loss to the teacher's answers, the rest is that to the
    truth.
    """

    teacher: str = ""
    share: float = 0.5


@dataclass(frozen=True, eq=False)
class Teacher:
    """A network that answers the requests of training. network: on the device of the run, in its precision."""

    network: nn.Module
    share: float

    def loss(
        self, output: ModelOutput, batch: TrainingBatch, pairs: Pairs, patch: int, settings: LossSettings
    ) -> Float[Tensor, ""]:
        """The loss of a batch: part to the truth, part to the teacher's answers. Arguments as in `loss_of`."""
        truth = loss_of(output, batch, pairs, patch, settings)
        if batch.scored is None:
            return truth
        soft = replace(pairs, targets=self._soft_targets(batch, pairs))
        imitation = loss_of(output, batch, soft, patch, replace(settings, dice=0.0))
        return (1 - self.share) * truth + self.share * imitation

    @torch.no_grad()
    def _soft_targets(self, batch: TrainingBatch, pairs: Pairs) -> Float[Tensor, "b n c s s"]:
        """The targets, with the teacher's answers in place of those that are predicted."""
        predicted = soft_targets(batch.run(self.network), pairs)
        return torch.cat([pairs.targets[:, : batch.first], predicted], dim=1)


def soft_targets(output: ModelOutput, pairs: Pairs) -> Float[Tensor, "b m c s s"]:
    """Probabilities of the classes, 0 for those that only pad a request, or pictures in [0, 1]."""
    assert output.pictures is not None
    if pairs.target_type != "labels":
        return output.pictures.float().clamp(0, 1)
    assert output.logits is not None, "a teacher has class scores"
    used = rearrange(pairs.used, "b c -> b 1 c 1 1")
    logits = output.logits.float().masked_fill(~used, -torch.inf)
    return torch.cat([torch.zeros_like(logits[:, :, :1]), logits], dim=2).softmax(dim=2)[:, :, 1:]


def load_teacher(settings: DistillationSettings, student: GeneralistConfig) -> Generalist:
    """The teacher's network on the CPU, which learns nothing. RecipeError where it cannot answer the same requests."""
    network = load_weights(settings.teacher)
    config = network.config
    if config.paints or student.paints or (config.patch, config.inputs) != (student.patch, student.inputs):
        raise RecipeError(
            f"distillation.teacher = '{settings.teacher}' with {_shape(config)}, for a network with {_shape(student)}",
            "equal patches and inputs, and class scores in both",
            "choose another teacher or network",
        )
    return network.requires_grad_(requires_grad=False)


def _shape(config: GeneralistConfig) -> str:
    labels = "painted labels" if config.paints else "class scores"
    return f"patches of {config.patch} pixels, {config.inputs} inputs and {labels}"
