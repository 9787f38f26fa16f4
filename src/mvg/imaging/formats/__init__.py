"""File formats, one per file. `mvg.imaging.files` discovers them and checks what they read and write.

A format has `SUFFIXES` (lower case), `load(path) -> Stored` and `save(volume, path)`; `HOLDS_COLORS = True` if it can
write volumes of three channels; and `load_series(path, series)` if a path may hold several images. Heavy libraries are
imported inside these functions, and `mvg.imaging.files` converts their exceptions to FileError.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.volume import Header, LabelMap, Volume

LOSSY = (".jpg", ".jpeg")
"""Suffixes of formats whose compression is lossy and would change labels."""


@dataclass(frozen=True)
class Stored:
    """The unchecked content of a file: voxels (X, Y[, Z[, ...]]) of any type and the affine (4, 4) to RAS+ mm.

    last: the meaning of the axes after Z; palette: the (n, 3) colors that voxels index, for pictures that have one.
    """

    voxels: NDArray[Any]
    affine: NDArray[Any]
    header: Header | None = None
    last: Literal["time", "color"] = "time"
    palette: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Format:
    """The functions and properties of a module of this folder."""

    load: Callable[[Path], Stored]
    save: Callable[[Volume | LabelMap, Path], None]
    holds_colors: bool = False
    load_series: Callable[[Path, str], Stored] | None = None
