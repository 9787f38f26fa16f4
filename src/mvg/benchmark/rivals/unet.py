"""UNet: the specialist with skip connections at every resolution (MONAI's DynUNet, plain blocks)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._options import TrainingOptions
from mvg.benchmark.rivals._specialist import Specialist, check_halvings, check_monai, fit_specialist, monai_networks
from mvg.tasks import Task

SCOPE: Scope = "specialist"
USES_PROMPTS = False
check = check_monai


@dataclass(frozen=True)
class Options(TrainingOptions):
    """widths: channels at each resolution, the finest first, each half of the one before.

    The default has 1.6 million parameters; (32, 64, 128, 256, 512) has 7.8 and (64, 128, 256, 512, 1024) has 31
    million, as the original U-Net.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128, 192)


def serves(task: Task) -> bool:
    """Label maps and pictures, from one image."""
    return task.spec.target_type != "field"


def fit(options: Options, data: TrainingData) -> Specialist:
    """Train on one task of one set."""
    return fit_specialist(network_of(options), options, data)


def network_of(options: Options) -> Callable[[int], nn.Module]:
    """Makes the network for a number of outputs. Raises BenchmarkError without MONAI, RecipeError for the options."""
    depth, nets = len(options.widths), monai_networks()
    check_halvings(options, depth - 1)
    strides = [1, *[2] * (depth - 1)]
    return lambda outputs: nets.DynUNet(2, 1, outputs, [3] * depth, strides, strides[1:], filters=options.widths)
