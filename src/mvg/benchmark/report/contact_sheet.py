"""A sheet of pictures to look at: for every question one row of prompt, its target, query, truth and the answers."""

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

_SIDE, _TITLE = 220, 16


class ContactSheet:
    """Rows are added one by one and written to a PNG file after each."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._rows: list[Image.Image] = []

    def add(self, question: EvalCase, answers: Mapping[str, Volume | LabelMap], title: str) -> None:
        """Adds the query slice with the most to see, as every method (by its label) answered it.

        Of the first prompt the slice at the same relative position. Answers lie on the query's grid.
        """
        prompt, query = question.prompts[0], question.query
        at = _telling(question)
        count = len(query.pictures(query.plane))
        other = int((at + 0.5) / count * len(prompt.image.pictures(prompt.image.plane)))
        cells = {
            "prompt": plain(_image(prompt.image, prompt.image.plane, other)),
            "its target": _painted(prompt.image, prompt.target, prompt.image.plane, other),
            "query": plain(_image(query, query.plane, at)),
        }
        named = [("truth", question.truth), *answers.items()]
        shown = [(name, _painted(query, said, query.plane, at, question.window)) for name, said in named]
        self._rows.append(_row([*cells.items(), *shown], title))
        self._write()

    def _write(self) -> None:
        width, height = max(row.width for row in self._rows), sum(row.height for row in self._rows)
        sheet, top = Image.new("RGB", (width, height)), 0
        for row in self._rows:
            sheet.paste(row, (0, top))
            top += row.height
        sheet.save(self.path)


def _row(cells: Sequence[tuple[str, NDArray[np.uint8]]], title: str) -> Image.Image:
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


def _telling(question: EvalCase) -> int:
    """The slice with the most labels or void in it, else the middle one."""
    mask = question.regions.get("void")
    if isinstance(question.truth, LabelMap):
        mask = question.truth.voxels > 0
    plane = question.query.plane
    if mask is None or not mask.any():
        return len(question.query.pictures(plane)) // 2
    shown = LabelMap(mask, question.query.affine).pictures(plane)
    return int(shown.sum(axis=(1, 2)).argmax())


def _image(volume: Volume, plane: Plane, at: int, window: Window | None = None) -> NDArray[np.float32]:
    window = window or Window.fit(volume.voxels)
    slices = volume.pictures(plane)
    frame = Frame.letterbox(slices.shape[1:], volume.pixel_spacing(plane), _SIDE)
    return frame.apply(window.apply(slices[at]))


def _painted(
    image: Volume, target: Volume | LabelMap, plane: Plane, at: int, window: Window | None = None
) -> NDArray[np.uint8]:
    """Pictures as they are; labels as colors over the image."""
    if isinstance(target, Volume):
        return plain(_image(target, plane, at, window))
    slices = target.pictures(plane)
    labels = Frame.letterbox(slices.shape[1:], image.pixel_spacing(plane), _SIDE).apply_labels(slices[at])
    return fill(_image(image, plane, at), labels)
