"""The demo in one picture: a row per exhibit."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mvg.app.demo.drawing import Shown, panels
from mvg.errors import FileError

_SIDE, _GAP, _TITLE, _CAPTION = 200, 10, 30, 22  # pixels
_INK, _SOFT, _GOOD = (28, 39, 51), (91, 107, 122), (13, 122, 95)
_COLUMNS = 5


def write_overview(shown: Sequence[Shown], path: Path) -> None:
    """Write a PNG with the middle slice of every exhibit. Raises FileError where it cannot be written."""
    height = _TITLE + _SIDE + _CAPTION + _GAP
    sheet = Image.new("RGB", (_COLUMNS * (_SIDE + _GAP) + _GAP, len(shown) * height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, one in enumerate(shown):
        top = row * height + _GAP
        draw.text((_GAP, top), _headline(one), _INK, ImageFont.load_default(17))
        middle = len(one.exhibit.query.pictures(one.exhibit.query.plane)) // 2
        for column, panel in enumerate(panels(one, middle)):
            left = column * (_SIDE + _GAP) + _GAP
            picture = Image.fromarray(panel.picture)
            scale = _SIDE / max(picture.size)
            picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
            box = Image.new("RGB", (_SIDE, _SIDE), "black")
            box.paste(picture, ((_SIDE - picture.width) // 2, (_SIDE - picture.height) // 2))
            sheet.paste(box, (left, top + _TITLE))
            ink = _SOFT
            if panel.caption == "answer":
                ink = _GOOD
                edges = (left - 3, top + _TITLE - 3, left + _SIDE + 2, top + _TITLE + _SIDE + 2)
                draw.rectangle(edges, outline=_GOOD, width=3)
            draw.text((left, top + _TITLE + _SIDE + 4), panel.caption, ink, ImageFont.load_default(13))
    try:
        sheet.save(path, optimize=True)
    except OSError as problem:
        raise FileError(
            f"'{path}' could not be written ({problem.strerror})", "a writable folder with space left", "choose another"
        ) from problem


def _headline(shown: Shown) -> str:
    if not shown.measures:
        return shown.exhibit.title
    first = shown.measures[0]
    rival = "" if first.rival is None else f" ({first.rival:.{first.digits}f} by {shown.rival})"
    return f"{shown.exhibit.title}. {first.name} {first.value:.{first.digits}f}{rival}"
