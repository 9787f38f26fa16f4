"""Each pixel of the query is kept or erased: what the prediction darkened by half or more becomes black.

A change that was predicted in coarser squares is blurred at the edge of what remains; here the edge is sharp, and what
remains has the query's own intensities.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.prediction.inference.context import PredictionContext
from mvg.prediction.inference.volume_prediction import VolumePrediction

_BLUR = 1.5  # pixels over which brightness is compared, so that dark tissue goes with what is around it
_KEPT = 0.5  # least share of the brightness that remains
_DARK = 1e-3  # of the window


def refine(context: PredictionContext, prediction: VolumePrediction) -> VolumePrediction:
    """Keep or erase every pixel of every slice, in place."""
    query, black = context.query, np.float32(context.query.slices[:, 0].min())
    for number in range(len(prediction.pixels)):
        raw = query.slices[number, 0]
        kept = _kept(query.window.apply(raw), query.window.apply(prediction.pixels[number]))
        prediction.pixels[number] = np.where(kept, raw, black)
    return prediction


def _kept(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pictures (rows, cols) in [0, 1] -> the pixels that remain; holes are filled."""
    share = (ndimage.gaussian_filter(after, _BLUR) + _DARK * _KEPT) / (ndimage.gaussian_filter(before, _BLUR) + _DARK)
    return np.asarray(ndimage.binary_fill_holes(share > _KEPT), np.bool_)
