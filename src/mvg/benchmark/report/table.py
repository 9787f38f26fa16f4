"""The values of a result table: columns are methods, rows are sets or places on an axis."""

from dataclasses import dataclass

import numpy as np

from mvg.benchmark.protocol.metric import Metric
from mvg.benchmark.statistics import Comparison, Interval


@dataclass(frozen=True)
class Column:
    """A method with a number of prompts (0: it uses none, or the axis counts them)."""

    method: str
    prompts: int
    scope: str

    @property
    def title(self) -> str:
        """The column's heading."""
        return f"{self.method}, {self.prompts} prompt{'s' * (self.prompts > 1)}" if self.prompts else self.method


@dataclass(frozen=True)
class Cell:
    """The mean of one method over the cases of a row.

    best: significantly better than every other cell of the row. comparison: the row's best minus this cell, None for
    the best itself; p: its p value after Holm's correction.
    """

    interval: Interval
    cases: int
    best: bool
    comparison: Comparison | None
    p: float | None


@dataclass(frozen=True)
class Row:
    """Cells in the order of the columns, None where a method has no figures.

    is_mean: the row averages other rows. x: the place on the axis of a curve.
    """

    title: str
    cases: int
    patients: int
    cells: tuple[Cell | None, ...]
    is_mean: bool = False
    x: float | None = None


@dataclass(frozen=True)
class Table:
    """One metric of one kind of task in one region. axis: what x counts, empty where rows are sets."""

    title: str
    metric: Metric
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    axis: str
    caption: str

    @property
    def digits(self) -> int:
        """The number of decimals that shows three significant digits of the largest mean, from 2 to 4."""
        sizes = [abs(cell.interval.mean) for row in self.rows for cell in row.cells if cell]
        largest = max((size for size in sizes if np.isfinite(size)), default=0.0)
        return int(np.clip(2 - np.floor(np.log10(largest)), 2, 4)) if largest > 0 else 2

    def format(self, value: float) -> str:
        """The value with the table's number of decimals."""
        return f"{value:.{self.digits}f}"

    @property
    def summary_row(self) -> Row:
        """The row of means, or the last row where there is none."""
        return next((row for row in self.rows if row.is_mean), self.rows[-1])
