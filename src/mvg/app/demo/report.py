"""The demo's report: one HTML file that holds its pictures and needs no script and no network."""

import base64
import html
import io
import os
import platform
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import mvg
from mvg._atomic import atomic_file
from mvg.app.demo.drawing import Panel, Shown, panels
from mvg.app.demo.measures import Measure
from mvg.errors import FileError
from mvg.imaging.overlay import color_of

_ROWS = 3  # slices of a volume that are shown


_STYLE = """
:root { --ink: #1c2733; --soft: #5b6b7a; --line: #dde4ea; --paper: #f5f7f9; --good: #0d7a5f; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2.5rem 1.25rem; }
h1 { font-size: 2rem; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 0 0 .35rem; }
p { margin: .35rem 0 .9rem; max-width: 76ch; }
section { background: #fff; border: 1px solid var(--line); border-radius: 12px; padding: 1.4rem 1.5rem;
  margin: 1.5rem 0; }
.soft, footer { color: var(--soft); font-size: .9rem; }
.row { display: grid; grid-template-columns: repeat(var(--columns), 1fr); gap: .6rem; margin-bottom: .6rem; }
figure { margin: 0; display: flex; flex-direction: column; }
figure div { background: #000; border-radius: 8px; overflow: hidden; aspect-ratio: 1; display: flex; }
figure img { width: 100%; height: 100%; object-fit: contain; }
figcaption { font-size: .82rem; color: var(--soft); padding-top: .25rem; }
.answer div { outline: 3px solid var(--good); }
.answer figcaption { color: var(--good); font-weight: 600; }
table { border-collapse: collapse; font-size: .92rem; margin: .4rem 0 .8rem; }
th, td { text-align: right; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
td.value { font-weight: 650; color: var(--good); }
code { background: var(--paper); border: 1px solid var(--line); border-radius: 6px; padding: .1rem .35rem;
  font-size: .82rem; overflow-wrap: anywhere; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 3px; margin: 0 .3em 0 .9em; }
.key:first-child { margin-left: 0; }
@media (max-width: 700px) { .row { grid-template-columns: repeat(2, 1fr); } }
"""


def write_report(shown: Sequence[Shown], path: Path, weights: str, seconds: float) -> None:
    """Write what was shown as one HTML file, whole or not at all; `seconds` is what all of it took.

    Raises FileError where the file cannot be written.
    """
    about = (
        f"mvg {mvg.__version__}, weights <b>{html.escape(weights)}</b>, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads on {os.cpu_count()} {platform.machine()} cores: "
        f"{seconds:.0f} s for everything on this page."
    )
    sections = "".join(_section(one, path.parent) for one in shown)
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>mvg demo</title><style>{_STYLE}</style></head><body><main>
<h1>One model, shown by example</h1>
<p>Nothing on this page was trained for: each request is a few pairs of an image and its target (the prompts) and a new
image (the query). The same weights answer all of them.</p>
<p class="soft">{about}</p>
{_glance(shown)}
{sections}
<footer><p>Images: ICBM 152 nonlinear symmetric template (Fonov et al. 2011; copyright 1993-2009 Louis Collins,
McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill University), from nilearn; a T1 slice from dipy;
CT slices from pydicom's test files.</p><p>Research use only; not a medical device.</p></footer>
</main></body></html>
"""
    with atomic_file(path, partial(_unwritable, path)) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _unwritable(path: Path, error: Exception) -> FileError:
    reason = getattr(error, "strerror", None) or error
    return FileError(f"'{path}' could not be written ({reason})", "a writable folder with space left", "choose another")


def _glance(shown: Sequence[Shown]) -> str:
    """The first figure of every exhibit, in one table."""
    rows = ""
    for one in shown:
        name = f'<a href="#{one.exhibit.name}">{html.escape(one.exhibit.title)}</a>'
        if one.measures:
            first = one.measures[0]
            rival = "" if first.rival is None else f"{first.rival:.{first.digits}f} for {html.escape(one.rival)}"
            figure = f'<td>{first.name}</td><td class="value">{first.value:.{first.digits}f}</td><td>{rival}</td>'
        else:
            figure = "<td></td><td></td><td>truth not known</td>"
        rows += f"<tr><td>{name}</td>{figure}</tr>"
    return f"<section><h2>At a glance</h2><table>{rows}</table></section>"


def _section(shown: Shown, folder: Path) -> str:
    exhibit = shown.exhibit
    place = folder / exhibit.name
    command = f"mvg predict {place}/query.nii.gz --prompts {place}/prompts --task {exhibit.task} --output answers"
    keys = "".join(
        f'<span class="key" style="background: rgb{color_of(value)}"></span>{html.escape(name)}'
        for value, name in exhibit.labels.items()
    )
    slices = len(exhibit.query.pictures(exhibit.query.plane))
    return f"""<section id="{exhibit.name}"><h2>{html.escape(exhibit.title)}</h2>
<p>{html.escape(exhibit.story)}</p>{_rows(shown)}{f'<p class="soft">{keys}</p>' if keys else ""}
{_table(shown.measures, shown.rival)}
<p class="soft">{len(exhibit.images)} prompts, {slices} slice{"s" * (slices > 1)}, {shown.seconds:.1f} s, prompts
encoded anew. On the command line: <code>{html.escape(command)}</code></p></section>
"""


def _table(measures: Sequence[Measure], rival: str) -> str:
    if not measures:
        return '<p class="soft">No figure: the right answer is not known.</p>'
    head = f"<tr><th></th><th>answer</th>{f'<th>{html.escape(rival)}</th>' if rival else ''}</tr>"
    rows = ""
    for measure in measures:
        other = "" if measure.rival is None else f"<td>{measure.rival:.{measure.digits}f}</td>"
        rows += f'<tr><td>{measure.name}</td><td class="value">{measure.value:.{measure.digits}f}</td>{other}</tr>'
    return f"<table>{head}{rows}</table>"


def _rows(shown: Shown) -> str:
    count = len(shown.exhibit.query.pictures(shown.exhibit.query.plane))
    places = sorted({int(place) for place in np.linspace(0, count - 1, min(count, _ROWS) + 2)[1:-1].round()})
    rows = ""
    for at in places:
        found = panels(shown, at)
        rows += f'<div class="row" style="--columns: {len(found)}">{"".join(map(_figure, found))}</div>'
    return rows


def _figure(panel: Panel) -> str:
    file = io.BytesIO()
    Image.fromarray(panel.picture).save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    text = html.escape(panel.caption)
    attribute = ' class="answer"' if panel.caption == "answer" else ""
    return (
        f'<figure{attribute}><div><img alt="{text}" src="data:image/png;base64,{data}"></div>'
        f"<figcaption>{text}</figcaption></figure>"
    )
