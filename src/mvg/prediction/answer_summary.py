"""A prediction in a few numbers and one small picture, for the report of a batch."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mvg.imaging.overlay import outline, plain
from mvg.imaging.volume import LabelMap, Plane, Volume, luminance
from mvg.imaging.window import Window
from mvg.prediction.result import Prediction

_SMALL = 0.1  # share of the largest labeled area of a slice
_SIDE = 256  # pixels of a picture
_POSITION: Mapping[str, Any] = {"plane": "", "slice_number": 0, "slice_count": 0}  # of the picture, by default


@dataclass(frozen=True)
class LabelSummary:
    """One label of a prediction: its volume, on how many slices it lies, and how certain it is there.

    uncertainty: 1 minus its mean probability where it was predicted, None where that is not known. quality: the
    estimated Dice, None where it was not estimated.
    """

    milliliters: float
    slices: int
    uncertainty: float | None = None
    quality: float | None = None


@dataclass(frozen=True)
class AnswerSummary:
    """A prediction for a report. slice_number: of the picture, counted from 1; picture: a PNG in base64."""

    labels: Mapping[int, LabelSummary] = field(default_factory=dict)
    plane: str = ""
    slice_number: int = 0
    slice_count: int = 0
    picture: str = ""

    @property
    def details(self) -> dict[str, Any]:
        """What a manifest holds of it."""
        position = {name: getattr(self, name) for name in _POSITION}
        return position | {
            "labels": {
                str(value): {
                    "milliliters": round(one.milliliters, 3),
                    "slices": one.slices,
                    "uncertainty": None if one.uncertainty is None else round(one.uncertainty, 4),
                    "quality": None if one.quality is None else round(one.quality, 4),
                }
                for value, one in self.labels.items()
            }
        }

    @classmethod
    def restored(cls, details: Mapping[str, Any], picture: str) -> "AnswerSummary":
        """The summary in a manifest, with the picture of an older report."""
        labels = {int(value): LabelSummary(**one) for value, one in dict(details.get("labels", {})).items()}
        position = {name: details.get(name, default) for name, default in _POSITION.items()}
        return cls(labels, **position, picture=picture)


def summarize(prediction: Prediction, query: Volume, qualities: Mapping[int, float] | None = None) -> AnswerSummary:
    """The numbers of each label, and the least certain slice with outlines; of pictures the middle slice.

    qualities: the estimated Dice of each label.
    """
    volume, confidence, plane = prediction.volume, prediction.confidence, query.plane
    if not isinstance(volume, LabelMap):
        pictures = luminance(volume).pictures(plane) if volume.channels in (1, 3) else volume.pictures(plane)[:, 0]
        number = len(pictures) // 2
        windowed = plain(Window.fit(pictures).apply(pictures[number]))
        return AnswerSummary({}, plane, number + 1, len(pictures), _encoded(windowed, query, plane))
    labels = volume.pictures(plane)
    milliliters = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    certain = {} if confidence is None else confidence.labels
    summaries = {
        value: _of_label(labels == value, milliliters, certain.get(value), (qualities or {}).get(value))
        for value in volume.values
    }
    along = confidence is not None and confidence.plane == plane
    number = least_certain(labels, confidence.slices if confidence is not None and along else None)
    return AnswerSummary(summaries, plane, number + 1, len(labels), outlined(volume, query, number))


def outlined(labels: LabelMap, query: Volume, number: int) -> str:
    """A slice of the query, counted from 0, with outlines of the labels: a PNG in base64."""
    plane = query.plane
    images = (luminance(query) if query.channels == 3 else query).pictures(plane)
    image = images[number] if images.ndim == 3 else images[number, 0]
    regions = labels.pictures(plane)[number]
    if regions.shape != image.shape:  # the labels of a sheared volume are cut along another plane: no picture
        return ""
    return _encoded(outline(Window.fit(query.voxels).apply(image), regions), query, plane)


def least_certain(labels: NDArray[Any], confidence: NDArray[np.float64] | None) -> int:
    """The slice with labels whose confidence is lowest; without labels, the middle one.

    labels: (n, rows, cols); confidence: (n,), without it the slice with most labeled pixels. Slices that show a tenth
    of that do not count: their labels are uncertain because they end there.
    """
    areas = (labels > 0).sum(axis=(1, 2))
    if not areas.any():
        return len(labels) // 2
    if confidence is None:
        return int(areas.argmax())
    return int(np.where(areas >= _SMALL * areas.max(), confidence, 2.0).argmin())


def _of_label(
    mask: NDArray[np.bool_], milliliters: float, confidence: float | None, quality: float | None
) -> LabelSummary:
    uncertainty = None if confidence is None else 1 - confidence
    return LabelSummary(int(mask.sum()) * milliliters, int(mask.any(axis=(1, 2)).sum()), uncertainty, quality)


def _encoded(picture: NDArray[np.uint8], query: Volume, plane: Plane) -> str:
    """A PNG in base64 with square pixels, at most 256 pixels wide and high."""
    row_mm, column_mm = query.pixel_spacing(plane)
    height, width = picture.shape[0] * row_mm, picture.shape[1] * column_mm
    scale = _SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    stream = io.BytesIO()
    Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()
