"""Random changes of the pairs of a request.

All pairs share flips, transposition and inverted intensities, because these change the task (the side of a kidney, the
sense of a contrast). Rotation, zoom, shift and tone are drawn for each pair; slices of one volume share them up to a
small jitter and noise. The paper's augmentation (resize, then random crop) is zoom and shift alone.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mvg.imaging.frame import Box

_JITTER = 0.1  # changes of a slice within its volume, relative to those of a pair


@dataclass(frozen=True)
class AugmentationSettings:
    """How strong the changes are.

    zoom: least and largest magnification; rotation: largest angle in degrees; shift: largest shift, as a share of the
    picture; flip_fraction: share of requests that are mirrored or transposed; inversion_fraction: share with inverted
    intensities; tone: strength of changes of contrast, brightness and gamma; noise: largest standard deviation of added
    noise (intensities are in [0, 1]); remap_fraction: share of the requests with image targets whose targets pass
    through one random curve, which makes new tasks from the same pictures.
    """

    zoom: tuple[float, float] = (0.85, 1.4)
    rotation: float = 12.0
    shift: float = 0.06
    flip_fraction: float = 0.5
    inversion_fraction: float = 0.1
    tone: float = 0.3
    noise: float = 0.05
    remap_fraction: float = 0.0


NO_AUGMENTATION = AugmentationSettings(
    zoom=(1.0, 1.0), rotation=0.0, shift=0.0, flip_fraction=0.0, inversion_fraction=0.0, tone=0.0, noise=0.0
)


@dataclass(frozen=True)
class Change:
    """A change of geometry: mirrors and transposition, then zoom, rotation (radians), shift (share of the picture).

    mirror: along rows, along columns.
    """

    mirror: tuple[bool, bool]
    transpose: bool
    zoom: float = 1.0
    angle: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def shared(cls, settings: AugmentationSettings, rng: np.random.Generator) -> "Change":
        """The part that all pairs of a request share."""
        if rng.random() >= settings.flip_fraction:
            return cls((False, False), transpose=False)
        first, second, third = (bool(flag) for flag in rng.integers(0, 2, 3))
        return cls((first, second), transpose=third)

    def individual(self, settings: AugmentationSettings, rng: np.random.Generator) -> "Change":
        """This change with random zoom, rotation and shift, for one pair."""
        low, high = np.log(settings.zoom)
        angle = np.deg2rad(settings.rotation) * rng.uniform(-1, 1)
        across, down = settings.shift * rng.uniform(-1, 1, 2)
        return replace(
            self, zoom=float(np.exp(rng.uniform(low, high))), angle=float(angle), shift=(float(across), float(down))
        )

    def jittered(self, settings: AugmentationSettings, rng: np.random.Generator) -> "Change":
        """This change of a volume with a small random one of zoom, rotation and shift, for one of its slices."""
        low, high = _JITTER * np.log(settings.zoom)
        angle = _JITTER * np.deg2rad(settings.rotation) * rng.uniform(-1, 1)
        across, down = _JITTER * settings.shift * rng.uniform(-1, 1, 2)
        return replace(
            self, zoom=self.zoom * float(np.exp(rng.uniform(low, high))), angle=self.angle + float(angle),
            shift=(self.shift[0] + float(across), self.shift[1] + float(down)),
        )  # fmt: skip

    def zoomed(self, center: tuple[float, float], magnification: float) -> "Change":
        """This change, magnified about `center` (column, row), in [-1, 1]."""
        across, down = center
        shift = (self.shift[0] / magnification + across / 2, self.shift[1] / magnification + down / 2)
        return replace(self, zoom=self.zoom * magnification, shift=shift)

    @property
    def matrix(self) -> Float[Tensor, "2 3"]:
        """From output to input coordinates in [-1, 1] (column, row), as `affine_grid` takes it."""
        cos, sin = np.cos(self.angle) / self.zoom, np.sin(self.angle) / self.zoom
        rotation = np.array([[cos, -sin], [sin, cos]])
        if self.transpose:
            rotation = rotation[::-1]
        rotation = rotation * np.array([[-1.0 if self.mirror[1] else 1.0], [-1.0 if self.mirror[0] else 1.0]])
        return torch.tensor(np.column_stack([rotation, 2 * np.array(self.shift)]), dtype=torch.float32)


@dataclass(frozen=True)
class Tone:
    """A change of intensities in [0, 1]: inversion, gamma, contrast about the middle, brightness, noise."""

    invert: bool = False
    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    noise: float = 0.0
    seed: int = 0

    @classmethod
    def shared(cls, settings: AugmentationSettings, rng: np.random.Generator) -> "Tone":
        """The part that all pairs of a request share, and image targets too."""
        return cls(invert=bool(rng.random() < settings.inversion_fraction))

    def individual(self, settings: AugmentationSettings, rng: np.random.Generator) -> "Tone":
        """This change with random gamma, contrast, brightness and noise, for one image."""
        gamma, contrast, brightness = settings.tone * rng.uniform(-1, 1, 3)
        noise = settings.noise * max(0.0, rng.uniform(-1, 1))
        return replace(
            self, gamma=float(np.exp(gamma)), contrast=float(np.exp(contrast)), brightness=float(brightness) / 2,
            noise=noise, seed=int(rng.integers(2**31)),
        )  # fmt: skip

    def with_new_noise(self, rng: np.random.Generator) -> "Tone":
        """This change with other noise of the same strength, for another slice of the same volume."""
        return replace(self, seed=int(rng.integers(2**31)))

    def apply(self, picture: Tensor) -> Tensor:
        """The changed picture, of any shape; it stays in [0, 1]."""
        if self.invert:
            picture = 1 - picture
        if self.gamma != 1:
            picture = picture.clamp(min=0) ** self.gamma
        picture = (picture - 0.5) * self.contrast + 0.5 + self.brightness
        if self.noise:
            noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(self.seed))
            picture = picture + self.noise * noise
        return picture.clamp(0, 1)


@dataclass(frozen=True)
class Curve:
    """A map of intensities in [0, 1]: straight lines between evenly spaced knots. Without knots it changes nothing."""

    knots: tuple[float, ...] = ()

    @classmethod
    def random(cls, settings: AugmentationSettings, rng: np.random.Generator) -> "Curve":
        """A random curve, monotonic or not; half of them keep black as it is."""
        if rng.random() >= settings.remap_fraction:
            return cls()
        knots = rng.uniform(0, 1, int(rng.integers(3, 8)))
        knots[0] *= rng.random() < 0.5
        return cls(tuple(float(knot) for knot in knots))

    def apply(self, picture: Tensor) -> Tensor:
        """The changed picture, of any shape."""
        if not self.knots:
            return picture
        position = picture.clamp(0, 1) * (len(self.knots) - 1)
        below = position.floor().clamp(max=len(self.knots) - 2).long()
        knots = torch.tensor(self.knots, dtype=picture.dtype)
        return torch.lerp(knots[below], knots[below + 1], position - below)


def sample(
    picture: NDArray[Any], box: Box | None, change: Change, size: int, mode: Literal["linear", "nearest"]
) -> Float[Tensor, "s s"]:
    """The part of a picture within `box` (None: all of it) in a square of `size` pixels, letterboxed and changed.

    Pictures that shrink by a factor of 2 or more in mode "linear" are averaged first, against aliasing.
    """
    whole = torch.from_numpy(np.ascontiguousarray(picture)).float()[None, None]
    if box is not None:
        whole = whole[..., box.top : box.top + box.rows, box.left : box.left + box.cols]
    rows, columns = whole.shape[-2:]
    side = max(rows, columns)
    whole = F.pad(whole, ((side - columns) // 2, (side - columns + 1) // 2, (side - rows) // 2, (side - rows + 1) // 2))
    factor = max(1, int(side / size / change.zoom + 0.25))
    grid = F.affine_grid(change.matrix[None], [1, 1, size, size], align_corners=False)
    if factor > 1 and mode == "linear":
        short = -side % factor  # added for whole cells; the grid then covers a smaller share of the padded picture
        whole = F.pad(whole, (short // 2, (short + 1) // 2, short // 2, (short + 1) // 2), mode="replicate")
        whole = F.avg_pool2d(whole, factor)
        grid = grid * (side / (side + short)) + (short % 2) * -1 / (side + short)
    out = F.grid_sample(whole, grid, mode="bilinear" if mode == "linear" else "nearest", align_corners=False)
    return out[0, 0]
