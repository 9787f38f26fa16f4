"""Windows: convert raw intensities to the range [0, 1] of the model, and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import GeometryError, UnknownNameError
from mvg.imaging.intensity import finite_sample, hounsfield_offset, in_hounsfield_units, without_fill, without_padding

_NAMED = {
    "soft tissue": (-160.0, 240.0),
    "lung": (-1350.0, 150.0),
    "bone": (-500.0, 1300.0),
    "brain": (0.0, 80.0),
    "full": (-1024.0, 3071.0),
    "paper": (-100.0, 200.0),  # Sec. 4.1
}
FULL_SCALE = 65535
"""The stored value of 1.0 where pictures in [0, 1] are kept in 16 bits."""
_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class Window:
    """The raw intensities `low` and `high` (HU for CT) that become 0 and 1; values outside are clipped.

    Raises GeometryError unless both are finite and low < high.
    """

    low: float | int  # run-time type checks do not accept an int where only `float` is named
    high: float | int

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise GeometryError(
                f"a window from {self.low} to {self.high}", "two finite numbers, the lower first", "correct the window"
            )

    @classmethod
    def named(cls, name: str) -> "Window":
        """A window in HU by its name, "soft tissue" for example; UnknownNameError, which lists them, for others."""
        if name not in _NAMED:
            raise UnknownNameError("window", name, _NAMED)
        return cls(*_NAMED[name])

    @classmethod
    def fit(cls, voxels: NDArray[Any], modality: str | None = None, ct_window: "Window | None" = None) -> "Window":
        """The window for raw voxels of any shape: soft tissue for CT, else their 0.5 to 99.5 percentiles.

        modality: None to use `guess_modality`; ct_window: for CT, None for soft tissue. CT that is stored with an
        offset to HU gets the same window with that offset; CT on another scale is treated as any other modality.
        Non-finite values, values that fill the outside of a scan and wide padding are ignored; images that are
        constant, or nearly so, get a window of positive width.
        """
        modality = guess_modality(voxels) if modality is None else modality
        offset = hounsfield_offset(finite_sample(voxels)) if is_ct(modality) else None
        if offset is not None:
            return (ct_window or CT_WINDOW).shifted(offset)
        values = finite_sample(without_padding(voxels))
        if values.size == 0:
            return cls(0.0, 1.0)
        values = without_fill(values)
        low, high = (float(edge) for edge in np.percentile(values, _PERCENTILES, overwrite_input=True))
        if not _apart(low, high):
            low, high = float(values.min()), float(values.max())
        return cls(low, high) if _apart(low, high) else cls(low, low + max(1.0, abs(low)))

    def shifted(self, offset: float) -> "Window":
        """The window of intensities that are larger by `offset`."""
        return Window(self.low + offset, self.high + offset) if offset else self

    def apply(self, raw: NDArray[Any]) -> NDArray[np.float32]:
        """Converts raw intensities of any shape to float32 in [0, 1], clipped."""
        scaled = np.asarray(raw, np.float32) - np.float32(self.low)
        scaled *= np.float32(1 / (self.high - self.low))
        return np.clip(scaled, 0, 1, out=scaled)

    def invert(self, scaled: NDArray[Any]) -> NDArray[np.float32]:
        """Converts [0, 1] to raw intensities (float32); the inverse of `apply` for values that were not clipped."""
        raw = np.asarray(scaled, np.float32) * np.float32(self.high - self.low)
        raw += np.float32(self.low)
        return raw


def as_stored(scaled: NDArray[Any]) -> NDArray[np.uint16]:
    """Pictures in [0, 1] as they are kept: 16 bits, rounded to the nearest of 65535 steps."""
    return np.asarray(np.rint(scaled * FULL_SCALE), np.uint16)


CT_WINDOW = Window.named("soft tissue")
"""The window of images in HU, unless a task or a task file names another one."""


def guess_modality(voxels: NDArray[Any]) -> str:
    """ "CT" where voxels of any shape have the air and the soft tissue of a CT in HU, "other" for everything else.

    Wide padding below everything else is ignored: -1000 around an MR image is no air.
    """
    inner = without_padding(voxels)
    scan = inner if inner.size and inner.min() > voxels.min() else voxels
    return "CT" if in_hounsfield_units(scan) else "other"


def is_ct(modality: str) -> bool:
    """Whether the name of a modality, such as "low-dose CT (HU)", means computed tomography."""
    words = modality.upper().replace("-", " ").replace("/", " ").replace("(", " ").replace(",", " ").split()
    return "CT" in words


def _apart(low: float, high: float) -> bool:
    # A range below the resolution of float32 at this magnitude counts as constant.
    return high - low > 1e-6 * max(abs(low), abs(high)) and bool(np.isfinite(1 / (high - low)))
