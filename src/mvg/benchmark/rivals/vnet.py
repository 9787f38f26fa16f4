"""VNet: the specialist with residual stages and dropout (MONAI's VNet, in 2D)."""

from dataclasses import dataclass

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._specialist import Specialist, monai_is_there, networks, specialist
from mvg.benchmark.rivals._supervised import Learning
from mvg.tasks import Task

SCOPE: Scope = "specialist"
PROMPTED = False
check = monai_is_there


@dataclass(frozen=True)
class Settings(Learning):
    """dropout: share of channels dropped in the two deepest stages on the way down and up.

    MONAI fixes the widths (16 to 256): 9.4 million parameters.
    """

    rate: float = 1e-3
    dropout: float = 0.2


def serves(task: Task) -> bool:
    """Labels and pictures alike."""
    return True


def learn(settings: Settings, lesson: TrainingData) -> Specialist:
    """Learn one task of one set."""
    nets, share = networks(), settings.dropout
    return specialist(
        lambda outputs: nets.VNet(
            2, 1, outputs, dropout_prob_down=share, dropout_prob_up=(share, share), dropout_dim=2
        ),
        settings,
        lesson,
    )
