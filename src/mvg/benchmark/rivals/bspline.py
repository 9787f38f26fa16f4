"""B-splines: prompts are registered by SimpleITK's cubic B-splines, and their labels warped onto the query."""

from dataclasses import dataclass

from mvg.benchmark.protocol.method import Method, Scope, TrainingData
from mvg.benchmark.rivals import _propagation, _simpleitk

SCOPE: Scope = "untrained"
USES_PROMPTS = True
serves = _propagation.serves


@dataclass(frozen=True)
class Options:
    """There is nothing to choose."""


def fit(options: Options, data: TrainingData) -> Method:
    """There is nothing to learn."""
    return _propagation.propagation(_simpleitk.aligned_by(_simpleitk.bspline))
