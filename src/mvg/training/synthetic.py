"""Synthetic tasks: regions of one picture, to be segmented in changed copies of it.

A data set asks for the same few structures in every request. Synthetic regions are new in every request, so a model can
only use the prompts. After the synthetic tasks of UniverSeg (Butoi et al. 2023), with shapes that follow the anatomy.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_BLUR = (0.006, 0.03)  # least and largest standard deviation of the blur, as shares of the picture's side
_LEVELS = (3, 7)  # fewest and most classes of intensity
_AREA = (0.002, 0.3)  # least and largest share of the picture that a region covers
_MAX_REGIONS = 8


def regions(picture: NDArray[Any], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Labels (s, s) of up to 8 connected regions of similar intensity, in random order; 0 elsewhere."""
    smooth = ndimage.gaussian_filter(np.asarray(picture, np.float32), rng.uniform(*_BLUR) * picture.shape[0])
    levels = int(rng.integers(_LEVELS[0], _LEVELS[1] + 1))
    shares = np.sort(rng.uniform(0, 1, levels - 1))
    classes = np.digitize(smooth, np.quantile(smooth, shares))
    parts = np.zeros(picture.shape, np.int64)
    for value in range(levels):
        components, _ = ndimage.label(classes == value)
        parts += np.where(components > 0, components + parts.max(), 0)
    areas = np.bincount(parts.ravel()) / picture.size
    fitting = np.flatnonzero((areas >= _AREA[0]) & (areas <= _AREA[1]))
    if not len(fitting):
        fitting = areas.argsort()[-2:-1]  # too few parts: the second largest
    labels = np.zeros(picture.shape, np.uint8)
    for number, part in enumerate(rng.permutation(fitting)[:_MAX_REGIONS], start=1):
        labels[parts == part] = number
    return labels
