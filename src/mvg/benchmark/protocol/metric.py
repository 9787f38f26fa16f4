"""What a metric receives, and how it describes itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import Window
from mvg.tasks import TargetType


@dataclass(frozen=True, eq=False)
class MetricInput:
    """A prediction beside its truth, on one grid.

    plane: of the slices. label_names: label value -> name, for label maps. window: raw intensities -> [0, 1], for
    pictures. regions: where pictures are measured, the most informative first: name -> mask (X, Y, Z), None for all
    voxels; label maps have the region "whole" alone. labels: the label map of the case, where a segmentation of the
    prediction can be compared with it; segment: a segmentation that learned from real images. estimate: computes the
    method's own quality estimate, which may take a while. Each is None where there is none.
    """

    prediction: Volume | LabelMap
    truth: Volume | LabelMap
    plane: Plane
    label_names: dict[int, str]
    window: Window | None
    regions: dict[str, NDArray[np.bool_] | None]
    labels: LabelMap | None = None
    segment: Callable[[Volume], LabelMap] | None = None
    estimate: Callable[[], float | None] | None = None


@dataclass(frozen=True)
class Score:
    """The figure of one case in one region; by_label: the figure of every label, by name, where it is their mean."""

    region: str
    value: float
    by_label: dict[str, float]


@dataclass(frozen=True)
class Metric:
    """What a file in `metrics/` offers as METRIC.

    name: as tables print it; unit: "", "dB", "mm", ...; range: smallest and largest possible value; better: direction.
    target_type: the predictions that it can measure. definition: whose it is, with its settings; aggregation: how a
    case gives one figure. measure: the scores of one case, empty where the metric is not defined. is_default: suites
    that name no metrics use it. check: raises BenchmarkError where its library is missing.
    """

    name: str
    unit: str
    range: tuple[float, float]
    better: Literal["higher", "lower"]
    target_type: TargetType
    definition: str
    aggregation: str
    measure: Callable[[MetricInput], list[Score]]
    is_default: bool = True
    check: Callable[[], object] = lambda: None
