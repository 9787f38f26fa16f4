"""The report of a batch for a person: one self-contained HTML page, `report.html`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape, unescape
from pathlib import Path

import mvg
from mvg._atomic import atomic_file, unwritable
from mvg.imaging.overlay import color_of
from mvg.prediction.answer_summary import AnswerSummary, LabelSummary

NAME = "report.html"
_MOST_PICTURES = 200
_PICTURE = re.compile(r"<img alt='([^']+)' src='data:image/png;base64,([A-Za-z0-9+/=]+)'>")
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 1.5rem auto; padding: 0 1rem; }
.sheet { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; width: 256px; } figure img { width: 256px; background: #000; }
figcaption { font-size: 13px; } .odd { color: #8a3b00; } .bad { color: #a00000; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #ccc; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } i.c { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
""".strip()  # noqa: E501


@dataclass(frozen=True)
class Line:
    """One answer on the page: its file, its summary, what was odd, the error if it failed; names: of labels."""

    title: str
    summary: AnswerSummary | None
    oddities: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class CrossCheck:
    """A prompt that was answered from the others, beside its truth: the Dice of each label, and two pictures."""

    title: str
    dice: Mapping[int, float]
    predicted: str
    truth: str


def write_page(
    output: Path,
    facts: Mapping[str, str],
    lines: Sequence[Line],
    names: Mapping[int, str],
    checks: Sequence[CrossCheck],
) -> Path:
    """Writes the page whole or not at all. facts: of the run; names: of labels. Raises FileError."""
    path = output / NAME
    with atomic_file(path, partial(unwritable, path)) as temporary:
        temporary.write_text(render(facts, lines, names, checks), encoding="utf-8")
    return path


def render(
    facts: Mapping[str, str], lines: Sequence[Line], names: Mapping[int, str], checks: Sequence[CrossCheck] = ()
) -> str:
    """The page; it refers to no other file and no address."""
    failed = sum(line.error is not None for line in lines)
    title = f"{len(lines)} answer{'s' * (len(lines) != 1)}" + (f", {failed} failed" if failed else "")
    parts = [
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>mvg: {title}</title>",
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1><p>mvg {escape(mvg.__version__)}, research use only, not a medical device.</p><table>",
        *(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items()),
        "</table>",
        _sheet(lines),
        _table(lines, names),
        _notes(lines),
        _cross_check(checks, names),
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def pictures_in(output: Path) -> dict[str, str]:
    """The pictures of an older page in the folder by the answers' names; {} where there is none."""
    try:
        text = (output / NAME).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    return {unescape(title): data for title, data in _PICTURE.findall(text)}


def _sheet(lines: Sequence[Line]) -> str:
    pictures = [line for line in lines if line.summary is not None and line.summary.picture]
    figures = "\n".join(_figure(line.title, line.summary) for line in pictures[:_MOST_PICTURES] if line.summary)
    more = f"<p>The first {_MOST_PICTURES} of {len(pictures)}.</p>" if len(pictures) > _MOST_PICTURES else ""
    return f"<h2>The least certain slice of each answer</h2>{more}<div class='sheet'>{figures}</div>" if figures else ""


def _figure(title: str, summary: AnswerSummary) -> str:
    caption = f"{escape(title)}<br>{summary.plane} slice {summary.slice_number} of {summary.slice_count}"
    return (
        f"<figure><img alt='{escape(title, quote=True)}' src='data:image/png;base64,{summary.picture}'>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _table(lines: Sequence[Line], names: Mapping[int, str]) -> str:
    rows = [
        f"<tr><td>{escape(line.title)}</td>{_label(value, names)}{_cells(one)}</tr>"
        for line in lines
        if line.summary is not None
        for value, one in line.summary.labels.items()
    ]
    head = "<tr><th>answer</th><th>label</th><th>ml</th><th>slices</th><th>uncertainty</th><th>estimated Dice</th></tr>"
    return f"<h2>Labels</h2><table>{head}{''.join(rows)}</table>" if rows else ""


def _label(value: int, names: Mapping[int, str]) -> str:
    name = f"{value} {names[value]}" if value in names else str(value)
    return f"<td><i class='c' style='background:rgb{color_of(value)}'></i>{escape(name)}</td>"


def _cells(one: LabelSummary) -> str:
    uncertainty, quality = ("" if number is None else f"{number:.3f}" for number in (one.uncertainty, one.quality))
    return "".join(
        f"<td class='n'>{text}</td>" for text in (f"{one.milliliters:.2f}", one.slices, uncertainty, quality)
    )


def _notes(lines: Sequence[Line]) -> str:
    items = [(f"{line.title}: {note}", "odd") for line in lines for note in line.oddities]
    items += [(f"{line.title}: {line.error}", "bad") for line in lines if line.error is not None]
    items += [
        (f"{line.title}: no label was predicted", "odd")
        for line in lines
        if line.summary is not None and line.summary.plane and not line.summary.labels and line.error is None
    ]
    texts = "".join(f"<li class='{kind}'>{escape(text)}</li>" for text, kind in items)
    return f"<h2>What is odd</h2><ul>{texts}</ul>" if items else ""


def _cross_check(checks: Sequence[CrossCheck], names: Mapping[int, str]) -> str:
    if not checks:
        return ""
    figures = []
    for check in checks:
        scores = ", ".join(f"{names.get(value, value)} {dice:.3f}" for value, dice in check.dice.items())
        images = "".join(f"<img alt='' src='data:image/png;base64,{data}'>" for data in (check.predicted, check.truth))
        text = f"{escape(check.title)}: Dice {escape(scores)}; answered above, given below"
        figures.append(f"<figure>{images}<figcaption>{text}</figcaption></figure>")
    return (
        "<h2>Each prompt answered from the others</h2><p>If these are poor, expect no better of the queries.</p>"
        f"<div class='sheet'>{''.join(figures)}</div>"
    )
