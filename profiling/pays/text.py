"""Words and tables of docs/results/pays.md."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """A part of the page.

    given: what a user gives more of; pays, does_not, aims: what that brings and what it does not, in a line each.
    lines: the section in Markdown; plots: its SVG files by name.
    """

    given: str
    pays: str
    does_not: str
    aims: str
    lines: Sequence[str]
    plots: Mapping[str, str]


def origin(folder: str, header: Mapping[str, Any]) -> str:
    """Where a suite's results come from."""
    commit = header["commit"][:8] + "+" * header["commit"].endswith("+")
    return f"[{folder}]({folder}/report.html) at {commit}, {header['cpu']}, load {header['load']}."


def image(name: str, about: str) -> str:
    """A plot, and what it shows for readers who do not see it."""
    return f"![{about}](plots/{name})\n"


def row(*cells: object) -> str:
    """A line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def head(*cells: object) -> str:
    """The first two lines of a table."""
    return f"{row(*cells)}\n|{'---|' * len(cells)}"


def verdict(is_met: bool) -> str:
    """Of an aim."""
    return "met" if is_met else "**missed**"


def listed(values: Iterable[object]) -> str:
    """Values in a sentence."""
    *first, last = map(str, values)
    return f"{', '.join(first)} and {last}" if first else last
