"""UNet: the specialist with skip connections at every resolution (MONAI's DynUNet, plain blocks)."""

from dataclasses import dataclass

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._specialist import Specialist, halved, monai_is_there, networks, specialist
from mvg.benchmark.rivals._supervised import Learning
from mvg.tasks import Task

SCOPE: Scope = "specialist"
PROMPTED = False
check = monai_is_there


@dataclass(frozen=True)
class Settings(Learning):
    """widths: channels at each resolution, the finest first, halved from one to the next.

    The default has 1.6 million parameters; (32, 64, 128, 256, 512) has 7.8 and (64, 128, 256, 512, 1024) has 31
    million, as the first U-Net had.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128, 192)


def serves(task: Task) -> bool:
    """Labels and pictures alike."""
    return True


def learn(settings: Settings, lesson: TrainingData) -> Specialist:
    """Learn one task of one set."""
    depth, nets = len(settings.widths), networks()
    halved(settings, depth - 1)
    strides = [1, *[2] * (depth - 1)]
    return specialist(
        lambda outputs: nets.DynUNet(2, 1, outputs, [3] * depth, strides, strides[1:], filters=settings.widths),
        settings,
        lesson,
    )
