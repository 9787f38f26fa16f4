"""Checks voxels as a file or another library stores them, and makes a Volume or a LabelMap of them.

`name` is what messages call the image, for example the path of its file in quotes.
"""

import logging
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mvg.errors import FileError, GeometryError
from mvg.imaging.formats import Stored
from mvg.imaging.intensity import wrap_of
from mvg.imaging.missing_values import without_nan
from mvg.imaging.volume import LabelMap, Volume

_RELATIVE, _ABSOLUTE = 1e-5, 1e-3  # by which a label may miss its whole number, after a header's scale


def time_point(stored: Stored, number: int, name: str) -> Stored:
    """One of the volumes of voxels (X, Y, Z, n); FileError where there is none of that number."""
    count = volumes_in(stored)
    if number >= count:
        raise FileError(f"{name} has {count} volumes", f"0 to {count - 1}", f"choose another one than {number}")
    return replace(stored, voxels=stored.voxels[:, :, :, number]) if stored.voxels.ndim > 3 else stored


def volumes_in(stored: Stored) -> int:
    """How many volumes (X, Y, Z) an image holds along its last axis."""
    return int(stored.voxels.shape[3]) if stored.voxels.ndim == 4 and stored.last == "time" else 1


def volume_of(stored: Stored, name: str) -> Volume:
    """The image as float32; colors of a picture stay three channels unless they are equal.

    Raises FileError for other than real and finite numbers and for several images in one, GeometryError for an affine
    that cannot be inverted.
    """
    voxels = _one_image(_in_colors(stored, name), stored.last, name)
    if voxels.dtype.kind not in "biuf":
        raise FileError(f"{name} holds values of type {voxels.dtype}", "real numbers", "convert the image")
    if stored.header is None or stored.header.kind != "picture":  # which use all of their 16 bits
        voxels = _unwrapped(voxels, name)
    with np.errstate(over="ignore"):
        array = without_nan(voxels.astype(np.float32))
    if voxels.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise FileError(
            f"{name} holds {bad} values that are NaN or infinite",
            "finite values",
            "replace them, or name a value for NaN (mvg predict --nan 0)",
        )
    array.flags.writeable = False
    return _with_geometry(Volume, array, stored, name)


def labels_of(stored: Stored, name: str) -> LabelMap:
    """The labels with every value as it is stored; floats are accepted when all are whole numbers but for rounding.

    Errors are those of `volume_of`, and FileError for fractions and colors.
    """
    voxels = _one_channel(stored.voxels, stored.last, name)
    if voxels.dtype.kind == "f":
        whole = np.rint(voxels)
        if not np.allclose(voxels, whole, rtol=_RELATIVE, atol=_ABSOLUTE) or np.abs(voxels).max() >= 2**53:
            raise FileError(f"{name} holds fractions", "whole numbers as labels", "hand over a label map")
        voxels = whole.astype(np.int64 if np.abs(voxels).max() >= 2**31 else np.int32)
    if voxels.dtype.kind not in "biu":
        raise FileError(f"{name} holds values of type {voxels.dtype}", "integer labels", "convert the labels")
    return _with_geometry(LabelMap, voxels, stored, name)


def _in_colors(stored: Stored, name: str) -> NDArray[Any]:
    if stored.palette is None:
        return stored.voxels
    if stored.voxels.max() >= len(stored.palette):
        raise FileError(
            f"{name} holds the index {stored.voxels.max()} of a palette with {len(stored.palette)} colors",
            "a color for every index",
            "export the picture again",
        )
    return np.asarray(stored.palette[stored.voxels])


def _one_image(voxels: NDArray[Any], last: str, name: str) -> NDArray[Any]:
    """As `_one_channel`, but color pictures (one slice) keep their three channels (X, Y, Z, 3)."""
    in_color = last == "color" and voxels.ndim == 4 and voxels.shape[2:] == (1, 3) and 0 not in voxels.shape
    return voxels if in_color and not _is_gray(voxels) else _one_channel(voxels, last, name)


def _is_gray(voxels: NDArray[Any]) -> bool:
    """Whether all channels of voxels (..., C) are equal."""
    return all(np.array_equal(voxels[..., 0], voxels[..., channel]) for channel in range(1, voxels.shape[-1]))


def _one_channel(voxels: NDArray[Any], last: str, name: str) -> NDArray[Any]:
    """The volume (X, Y, Z) in an array that may have fewer axes, or more of length 1."""
    if 0 in voxels.shape or voxels.ndim < 2:
        raise FileError(f"{name} has the shape {voxels.shape}", "two or three axes, none empty", "replace it")
    if voxels.ndim > 3 and last == "color":
        if not _is_gray(voxels):
            raise FileError(
                f"{name} is a color image of {voxels.shape[-1]} channels",
                "one channel, or equal ones",
                "convert it to gray or keep the channel you need",
            )
        voxels = voxels[..., 0]
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    if voxels.ndim > 3:
        raise FileError(
            f"{name} is {voxels.ndim}D, of shape {voxels.shape}",
            "one volume of three axes",
            "split it into volumes, choose one or all of a query (mvg predict --volume 0), or write masks of several "
            "labels as one volume of their numbers",
        )
    return voxels.reshape(*voxels.shape, *[1] * (3 - voxels.ndim))


def _unwrapped(voxels: NDArray[Any], name: str) -> NDArray[Any]:
    """Voxels whose values ran over the end of 16 bits, as they were before; the logger "mvg" is told."""
    shift = wrap_of(voxels)
    if shift is None:
        return voxels
    low, high, by = shift
    logging.getLogger("mvg").warning(
        "%s holds 16-bit numbers that ran over their end: those from %d to %d are read as %d to %d",
        name, low, high, low + by, high + by,
    )  # fmt: skip
    wide = voxels.astype(np.float64)
    wide[(wide >= low) & (wide <= high)] += by
    return wide


_ImageT = TypeVar("_ImageT", Volume, LabelMap)


def _with_geometry(kind: type[_ImageT], voxels: NDArray[Any], stored: Stored, name: str) -> _ImageT:
    try:
        return kind(voxels, stored.affine, stored.header)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error.message}", error.expected, error.action) from error
