"""Metal streaks: a CT picture with metal and the streaks that it causes -> without both.

The level is the number of pieces of metal.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.imaging.resizing import resized
from mvg.tasks.restoration import Degradation
from mvg.tasks.task import TaskSpec
from mvg.tasks.tomography import even_angles, filtered_backprojection, projections

_SIDE, _VIEWS = 128, 180  # of the coarse picture in which streaks are computed; they are smooth along their length
_METAL = 4.0  # intensity of metal, where water is 0.5
_RADIUS = (0.01, 0.03)  # of a piece, as a share of the side
_BEAM_HARDENING = 0.4  # share of the metal's attenuation that is missed
_BODY = 0.25  # brighter is body


def degrade(pictures: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Place metal in the body, and add what filtered backprojection makes of rays that it attenuates too little."""
    rows, columns = pictures.shape[1:]
    body = pictures.mean(axis=0) > _BODY
    inside = np.argwhere(body) if body.any() else np.array([[rows // 2, columns // 2]])
    y, x = np.ogrid[:rows, :columns]
    metal = np.zeros((rows, columns), np.bool_)
    for _ in range(int(level)):
        center, radius = rng.choice(inside), rng.uniform(*_RADIUS) * max(rows, columns)
        metal |= np.hypot(y - center[0], x - center[1]) <= max(radius, 1.0)
    streaks = _streaks(metal)
    return np.where(metal, np.float32(_METAL), pictures + streaks).astype(np.float32)


def _streaks(metal: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The error (rows, cols) of reconstructing metal whose longest paths seem shorter than they are."""
    coarse, angles = resized(metal.astype(np.float32), _SIDE, _SIDE), even_angles(_VIEWS)
    paths = _METAL * projections(coarse[None], angles)
    missed = -_BEAM_HARDENING * paths**2 / max(float(paths.max()), 1e-6)
    return resized(ndimage.gaussian_filter(filtered_backprojection(missed, angles, _SIDE)[0], 0.5), *metal.shape)


DEGRADATION = Degradation(
    TaskSpec("metal_streaks", sampling="tiles", residual=True, on_request=True), degrade, (2.0, 1.0), ("CT",)
)

SPEC = DEGRADATION.spec
offered_by, evaluated = DEGRADATION.offered_by, DEGRADATION.evaluated
