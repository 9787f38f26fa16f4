"""The demo in one picture, a row per exhibit."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mvg._atomic import atomic_file, unwritable
from mvg.app.demo.drawing import ExhibitResult, Panel, panels

_SIDE, _GAP, _TITLE, _CAPTION = 200, 10, 30, 22  # pixels
_ROW = _TITLE + _SIDE + _CAPTION + _GAP
_TEXT, _CAPTION_TEXT, _PREDICTION = (28, 39, 51), (91, 107, 122), (13, 122, 95)  # RGB
_COLUMNS = 5


def write_overview(results: Sequence[ExhibitResult], path: Path) -> None:
    """Write a PNG with the middle slice of each exhibit, whole or not at all. Raises FileError where it cannot."""
    sheet = Image.new("RGB", (_COLUMNS * (_SIDE + _GAP) + _GAP, len(results) * _ROW + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, result in enumerate(results):
        top = row * _ROW + _GAP
        draw.text((_GAP, top), _headline(result), _TEXT, ImageFont.load_default(17))
        for column, panel in enumerate(panels(result, result.slice_count // 2)):
            _draw_panel(sheet, draw, panel, column * (_SIDE + _GAP) + _GAP, top + _TITLE)
    with atomic_file(path, partial(unwritable, path)) as temporary:
        sheet.save(temporary, optimize=True)


def _draw_panel(sheet: Image.Image, draw: ImageDraw.ImageDraw, panel: Panel, left: int, top: int) -> None:
    sheet.paste(_square(panel.picture), (left, top))
    color = _PREDICTION if panel.is_prediction else _CAPTION_TEXT
    if panel.is_prediction:
        draw.rectangle((left - 3, top - 3, left + _SIDE + 2, top + _SIDE + 2), outline=_PREDICTION, width=3)
    draw.text((left, top + _SIDE + 4), panel.caption, color, ImageFont.load_default(13))


def _square(pixels: NDArray[np.uint8]) -> Image.Image:
    """A picture scaled into the middle of a black square."""
    picture = Image.fromarray(pixels)
    scale = _SIDE / max(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    square = Image.new("RGB", (_SIDE, _SIDE), "black")
    square.paste(picture, ((_SIDE - picture.width) // 2, (_SIDE - picture.height) // 2))
    return square


def _headline(result: ExhibitResult) -> str:
    if not result.measures:
        return result.exhibit.title
    first = result.measures[0]
    rival = "" if first.rival is None else f" ({first.rival_text} by {result.rival})"
    return f"{result.exhibit.title}. {first.name} {first.text}{rival}"
