"""Features of the image encoder on a grid: volumes are embedded slice by slice, along their plane."""

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mvg.imaging.frame import Frame
from mvg.imaging.orientation import Plane
from mvg.imaging.volume import Volume
from mvg.model.generalist import Generalist
from mvg.prediction.registration.grid import WorkingGrid

CHANNELS = 12
_BATCH = 8
_CELL = 4  # pixels of a square per cell of the fine features


def encoder_features(
    model: Generalist, images: tuple[Float[Tensor, "1 1 x y z"], Float[Tensor, "1 1 x y z"]], grid: WorkingGrid
) -> tuple[Float[Tensor, "1 c x y z"], Float[Tensor, "1 c x y z"]]:
    """The strongest principal components of the features of two images on one grid, of variance 1 in all together."""
    volumes = [Volume(image[0, 0].numpy(), grid.affine) for image in images]
    plane = volumes[0].plane
    slices = volumes[0].pictures(plane)
    rows, columns = slices.shape[1:]
    frame = Frame.letterbox((rows, columns), volumes[0].pixel_spacing(plane), model.config.size)
    maps = [_embedded(model, volume, plane, frame) for volume in volumes]
    cells = rearrange(torch.cat(maps), "n c h w -> (n h w) c")
    mean = cells.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(cells.T))
    directions = vectors[:, -CHANNELS:] / values[-CHANNELS:].sum().clamp(min=1e-12).sqrt() * CHANNELS**0.5
    parts = [torch.einsum("nchw,ck->nkhw", features - mean.view(1, -1, 1, 1), directions) for features in maps]
    first, second = (_on_grid(part, volumes[0], plane, frame) for part in parts)
    return first, second


def _embedded(model: Generalist, volume: Volume, plane: Plane, frame: Frame) -> Float[Tensor, "n c h w"]:
    squares = torch.from_numpy(frame.apply(np.ascontiguousarray(volume.pictures(plane))))[:, None]
    device = next(model.parameters()).device
    with torch.inference_mode():
        parts = [model.embed(part.to(device)).fine for part in torch.split(squares, _BATCH)]
    assert parts[0] is not None, "the merged form has no features of images"
    return torch.cat([part.float().cpu() for part in parts if part is not None])


def _on_grid(maps: Float[Tensor, "n k h w"], volume: Volume, plane: Plane, frame: Frame) -> Float[Tensor, "1 k x y z"]:
    squares = F.interpolate(maps, scale_factor=_CELL, mode="bilinear", align_corners=False)
    voxels = volume.from_pictures(frame.restore(squares.numpy()), plane).voxels
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(voxels, -1, 0)))[None]
