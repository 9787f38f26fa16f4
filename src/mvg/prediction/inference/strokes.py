"""Strokes on a slice spread to the pixels around them: a random walker that also heeds what was predicted.

After Grady, "Multilabel random walker image segmentation using prior models" (CVPR 2005): neighboring pixels of
similar brightness want the same label, each pixel wants the label that was predicted, and strokes are certain.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

_PRIOR = 0.005  # strength of the prediction, in units of the tie between two pixels of equal brightness
_WEAKEST_TIE = 1e-3  # between pixels of different brightness
_CONTRAST = 4.0  # of an edge, in typical differences between neighbors, at which the tie is weak
_MARGIN = 48  # pixels around the strokes that they may change
_MAX_SIDE = 256  # of the part of a slice that is solved; larger ones are thinned


def spread_strokes(
    image: NDArray[np.float32],
    numbers: NDArray[np.uint8],
    known: NDArray[np.bool_],
    predicted: NDArray[np.uint8] | None,
) -> NDArray[np.uint8]:
    """Class numbers (rows, cols) of a slice, from strokes: `numbers` where `known`.

    image: (rows, cols) in [0, 1]. predicted: class numbers without the strokes, which stay beyond the surroundings of
    the strokes; None without a prediction: then all that is not drawn on follows the strokes, and the border of the
    slice is background where no stroke says so.
    """
    result = np.zeros_like(numbers) if predicted is None else predicted.copy()
    rows, cols = _surroundings(known) if predicted is not None else (slice(0, len(image)), slice(0, image.shape[1]))
    step = max(1, -(-max(rows.stop - rows.start, cols.stop - cols.start) // _MAX_SIDE))
    box = (slice(rows.start, rows.stop, step), slice(cols.start, cols.stop, step))
    seeds, certain = _thinned(numbers, known, (rows, cols), step)
    prior = None if predicted is None else result[box]
    if prior is None and not (certain & (seeds == 0)).any():
        border = np.ones(seeds.shape, bool)
        border[1:-1, 1:-1] = False
        certain |= border & ~certain
    solved = _solve(image[box], seeds, certain, prior)
    whole = np.repeat(np.repeat(solved, step, axis=0), step, axis=1)
    result[rows, cols] = whole[: rows.stop - rows.start, : cols.stop - cols.start]
    result[known] = numbers[known]
    return result


def _surroundings(known: NDArray[np.bool_]) -> tuple[slice, slice]:
    spans = []
    for axis in (1, 0):
        drawn = np.flatnonzero(known.any(axis=axis))
        spans.append(slice(max(0, int(drawn[0]) - _MARGIN), min(known.shape[1 - axis], int(drawn[-1]) + _MARGIN + 1)))
    return spans[0], spans[1]


def _thinned(
    numbers: NDArray[np.uint8], known: NDArray[np.bool_], box: tuple[slice, slice], step: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Strokes in a part of the slice, every `step` pixels; a pixel is certain if any that it stands for is."""
    numbers, known = np.where(known, numbers, 0)[box], known[box]
    rows, cols = (-(-length // step) for length in known.shape)
    padding = ((0, rows * step - known.shape[0]), (0, cols * step - known.shape[1]))
    tiles = (rows, step, cols, step)
    seeds = np.pad(numbers, padding).reshape(tiles).max(axis=(1, 3))
    return seeds, np.asarray(np.pad(known, padding).reshape(tiles).any(axis=(1, 3)))


def _solve(
    image: NDArray[np.float32], seeds: NDArray[np.uint8], certain: NDArray[np.bool_], prior: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    """The most probable class number of each pixel."""
    classes = np.unique(np.concatenate([seeds[certain], [] if prior is None else prior.ravel()])).astype(np.uint8)
    free = ~certain.ravel()
    if not free.any():
        return seeds
    laplacian = _laplacian(image)
    strength = 1e-9 if prior is None else _PRIOR
    matrix = laplacian[free][:, free] + strength * sparse.identity(int(free.sum()))
    solver = splu(sparse.csc_matrix(matrix))
    ties = laplacian[free][:, ~free]
    probabilities = np.zeros((len(classes), image.size))
    for row, number in enumerate(classes):
        fixed = (seeds.ravel()[~free] == number).astype(float)
        wanted = 0.0 if prior is None else strength * (prior.ravel()[free] == number)
        probabilities[row, free] = solver.solve(np.asarray(wanted - ties @ fixed))
        probabilities[row, ~free] = fixed
    return np.asarray(classes[probabilities.argmax(axis=0)].reshape(image.shape), np.uint8)


def _laplacian(image: NDArray[np.float32]) -> sparse.csr_matrix:
    """The graph Laplacian of the pixels of an image, with weak ties across edges."""
    index = np.arange(image.size).reshape(image.shape)
    pairs = [(index[:, :-1], index[:, 1:]), (index[:-1], index[1:])]
    first, second = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    difference = np.abs(image.ravel()[first] - image.ravel()[second])
    typical = max(float(difference.mean()), 1e-3)
    ties = np.exp(-((difference / (_CONTRAST * typical)) ** 2)) + _WEAKEST_TIE
    joined = sparse.coo_matrix((ties, (first, second)), shape=(image.size, image.size))
    joined = (joined + joined.T).tocsr()
    return sparse.csr_matrix(sparse.diags(np.asarray(joined.sum(axis=1)).ravel()) - joined)
