"""Pix2Pix (Isola et al. 2017): a U-Net that makes pictures, and a critic that rates their patches (both MONAI's)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._options import TrainingOptions
from mvg.benchmark.rivals._specialist import Specialist, check_halvings, check_monai, fit_specialist, monai_networks
from mvg.benchmark.rivals._supervised import Learner
from mvg.tasks import Task

SCOPE: Scope = "specialist"
USES_PROMPTS = False
check = check_monai


@dataclass(frozen=True)
class Options(TrainingOptions):
    """widths: channels of the generator, each resolution half of the one before, the first already halved.

    critic: channels of the critic's first of `layers` halvings. adversarial: weight of the adversarial loss beside L1.
    The default has 1.3 million parameters, and the critic 0.7 million; widths (64, 128, 256, 512, 512, 512, 512) and
    critic 64 at 256 pixels are those of the original Pix2Pix.
    """

    rate: float = 1e-3
    widths: tuple[int, ...] = (32, 64, 128, 192)
    critic: int = 32
    layers: int = 3
    adversarial: float = 0.01


def serves(task: Task) -> bool:
    """Pictures, from one image."""
    return task.spec.target_type == "image"


def fit(options: Options, data: TrainingData) -> Specialist:
    """Train on one task of one set; in each step, the critic is updated before the generator."""
    nets, halvings = monai_networks(), len(options.widths)
    check_halvings(options, halvings)

    def generator(outputs: int) -> nn.Module:
        # The last pair of widths is the bottom, which MONAI does not halve again.
        widths = (*options.widths, options.widths[-1])
        network: nn.Module = nets.UNet(2, 1, outputs, widths, (2,) * halvings, num_res_units=0)
        return network

    def learners(network: nn.Module, task: Task) -> Sequence[Learner]:
        critic = nets.PatchDiscriminator(2, options.critic, 2, num_layers_d=options.layers, norm="INSTANCE")

        def generator_loss(images: Tensor, targets: Tensor, pictures: Tensor) -> Tensor:
            adversarial = _cross_entropy(critic, images, pictures, 1.0)
            return F.l1_loss(pictures, targets) + options.adversarial * adversarial

        def critic_loss(images: Tensor, targets: Tensor, pictures: Tensor) -> Tensor:
            real = _cross_entropy(critic, images, targets, 1.0)
            return (real + _cross_entropy(critic, images, pictures, 0.0)) / 2

        return [Learner(network, generator_loss), Learner(critic, critic_loss)]

    return fit_specialist(generator, options, data, learners)


def _cross_entropy(critic: nn.Module, images: Tensor, pictures: Tensor, label: float) -> Tensor:
    """The critic's loss if each patch of the pictures, given the images, has this label (1: real, 0: made)."""
    logits: Tensor = critic(torch.cat([images, pictures], dim=1))[-1]
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
