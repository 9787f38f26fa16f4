"""How alike predicted and true pictures are as textures, wherever structures lie: a Frechet distance of radiomics.

The samples are small squares of the slices. Each is described by first-order statistics and by the co-occurrence of its
gray levels; both sets of descriptions are taken for Gaussian, as the Frechet radiomics distance (FRD) and FID do.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from skimage.feature import graycomatrix, graycoprops

from mvg.benchmark.protocol.metric import Metric, MetricInput, Score
from mvg.imaging.volume import LabelMap

_SIDE = 8  # pixels of a square
_MOST = 400  # squares of a case
_FEWEST = 12  # with fewer the covariance says nothing
_LEVELS = 8  # of gray
_COVERED = 0.5  # least share of a square that belongs to the region
_TEXTURES = ("contrast", "homogeneity", "energy", "correlation")
_SHRINKAGE = 0.05  # of covariances, towards their diagonals
_PERCENTILES = (10, 50, 90)
_ROUNDING = 1e-6  # of squared distances


def measure(inputs: MetricInput) -> list[Score]:
    """The distance in the most informative region that has enough squares; empty where none has."""
    assert inputs.window is not None, "pictures are measured in a window"
    predicted, true = (inputs.window.apply(side.pictures(inputs.plane)) for side in (inputs.prediction, inputs.truth))
    for name, region in inputs.regions.items():
        squares = _squares(_mask(inputs, region))
        if len(squares) >= _FEWEST:
            return [Score(name, frechet_distance(_features(predicted, squares), _features(true, squares)), {})]
    return []


def _mask(inputs: MetricInput, region: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """The slices (n, rows, cols) of a region (X, Y, Z), None for all."""
    if region is None:
        return np.ones(inputs.truth.pictures(inputs.plane).shape, np.bool_)
    truth = inputs.truth
    return LabelMap(region.astype(np.uint8), truth.affine, orientation=truth.orientation).pictures(inputs.plane) > 0


def frechet_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Between two sets of descriptions (n, f), each scaled by the standard deviation in the second set."""
    spread = second.std(axis=0)
    used = spread > 1e-6
    scaled = [part[:, used] / spread[used] for part in (first, second)]
    offset = scaled[0].mean(axis=0) - scaled[1].mean(axis=0)
    one, two = (_covariance(part) for part in scaled)
    shared = np.sqrt(np.maximum(np.linalg.eigvals(one @ two).real, 0)).sum()
    squared = float(offset @ offset + np.trace(one) + np.trace(two) - 2 * shared)
    return float(np.sqrt(squared)) if squared > _ROUNDING else 0.0


def _covariance(features: NDArray[np.float64]) -> NDArray[np.float64]:
    covariance = np.atleast_2d(np.cov(features, rowvar=False))
    return np.asarray((1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.diag(np.diag(covariance)))


def _squares(mask: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Slice, row and column of the squares that lie in the region, at most `_MOST`, evenly spread."""
    count, rows, columns = mask.shape
    corners = [
        (number, top, left)
        for number in range(count)
        for top in range(0, rows - _SIDE + 1, _SIDE // 2)
        for left in range(0, columns - _SIDE + 1, _SIDE // 2)
        if mask[number, top : top + _SIDE, left : left + _SIDE].mean() >= _COVERED
    ]
    return corners[:: max(1, -(-len(corners) // _MOST))]


def _features(pictures: NDArray[np.float32], squares: list[tuple[int, int, int]]) -> NDArray[np.float64]:
    """The descriptions (n, f) of squares of pictures in [0, 1]."""
    parts = (pictures[number, top : top + _SIDE, left : left + _SIDE] for number, top, left in squares)
    return np.stack([describe(part) for part in parts])


def describe(square: NDArray[np.float32]) -> NDArray[np.float64]:
    """One square in [0, 1]: moments, percentiles, entropy, roughness, and textures of neighboring gray levels."""
    values = square.ravel().astype(np.float64)
    deviation = values.std()
    moments = [stats.skew(values), stats.kurtosis(values)] if deviation > 1e-6 else [0.0, 0.0]
    levels = np.minimum((square * _LEVELS).astype(np.uint8), _LEVELS - 1)
    entropy = stats.entropy(np.bincount(levels.ravel(), minlength=_LEVELS))
    rough = np.hypot(*np.gradient(square.astype(np.float64))).mean()
    pairs = graycomatrix(levels, [1], [0, np.pi / 2], _LEVELS, symmetric=True, normed=True)
    textures = [graycoprops(pairs, name).mean() for name in _TEXTURES]
    first = [values.mean(), deviation, *moments, *np.percentile(values, _PERCENTILES), entropy, rough]
    return np.array([*first, *textures], np.float64)


METRIC = Metric(
    name="FRD",
    unit="",
    range=(0.0, float("inf")),
    better="lower",
    target_type="image",
    definition="mvg, after the Frechet radiomics distance: first-order statistics and gray-level co-occurrence "
    "(scikit-image), in standard deviations of the truth",
    aggregation=f"per case, over squares of {_SIDE} pixels of the most informative region, which overlap by half",
    measure=measure,
)
