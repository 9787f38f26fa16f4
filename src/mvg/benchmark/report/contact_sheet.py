"""Contact sheets: for every case one row of prompt, prompt target, query, truth and predictions, to compare by eye."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mvg.benchmark.protocol.cases import EvalCase
from mvg.imaging.frame import Frame
from mvg.imaging.overlay import fill, plain
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import Window

_SIDE, _TITLE = 220, 16  # pixels
_Picture = NDArray[np.uint8]
"""RGB, (side, side, 3)."""


class ContactSheet:
    """Rows are added one by one; the PNG file is written after each."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._rows: list[Image.Image] = []

    def add(self, case: EvalCase, predictions: Mapping[str, Volume | LabelMap], title: str) -> None:
        """Add the most informative query slice with the predictions of all methods, by label, on the query's grid.

        Of the first prompt, the slice at the same relative position is drawn.
        """
        prompt, query = case.prompts[0], case.query
        index = _informative_slice(case)
        count = len(query.pictures(query.plane))
        prompt_index = int((index + 0.5) / count * len(prompt.image.pictures(prompt.image.plane)))
        cells = {
            "prompt": plain(_image(prompt.image, prompt.image.plane, prompt_index)),
            "its target": _target(prompt.image, prompt.target, prompt.image.plane, prompt_index),
            "query": plain(_image(query, query.plane, index)),
        }
        named = [("truth", case.truth), *predictions.items()]
        drawn = [(name, _target(query, target, query.plane, index, case.window)) for name, target in named]
        self._rows.append(_row([*cells.items(), *drawn], title))
        self._write()

    def _write(self) -> None:
        width, height = max(row.width for row in self._rows), sum(row.height for row in self._rows)
        sheet, top = Image.new("RGB", (width, height)), 0
        for row in self._rows:
            sheet.paste(row, (0, top))
            top += row.height
        sheet.save(self.path)


def _row(cells: Sequence[tuple[str, _Picture]], title: str) -> Image.Image:
    """Pictures side by side, each below its name, all below the title."""
    row = Image.new("RGB", (_SIDE * len(cells), _SIDE + 2 * _TITLE))
    draw = ImageDraw.Draw(row)
    draw.text((4, 2), title, fill=(255, 255, 255))
    for number, (name, picture) in enumerate(cells):
        while draw.textlength(name) > _SIDE - 8:
            name = name.removesuffix("...")[:-1] + "..."
        draw.text((_SIDE * number + 4, _TITLE + 2), name, fill=(190, 200, 210))
        row.paste(Image.fromarray(picture), (_SIDE * number, 2 * _TITLE))
    return row


def _informative_slice(case: EvalCase) -> int:
    """The index of the slice with the most labeled or void voxels, else the middle one."""
    mask = case.regions.get("void")
    if isinstance(case.truth, LabelMap):
        mask = case.truth.voxels > 0
    plane = case.query.plane
    if mask is None or not mask.any():
        return len(case.query.pictures(plane)) // 2
    return int(LabelMap(mask, case.query.affine).pictures(plane).sum(axis=(1, 2)).argmax())


def _image(volume: Volume, plane: Plane, index: int, window: Window | None = None) -> NDArray[np.float32]:
    """A slice (side, side) in [0, 1]; window: of its intensities, fitted to the whole volume by default."""
    window = window or Window.fit(volume.voxels)
    slices = volume.pictures(plane)
    if slices.ndim == 4:  # of several input images, the first
        slices = slices[:, 0]
    frame = Frame.letterbox(slices.shape[1:], volume.pixel_spacing(plane), _SIDE)
    return frame.apply(window.apply(slices[index]))


def _target(
    image: Volume, target: Volume | LabelMap, plane: Plane, index: int, window: Window | None = None
) -> _Picture:
    """A slice of a target: pictures in gray, labels in color over the image."""
    if isinstance(target, Volume):
        return plain(_image(target, plane, index, window))
    slices = target.pictures(plane)
    labels = Frame.letterbox(slices.shape[1:], image.pixel_spacing(plane), _SIDE).apply_labels(slices[index])
    return fill(_image(image, plane, index), labels)
