"""Draws the figure of the method: `python docs/assets/method.py` writes docs/assets/method.svg."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

TARGET = Path(__file__).with_name("method.svg")
INPUT, LEARNED, SOLVED, RESULT = "#dbe9f6", "#fde6cf", "#d9efdc", "#eadcf4"

Box = tuple[float, float, str, str]
BOXES: dict[str, Box] = {  # center x, center y, text, color
    "prompt images": (1.0, 4.2, "prompt images\n$x_1 \\ldots x_n$", INPUT),
    "prompt targets": (1.0, 2.6, "prompt targets\n$y_1 \\ldots y_n$", INPUT),
    "query": (1.0, 1.0, "query\n$x$", INPUT),
    "image encoder": (3.6, 4.2, "image encoder\nU-Net + transformer", LEARNED),
    "target encoder": (3.6, 2.6, "target encoder\none channel per class", LEARNED),
    "query encoder": (3.6, 1.0, "the same\nimage encoder", LEARNED),
    "regression": (6.4, 4.2, "ridge regression\nsolved on the prompts", SOLVED),
    "matching": (6.4, 2.6, "matching\ncross-attention", LEARNED),
    "decoder": (8.9, 2.6, "decoder\n$(1 + g)\\,\\hat{y} + \\delta$", LEARNED),
    "prediction": (11.2, 2.6, "prediction\nfor the query", RESULT),
}
ARROWS = (
    ("prompt images", "image encoder"),
    ("prompt targets", "target encoder"),
    ("query", "query encoder"),
    ("image encoder", "regression"),
    ("image encoder", "target encoder"),
    ("image encoder", "matching"),
    ("target encoder", "matching"),
    ("prompt targets", "regression"),
    ("query encoder", "matching"),
    ("query encoder", "regression"),
    ("query encoder", "decoder"),
    ("regression", "decoder"),
    ("matching", "decoder"),
    ("decoder", "prediction"),
)
WIDTH, HEIGHT = 1.9, 0.9


def draw() -> Figure:
    """The figure: inputs at the left, the prediction at the right; what is kept per task lies in the dashed frame."""
    figure = Figure(figsize=(12.4, 5.0))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.2, 12.4), ylim=(0.1, 5.3))
    axes.axis("off")
    _frame(axes, "encoded once per task and kept", (2.5, 1.95, 5.05, 3.05))
    for start, end in ARROWS:
        _arrow(axes, BOXES[start], BOXES[end])
    for box in BOXES.values():
        _box(axes, box)
    return figure


def _box(axes: Axes, box: Box) -> None:
    x, y, text, color = box
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    axes.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, "round,pad=0.03", facecolor=color, edgecolor="#555555"))
    axes.text(x, y, text, ha="center", va="center", fontsize=11)


def _arrow(axes: Axes, start: Box, end: Box) -> None:
    (x0, y0), (x1, y1) = start[:2], end[:2]
    if x0 == x1:  # straight down
        tail, head = (x0, y0 - HEIGHT / 2 - 0.03), (x1, y1 + HEIGHT / 2 + 0.03)
    else:
        tail, head = (x0 + WIDTH / 2 + 0.03, y0), (x1 - WIDTH / 2 - 0.03, y1)
    axes.annotate("", head, tail, arrowprops={"arrowstyle": "-|>", "color": "#555555", "lw": 1.2})


def _frame(axes: Axes, text: str, extent: tuple[float, float, float, float]) -> None:
    x, y, width, height = extent
    box = FancyBboxPatch((x, y), width, height, "round,pad=0.05", facecolor="none", edgecolor="#888888", ls="--")
    axes.add_patch(box)
    axes.text(x + 0.1, y + height - 0.05, text, ha="left", va="top", fontsize=9, color="#666666")


def write(path: Path) -> None:
    """Write the figure; the same bytes each time."""
    with mpl.rc_context({"svg.hashsalt": "mvg", "svg.fonttype": "none", "font.family": "sans-serif"}):
        draw().savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    write(TARGET)
