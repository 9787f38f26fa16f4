"""Pix2Pix: a U-Net that makes pictures and a critic of patches that tells them from real ones (both MONAI's)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._specialist import Specialist, halved, monai_is_there, networks, specialist
from mvg.benchmark.rivals._supervised import Learner, Learning
from mvg.tasks import Task

SCOPE: Scope = "specialist"
PROMPTED = False
check = monai_is_there


@dataclass(frozen=True)
class Settings(Learning):
    """widths: channels of the generator, each resolution half of the one before, the first already halved.

    critic: channels of the critic's first of `layers` halvings. adversarial: weight of the critic's verdict beside L1.
    The default has 1.3 million parameters, and 0.7 million of the critic; widths (64, 128, 256, 512, 512, 512, 512)
    and critic 64 at 256 pixels are the first Pix2Pix's.
    """

    rate: float = 1e-3
    widths: tuple[int, ...] = (32, 64, 128, 192)
    critic: int = 32
    layers: int = 3
    adversarial: float = 0.01


def serves(task: Task) -> bool:
    """Pictures alone."""
    return task.spec.target_type == "image"


def learn(settings: Settings, lesson: TrainingData) -> Specialist:
    """Learn one task of one set; of a step, the critic learns before the generator."""
    nets, halvings = networks(), len(settings.widths)
    halved(settings, halvings)

    def generator(outputs: int) -> nn.Module:
        # The last pair of widths is the bottom, which MONAI does not halve again.
        widths = (*settings.widths, settings.widths[-1])
        network: nn.Module = nets.UNet(2, 1, outputs, widths, (2,) * halvings, num_res_units=0)
        return network

    def course(network: nn.Module, task: Task) -> Sequence[Learner]:
        critic = nets.PatchDiscriminator(2, settings.critic, 2, num_layers_d=settings.layers, norm="INSTANCE")

        def made(images: Tensor, targets: Tensor, answer: Tensor) -> Tensor:
            fooled = _verdict(critic, images, answer, real=True)
            return F.l1_loss(answer, targets) + settings.adversarial * fooled

        def told(images: Tensor, targets: Tensor, answer: Tensor) -> Tensor:
            real, fake = _verdict(critic, images, targets, real=True), _verdict(critic, images, answer, real=False)
            return (real + fake) / 2

        return [Learner(network, made), Learner(critic, told)]

    return specialist(generator, settings, lesson, course)


def _verdict(critic: nn.Module, images: Tensor, pictures: Tensor, *, real: bool) -> Tensor:
    """How far the critic is from saying `real` of each patch of these pictures, made from these images."""
    said: Tensor = critic(torch.cat([images, pictures], dim=1))[-1]
    return F.binary_cross_entropy_with_logits(said, torch.full_like(said, float(real)))
