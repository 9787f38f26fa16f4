"""Tasks made on the fly: regions of one picture, found again in changed copies of it.

A data set asks for the same few things every time; such regions are new in every request, so what is learnt of them is
to look at the prompts (after the synthetic tasks of Butoi et al. 2023, UniverSeg, with shapes that follow the anatomy).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_SMOOTH = (0.006, 0.03)  # least and most standard deviation of the blur, in sides of the picture
_LEVELS = (3, 7)  # fewest and most classes of intensity
_AREA = (0.002, 0.3)  # least and most share of the picture that a region has
_MOST = 8


def regions(picture: NDArray[Any], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Labels (s, s) of up to 8 connected regions of alike intensities, numbered at random; 0 elsewhere."""
    smooth = ndimage.gaussian_filter(np.asarray(picture, np.float32), rng.uniform(*_SMOOTH) * picture.shape[0])
    levels = int(rng.integers(_LEVELS[0], _LEVELS[1] + 1))
    shares = np.sort(rng.uniform(0, 1, levels - 1))
    classes = np.digitize(smooth, np.quantile(smooth, shares))
    parts = np.zeros(picture.shape, np.int64)
    for value in range(levels):
        found, _ = ndimage.label(classes == value)
        parts += np.where(found > 0, found + parts.max(), 0)
    areas = np.bincount(parts.ravel()) / picture.size
    fitting = np.flatnonzero((areas >= _AREA[0]) & (areas <= _AREA[1]))
    if not len(fitting):
        fitting = areas.argsort()[-2:-1]  # a picture of few parts: the second largest
    labels = np.zeros(picture.shape, np.uint8)
    for number, part in enumerate(rng.permutation(fitting)[:_MOST], start=1):
        labels[parts == part] = number
    return labels
