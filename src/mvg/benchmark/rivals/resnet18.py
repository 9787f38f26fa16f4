"""ResNet-18: the specialist with a classifier's backbone (MONAI's) and a light decoder of two convolutions."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._specialist import Specialist, monai_is_there, networks, specialist
from mvg.benchmark.rivals._supervised import Learning
from mvg.tasks import Task

SCOPE: Scope = "specialist"
PROMPTED = False
check = monai_is_there


@dataclass(frozen=True)
class Settings(Learning):
    """stem: stride of the first convolution; 1 gives features at 1/16, as fits small squares, 2 at 1/32 of the side.

    width: channels between the decoder's convolutions. 11.5 million parameters, 11.2 of them the backbone's.
    """

    rate: float = 1e-3
    stem: int = 1
    width: int = 64


class ResNet18(nn.Module):
    """Pictures (b, 1, s, s) -> (b, outputs, s, s), drawn from the last of the backbone's features alone."""

    def __init__(self, backbone: nn.Module, width: int, outputs: int) -> None:
        super().__init__()
        backbone.avgpool = nn.Identity()  # where MONAI's pools for a classifier
        self.backbone = nn.Sequential(*backbone.children())
        self.first = nn.Conv2d(512, width, 3, padding=1)
        self.last = nn.Conv2d(width, outputs, 3, padding=1)

    def forward(self, images: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b outputs s s"]:
        side = images.shape[-1]
        features = F.relu(self.first(self.backbone(images)))
        features = F.interpolate(features, size=(side // 4, side // 4), mode="bilinear", align_corners=False)
        return F.interpolate(self.last(features), size=(side, side), mode="bilinear", align_corners=False)


def serves(task: Task) -> bool:
    """Labels and pictures alike."""
    return True


def learn(settings: Settings, lesson: TrainingData) -> Specialist:
    """Learn one task of one set."""
    nets = networks()

    def make(outputs: int) -> nn.Module:
        backbone = nets.resnet18(
            spatial_dims=2, n_input_channels=1, conv1_t_size=7, conv1_t_stride=settings.stem, feed_forward=False
        )
        return ResNet18(backbone, settings.width, outputs)

    return specialist(make, settings, lesson)
