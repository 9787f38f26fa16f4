"""Networks small enough for a test, and pictures for them."""

from dataclasses import replace

import torch
from torch import Tensor

from mvg.model.config import GeneralistConfig, MatchingConfig, MergedConfig
from mvg.model.generalist import Generalist

SHAPES: dict[str, GeneralistConfig] = {
    "matching": MatchingConfig(
        size=32, patch=8, width=32, depth=3, heads=2, fine=8,
        target_width=64, target_depth=1, decoder_width=32, decoder_depth=1,
    ),
    "coarse": MatchingConfig(
        size=32, patch=16, width=32, depth=3, heads=2, fine=8,
        target_width=64, target_depth=1, decoder_width=32, decoder_depth=1,
    ),
    "merged": MergedConfig(
        size=32, patch=8, width=32, depth=3, heads=2, fine=8, levels=(1, 3), merge_after=1,
    ),
    "paper": MergedConfig(
        size=32, patch=8, width=32, depth=3, heads=2, levels=(2, 3), merge_after=1,
        stem="linear", head="paper",
    ),
}  # fmt: skip
SHAPES["painting"] = replace(SHAPES["matching"], paint=True)  # type: ignore[call-arg]
"""Both forms; the matching one with patches of one cell and of four, and with all classes in one picture; the merged
one with a convolutional stem and with the paper's own stem and head."""


def network(shape: str, seed: int = 0) -> Generalist:
    """A network in evaluation mode; all weights are drawn anew, so that no zero it starts with hides a path."""
    return drawn(Generalist(SHAPES[shape]), seed)


def drawn(model: Generalist, seed: int = 0) -> Generalist:
    """The network in evaluation mode with all weights drawn anew."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=draw)
            scale = weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.2
            weight.copy_(scale * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
    return model.eval()


def pictures(shape: str, panels: int, size: int = 32, batch: int = 2, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Random images (batch, panels, 1, size, size) and targets (batch, panels, c, size, size) in [0, 1]."""
    draw = torch.Generator().manual_seed(seed)
    channels = 1 if SHAPES[shape].paints else 3
    return (
        torch.rand(batch, panels, 1, size, size, generator=draw),
        torch.rand(batch, panels, channels, size, size, generator=draw),
    )


def visible_patches(shape: str, images: Tensor, share: float = 1.0, seed: int = 2) -> Tensor:
    """Visible patches (batch, panels, h, w): all of them, or a random share."""
    batch, panels, _, rows, columns = images.shape
    draw, patch = torch.Generator().manual_seed(seed), SHAPES[shape].patch
    return torch.rand(batch, panels, rows // patch, columns // patch, generator=draw) < share
