"""Small pictures of the worst cases: the outlines of prediction and truth, or two pictures and their difference."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mvg.benchmark.evaluation.evaluate import EvaluatedCase, Evaluation
from mvg.benchmark.evaluation.file_pairs import FilePair
from mvg.benchmark.evaluation.scores import PartScores
from mvg.benchmark.protocol.cases import picture_range
from mvg.errors import MvgError
from mvg.imaging.files import read_gray, read_labels
from mvg.imaging.frame import Frame
from mvg.imaging.grid_difference import grid_difference
from mvg.imaging.overlay import PALETTE, RGB, fill, outline, plain
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import Window, guess_modality

_MOST = 8  # pictures
_SIDE = 256  # pixels
_MARGIN = 1.5  # size of the square, in sizes of the label
_MOST_MAGNIFIED = 6.0
_DIM = 0.2  # brightness of the other labels, where no image shows what is around
_GAIN = 4  # of differences between pictures
_PREDICTED, _TRUE = 1, 2  # places in the palette
PREDICTION_COLOR, TRUTH_COLOR = PALETTE[_PREDICTED - 1], PALETTE[_TRUE - 1]


@dataclass(frozen=True)
class Thumbnail:
    """A PNG in base64 with its caption: the case, and below it label, figure and slice."""

    title: str
    caption: str
    data: str


def thumbnails(evaluation: Evaluation) -> list[Thumbnail]:
    """Up to eight pictures: the worst label of each case, the worst case first, then the worst of the other labels.

    Each shows the slice where most voxels disagree. Of pictures, there is one for each case.
    """
    cases = [case for case in evaluation.cases if case.scores.parts]
    if evaluation.target_type == "image":
        return [_pictures(case) for case in cases[:_MOST]]
    ranked = [(case, sorted(case.scores.parts, key=_badness)) for case in cases]
    others = [(case, one) for case, parts in ranked for one in parts[1:]]
    chosen = [(case, parts[0]) for case, parts in ranked] + sorted(others, key=lambda pair: _badness(pair[1]))
    return [_labels(evaluation, case, one) for case, one in chosen[:_MOST]]


def _badness(part: PartScores) -> float:
    """Sorts the label of the lowest Dice first."""
    return part.figures[0]


def color_text(color: RGB) -> str:
    """A color for a style sheet."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def _labels(evaluation: Evaluation, case: EvaluatedCase, label: PartScores) -> Thumbnail:
    prediction, truth = (read_labels(path).canonical() for path in (case.files.prediction, case.files.truth))
    plane = truth.plane
    masks = [volume.pictures(plane) == label.part for volume in (prediction, truth)]
    index = int((masks[0] != masks[1]).sum(axis=(1, 2)).argmax())
    if not (masks[0] != masks[1]).any():
        index = int(masks[1].sum(axis=(1, 2)).argmax())
    predicted, true = (mask[index] for mask in masks)
    frame = _frame(predicted | true, truth.pixel_spacing(plane))
    predicted, true = (frame.apply_labels(mask.astype(np.uint8)) for mask in (predicted, true))
    image = _image(case.files, truth)
    if image is None:
        others = frame.apply_labels((truth.pictures(plane)[index] != 0).astype(np.uint8))
        picture = fill(others * np.float32(_DIM), true * _TRUE)
    else:
        gray = Window.fit(image.voxels, guess_modality(image.voxels)).apply(image.pictures(plane)[index])
        picture = _outlined(frame.apply(gray), true * _TRUE)
    picture = _outlined((picture / 255).astype(np.float32), predicted * _PREDICTED)
    dice = evaluation.quantities[0].text(label.figures[0])
    caption = f"{evaluation.name_of(label.part)}, Dice {dice}, {plane} slice {index + 1} of {len(masks[0])}"
    return Thumbnail(case.name, caption, _png(picture))


def _outlined(image: NDArray[np.float32], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image with a line of two pixels around the labels: one outside of them and one inside."""
    inner = ndimage.grey_erosion(labels, footprint=ndimage.generate_binary_structure(2, 1))
    return outline(outline(image, labels) / 255, inner)


def _frame(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> Frame:
    """A square around a mask (rows, cols), with a margin."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    center = (rows[0] + rows[-1] + 1) / 2, (cols[0] + cols[-1] + 1) / 2
    size = max((rows[-1] + 1 - rows[0]) * spacing[0], (cols[-1] + 1 - cols[0]) * spacing[1])
    whole = max(mask.shape[0] * spacing[0], mask.shape[1] * spacing[1])
    magnification = float(np.clip(whole / (_MARGIN * size), 1, _MOST_MAGNIFIED))
    return Frame.zoomed((mask.shape[0], mask.shape[1]), spacing, _SIDE, center, magnification)


def _image(files: FilePair, truth: LabelMap) -> Volume | None:
    """The image of a case; None where there is none, or where it is unreadable or lies on another grid."""
    if files.image is None:
        return None
    try:
        image = read_gray(files.image).canonical()
    except MvgError:
        return None
    return None if grid_difference(image, truth) else image


def _pictures(case: EvaluatedCase) -> Thumbnail:
    prediction, truth = (read_gray(path).canonical() for path in (case.files.prediction, case.files.truth))
    window, _, _ = picture_range(truth, guess_modality(truth.voxels))
    plane: Plane = truth.plane
    predicted, true = (window.apply(volume.pictures(plane)) for volume in (prediction, truth))
    difference = np.abs(predicted - true)
    index = int(difference.mean(axis=(1, 2)).argmax())
    frame = Frame.letterbox(true.shape[1:], truth.pixel_spacing(plane), _SIDE)
    row = [plain(frame.apply(slices[index])) for slices in (predicted, true, _GAIN * difference)]
    caption = f"{_figure_text(case.scores.parts[0])}, {plane} slice {index + 1} of {len(true)}"
    return Thumbnail(case.name, caption, _png(np.concatenate(row, axis=1)))


def _figure_text(part: PartScores) -> str:
    return f"PSNR {part.figures[0]:.2f} dB ({part.part})"


def _png(picture: NDArray[Any]) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
