"""The demo's report: one HTML file that contains its pictures and needs no script and no network."""

import base64
import io
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import mvg
from mvg._atomic import atomic_file, unwritable
from mvg.app.demo.drawing import ExhibitResult, panels
from mvg.app.demo.exhibit import Exhibit
from mvg.imaging.overlay import color_of

_ROWS = 3  # slices of a volume that are drawn
_TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class RunInfo:
    """What produced a report: versions, weights, hardware, and the wall time of the whole demo."""

    weights: str
    seconds: float
    version: str = mvg.__version__
    torch_version: str = torch.__version__
    threads: int = field(default_factory=torch.get_num_threads)
    cores: int | None = field(default_factory=os.cpu_count)
    machine: str = field(default_factory=platform.machine)


@dataclass(frozen=True)
class _PanelData:
    """A panel for the template; data: its PNG file in base64."""

    caption: str
    data: str
    is_prediction: bool


@dataclass(frozen=True)
class _Section:
    """One exhibit for the template."""

    exhibit: Exhibit
    result: ExhibitResult
    rows: tuple[tuple[_PanelData, ...], ...]
    command: str


def write_report(results: Sequence[ExhibitResult], path: Path, run: RunInfo) -> None:
    """Write the results as one HTML file, whole or not at all. Raises FileError where it cannot be written."""
    page = _render(results, path.parent, run)
    with atomic_file(path, partial(unwritable, path)) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _render(results: Sequence[ExhibitResult], folder: Path, run: RunInfo) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # comes with the extra "demo"

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    sections = [_section(result, folder / result.exhibit.name) for result in results]
    return environment.get_template("report.html").render(run=run, sections=sections, color_of=color_of)


def _section(result: ExhibitResult, folder: Path) -> _Section:
    command = result.exhibit.way.command(result.exhibit, folder)
    rows = tuple(
        tuple(_PanelData(panel.caption, _png(panel.picture), panel.is_prediction) for panel in panels(result, index))
        for index in _spread(result.slice_count)
    )
    return _Section(result.exhibit, result, rows, command)


def _spread(count: int) -> list[int]:
    """At most three of `count` slices, evenly spread."""
    positions = np.linspace(0, count - 1, min(count, _ROWS) + 2)[1:-1]
    return sorted({int(position) for position in positions.round()})


def _png(picture: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
