"""VNet: the specialist with residual stages and dropout (MONAI's VNet, in 2D)."""

from dataclasses import dataclass

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._options import TrainingOptions
from mvg.benchmark.rivals._specialist import Specialist, check_monai, fit_specialist, monai_networks
from mvg.tasks import Task

SCOPE: Scope = "specialist"
USES_PROMPTS = False
check = check_monai


@dataclass(frozen=True)
class Options(TrainingOptions):
    """dropout: share of channels dropped in the two deepest stages on the way down and up.

    MONAI fixes the widths (16 to 256): 9.4 million parameters.
    """

    rate: float = 1e-3
    dropout: float = 0.2


def serves(task: Task) -> bool:
    """Label maps and pictures, from one image."""
    return task.spec.target_type != "field"


def fit(options: Options, data: TrainingData) -> Specialist:
    """Train on one task of one set."""
    nets, share = monai_networks(), options.dropout
    return fit_specialist(
        lambda outputs: nets.VNet(
            2, 1, outputs, dropout_prob_down=share, dropout_prob_up=(share, share), dropout_dim=2
        ),
        options,
        data,
    )
