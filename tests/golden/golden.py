"""What is stored of a prediction, and how far another prediction is from it."""

import base64
import hashlib
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCKS = 16  # along both axes of a slice


def stored(prediction: NDArray[Any], truth: NDArray[Any], region: NDArray[np.bool_]) -> dict[str, Any]:
    """A prediction (X, Y, Z) as JSON: a checksum, and labels as they are, or of a picture block means and its error.

    Sizes stay at some kilobytes. `voxels_per_slice` is there for people who compare two versions of the file.
    """
    golden: dict[str, Any] = {"shape": prediction.shape, "sha256": checksum(prediction)}
    if np.issubdtype(prediction.dtype, np.integer):
        counts = {str(label): (prediction == label).sum(axis=(0, 1)).tolist() for label in np.unique(prediction)}
        packed = base64.b64encode(zlib.compress(prediction.astype(np.uint8).tobytes(), 9)).decode("ascii")
        return golden | {"voxels_per_slice": counts, "labels": packed}
    means = np.round(block_means(prediction).astype(np.float64), 4)
    return golden | {"squared_error": squared_error(prediction, truth, region), "block_means": means.tolist()}


def checksum(prediction: NDArray[Any]) -> str:
    """The SHA-256 of the bytes; other processors and versions of PyTorch round otherwise, so it may differ there."""
    return hashlib.sha256(np.ascontiguousarray(prediction).tobytes()).hexdigest()


def labels_of(golden: dict[str, Any]) -> NDArray[np.uint8]:
    """The stored label map (X, Y, Z)."""
    flat = np.frombuffer(zlib.decompress(base64.b64decode(golden["labels"])), np.uint8)
    return flat.reshape(golden["shape"])


def block_means(picture: NDArray[Any]) -> NDArray[np.float64]:
    """Means (16, 16, Z) over about equal blocks of each slice of (X, Y, Z)."""
    means = picture.astype(np.float64)
    for axis in (0, 1):
        edges = np.linspace(0, picture.shape[axis], BLOCKS, endpoint=False).astype(int)
        sizes = np.diff(np.append(edges, picture.shape[axis]))
        means = np.add.reduceat(means, edges, axis) / sizes.reshape([-1 if n == axis else 1 for n in range(3)])
    return means


def squared_error(prediction: NDArray[Any], truth: NDArray[Any], region: NDArray[np.bool_]) -> float:
    """The mean squared error of the region."""
    return float(np.square(prediction[region].astype(np.float64) - truth[region]).mean())


def least_dice(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The lowest Dice of the labels that occur in either map, background left out."""
    labels = [label for label in np.union1d(one, other) if label != 0]
    return min(2 * ((one == n) & (other == n)).sum() / ((one == n).sum() + (other == n).sum()) for n in labels)
