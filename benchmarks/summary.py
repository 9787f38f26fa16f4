"""Result files as tables: means over cases per set, means over sets, and how sure they are."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DRAWS = 2000
_Row = dict[str, Any]


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def load(path: Path) -> tuple[dict[str, Any], list[_Row]]:
    """The header and the lines of a result file."""
    header, *rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line)
    return header["header"], rows


def interval(groups: Sequence[Sequence[_Row]]) -> Interval:
    """The mean over groups (sets) of the mean over their cases, and its interval by patient.

    Patients are redrawn within every group, with all their cases; the draws are the same in every call.
    """
    rng = np.random.default_rng(0)
    means = np.mean([np.mean([row["value"] for row in rows]) for rows in groups])
    draws = np.mean([_redrawn(rows, rng) for rows in groups], axis=0)
    low, high = np.percentile(draws, (2.5, 97.5))
    return Interval(float(means), float(low), float(high))


def table(path: Path) -> str:
    """Markdown: a table for every metric that matters, sets as rows, methods as columns."""
    header, rows = load(path)
    parts = [
        f"Weights `{header['weights']}`, commit {header['commit'][:10]}, seed {header['seed']}. "
        "Mean over cases (95 % bootstrap interval by patient). "
        "A set with fewer training cases than prompts shows them all."
    ]
    labels = [row for row in rows if row["metric"] == "IoU"]
    parts += _tables("Mean IoU", labels, lambda row: str(row["set"]), 3)
    parts += _tables("Mean Dice", [row for row in rows if row["metric"] == "Dice"], lambda row: str(row["set"]), 3)
    for kind in ("inpainting", "denoising", "synthesis"):
        own = [row for row in rows if row["metric"] == "PSNR" and row["task"].startswith(kind)]
        for region in dict.fromkeys(row["region"] for row in own):
            shown = [row for row in own if row["region"] == region]
            title = f"PSNR (dB), {kind}, {'whole image' if region == 'whole' else region}"
            parts += _tables(title, shown, lambda row: f"{row['set']}, {row['task'].split(':', 1)[1]}", 2)
    return "\n\n".join(parts) + "\n"


def _tables(title: str, rows: list[_Row], name: Callable[[_Row], str], digits: int) -> list[str]:
    if not rows:
        return []
    methods = sorted({_method(row) for row in rows}, key=_rank)
    lines = [f"| {title} | cases (patients) | {' | '.join(methods)} |", "|---" * (len(methods) + 2) + "|"]
    cells: dict[str, dict[str, list[_Row]]] = {}
    for row in rows:
        cells.setdefault(name(row), {}).setdefault(_method(row), []).append(row)
    for place, by_method in cells.items():
        some = next(iter(by_method.values()))
        found = [_cell([by_method[m]], digits) if m in by_method else "" for m in methods]
        lines.append(f"| {place} | {len(some)} ({len({row['patient'] for row in some})}) | {' | '.join(found)} |")
    if len(cells) > 1:
        whole = [[found[m] for found in cells.values()] if all(m in f for f in cells.values()) else [] for m in methods]
        found = [_cell(groups, digits) if groups else "" for groups in whole]
        lines.append(f"| **mean** | | {' | '.join(found)} |")
    return ["\n".join(lines)]


def _cell(groups: Sequence[Sequence[_Row]], digits: int) -> str:
    said = interval(groups)
    return f"{said.mean:.{digits}f} ({said.low:.{digits}f} to {said.high:.{digits}f})"


def _method(row: _Row) -> str:
    count = row["prompts"]
    return f"{row['method']}, {count} prompt{'s' if count > 1 else ''}" if count else str(row["method"])


def _rank(method: str) -> tuple[int, int]:
    """Ours first, then the rivals; fewer prompts first."""
    name, _, count = method.partition(", ")
    order = ["mvg", "copy", "identity", "mean fill", "unet"]
    return order.index(name) if name in order else len(order), int(count.split()[0]) if count else 0


def _redrawn(rows: Iterable[_Row], rng: np.random.Generator) -> NDArray[np.float64]:
    """The means over cases (draws,) of patients drawn with replacement."""
    by_patient: dict[str, list[float]] = {}
    for row in rows:
        by_patient.setdefault(row["patient"], []).append(row["value"])
    sums = np.array([sum(values) for values in by_patient.values()])
    counts = np.array([len(values) for values in by_patient.values()])
    drawn = rng.integers(len(sums), size=(_DRAWS, len(sums)))
    return np.asarray(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
