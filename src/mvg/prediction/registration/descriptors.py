"""Dense descriptors of images for registration, computed by hand: self-similarity and local contrast."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from torch import Tensor
from torch.nn import functional as F

from mvg.prediction.registration.deformation import smoothed

_FLOOR, _CEILING = 1e-3, 1e3  # of the local variance, relative to its mean
_TINY = 1e-12
_CONTRAST = 0.15  # weight of the local contrast beside the intensity
_NEAR = 5  # voxels of the side of a neighborhood
_NOISE = 0.05  # deviation below which local contrast is noise


def self_similarity(image: Float[Tensor, "1 1 x y z"], axes: Sequence[int]) -> Float[Tensor, "1 c x y z"]:
    """MIND-SSC (Heinrich et al., MICCAI 2013): how alike the neighbors of a point are, 0 to 1, in c pairs.

    It does not depend on contrast, so images of two modalities can be compared. axes: along which neighbors are taken;
    there are 12 pairs along three axes and 4 along two.
    """
    neighbors = [(axis, by) for axis in axes for by in (-1, 1)]
    pairs = [(one, other) for one, other in combinations(neighbors, 2) if one[0] != other[0] or len(axes) == 1]
    differences = [(_shifted(image, *one) - _shifted(image, *other)) ** 2 for one, other in pairs]
    distances = smoothed(torch.cat(differences, dim=1))
    distances = distances - distances.amin(dim=1, keepdim=True)
    variance = distances.mean(dim=1, keepdim=True)
    mean = float(variance.mean())
    return torch.exp(-distances / variance.clamp(_FLOOR * mean, _CEILING * mean).clamp(min=_TINY))


def contrast(image: Float[Tensor, "1 1 x y z"]) -> Float[Tensor, "1 2 x y z"]:
    """The intensity, and its deviation from the surroundings in units of theirs."""
    mean = smoothed(image, 2)
    deviation = smoothed((image - mean) ** 2, 2).clamp(min=0).sqrt()
    return torch.cat([image, _CONTRAST * (image - mean) / (deviation + _NOISE)], dim=1)


def agreement(fixed: Float[Tensor, "1 1 x y z"], moving: Float[Tensor, "1 1 x y z"]) -> float:
    """The correlation of two aligned images, 0 where it is negative: whether their intensities can be compared."""
    deviations = [image - image.mean() for image in (fixed, moving)]
    spread = float(torch.sqrt(deviations[0].square().mean() * deviations[1].square().mean()))
    return max(0.0, float((deviations[0] * deviations[1]).mean()) / max(spread, _TINY))


def resemblance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The correlation of two images within 5 x 5 x 5 voxels, -1 to 1; where both vary more, it counts more."""
    first, second = ((image - image.mean()) / max(float(image.std()), _TINY) for image in (one, other))
    size = [min(_NEAR, length) for length in one.shape]
    means = uniform_filter(first, size), uniform_filter(second, size)
    spreads = (
        np.sqrt(np.clip(uniform_filter(image**2, size) - mean**2, 0, None))
        for image, mean in zip((first, second), means, strict=True)
    )
    together = uniform_filter(first * second, size) - means[0] * means[1]
    return float(together.sum() / max(float(np.prod(list(spreads), axis=0).sum()), _TINY))


def _shifted(image: Float[Tensor, "1 1 x y z"], axis: int, by: int) -> Float[Tensor, "1 1 x y z"]:
    """The image moved along an axis; its border continues outside."""
    margins = [0] * 6
    margins[2 * (2 - axis)], margins[2 * (2 - axis) + 1] = max(by, 0), max(-by, 0)
    return F.pad(image, margins, mode="replicate").narrow(axis + 2, max(-by, 0), image.shape[axis + 2])
