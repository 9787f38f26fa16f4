"""What a metric gets to see, and what it says of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import Window


@dataclass(frozen=True, eq=False)
class Score:
    """An answer beside its truth, on one grid.

    names: label value -> name, for label maps. plane: of the slices. window: raw intensities -> [0, 1], for pictures
    (its range is told in every result line). regions: where pictures are measured, the most telling first: masks
    (X, Y, Z), None for all voxels; label maps have the region "whole" alone. labels: the case's label map, where the
    set has one, for metrics of what a synthetic image is good for. segment: a segmentation learnt from real images of
    the answer's kind, or None. estimate: what the method itself thinks of its answer (it may take a while), or None.
    """

    answer: Volume | LabelMap
    truth: Volume | LabelMap
    plane: Plane
    names: dict[int, str]
    window: Window | None
    regions: dict[str, NDArray[np.bool_] | None]
    labels: LabelMap | None = None
    segment: Callable[[Volume], LabelMap] | None = None
    estimate: Callable[[], float | None] | None = None


@dataclass(frozen=True)
class Measurements:
    """A figure of one case in one region; parts: of every class, by name, where the figure is put together of them."""

    region: str
    value: float
    parts: dict[str, float]


@dataclass(frozen=True)
class Metric:
    """What a file in `metrics/` offers as METRIC.

    name: as tables print it; unit: "", "dB", "mm", ...; range: least and most possible value; better: the direction;
    answers: which answers it can judge; library: whose definition it is, with its settings; aggregation: how one case
    gives one figure, and cases a mean. measure: the figures of one case, empty where it is not defined. usual: whether
    a suite that names no metrics asks for it. check: raises BenchmarkError where its library is missing.
    """

    name: str
    unit: str
    range: tuple[float, float]
    better: Literal["higher", "lower"]
    answers: Literal["labels", "image"]
    library: str
    aggregation: str
    measure: Callable[[Score], list[Measurements]]
    usual: bool = True
    check: Callable[[], object] = lambda: None
