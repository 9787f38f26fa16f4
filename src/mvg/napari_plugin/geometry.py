"""Layers of napari as volumes, and back.

napari has no anatomy. A layer's axes are (z, y, x) here, as in ITK: the array of a volume turned around, and world
coordinates that are LPS millimetres in the same order. Layers of other programs are taken the same way, so examples and
queries agree with one another. Layers of two axes are single slices; a color image has its colors last.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import GeometryError
from mvg.imaging.volume import LabelMap, Volume

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # from RAS+, and back
_TURN = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], float)  # (x, y, z) to (z, y, x), and back


def layer_affine(volume: Volume | LabelMap) -> NDArray[np.float64]:
    """The affine (4, 4) of a layer with the voxels of a volume."""
    return np.asarray(_TURN @ _LPS @ volume.affine @ _TURN)


def layer_array(volume: Volume | LabelMap) -> NDArray[Any]:
    """The array (z, y, x) of a layer; colors come last."""
    return np.asarray(volume.voxels.swapaxes(0, 2))


def volume_of(layer: Any) -> Volume:
    """The image of a layer. Raises GeometryError for more than three axes in space."""
    colors = bool(getattr(layer, "rgb", False))
    array = np.asarray(layer.data)
    if colors:
        array = array[..., :3]  # without transparency
    return Volume(_spatial(layer, array, array.ndim - colors), _affine(layer, array.ndim - colors))


def label_map_of(layer: Any) -> LabelMap:
    """The labels of a layer. Raises GeometryError for more than three axes."""
    array = np.asarray(layer.data)
    return LabelMap(_spatial(layer, array, array.ndim), _affine(layer, array.ndim))


def _spatial(layer: Any, array: NDArray[Any], axes: int) -> NDArray[Any]:
    """The array (x, y, z) of `axes` axes (z, y, x) or (y, x)."""
    if axes not in (2, 3):
        raise GeometryError(
            f"the layer '{layer.name}' with {axes} axes", "a picture or a volume, two or three axes", "choose one of it"
        )
    whole = array if axes == 3 else array[None]
    return np.ascontiguousarray(whole.swapaxes(0, 2))


def _affine(layer: Any, axes: int) -> NDArray[np.float64]:
    """The affine to RAS+ mm, from where a layer has its corner and its steps in the world."""
    corner = np.array(layer.data_to_world((0,) * axes), float)
    steps = [np.array(layer.data_to_world(tuple(row)), float) - corner for row in np.eye(axes)]
    world = np.eye(4)
    world[3 - axes : 3, 3 - axes : 3] = np.stack(steps, axis=1)
    world[3 - axes : 3, 3] = corner
    return np.asarray(_LPS @ _TURN @ world @ _TURN)
