"""ResNet-18: the specialist with a classifier's backbone (MONAI's) and a light decoder of two convolutions."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals._options import TrainingOptions
from mvg.benchmark.rivals._specialist import Specialist, check_monai, fit_specialist, monai_networks
from mvg.tasks import Task

SCOPE: Scope = "specialist"
USES_PROMPTS = False
check = check_monai


@dataclass(frozen=True)
class Options(TrainingOptions):
    """stem: stride of the first convolution; 1 gives features at 1/16 of the side, good for small squares, 2 at 1/32.

    width: channels between the decoder's convolutions. 11.5 million parameters, of which the backbone has 11.2.
    """

    rate: float = 1e-3
    stem: int = 1
    width: int = 64


class ResNet18(nn.Module):
    """Pictures (b, 1, s, s) -> (b, outputs, s, s), decoded from the last features of the backbone."""

    def __init__(self, backbone: nn.Module, width: int, outputs: int) -> None:
        super().__init__()
        backbone.avgpool = nn.Identity()  # MONAI pools here for a classifier
        self.backbone = nn.Sequential(*backbone.children())
        self.first = nn.Conv2d(512, width, 3, padding=1)
        self.last = nn.Conv2d(width, outputs, 3, padding=1)

    def forward(self, images: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b outputs s s"]:
        side = images.shape[-1]
        features = F.relu(self.first(self.backbone(images)))
        features = F.interpolate(features, size=(side // 4, side // 4), mode="bilinear", align_corners=False)
        return F.interpolate(self.last(features), size=(side, side), mode="bilinear", align_corners=False)


def serves(task: Task) -> bool:
    """Label maps and pictures, from one image."""
    return task.spec.target_type != "field"


def fit(options: Options, data: TrainingData) -> Specialist:
    """Train on one task of one set."""
    nets = monai_networks()

    def build(outputs: int) -> nn.Module:
        backbone = nets.resnet18(
            spatial_dims=2, n_input_channels=1, conv1_t_size=7, conv1_t_stride=options.stem, feed_forward=False
        )
        return ResNet18(backbone, options.width, outputs)

    return fit_specialist(build, options, data)
