"""A method's own estimate of the quality of its prediction; the report shows how it agrees with Dice."""

from mvg.benchmark.protocol.metric import Metric, MetricInput, Score


def measure(inputs: MetricInput) -> list[Score]:
    """The method's estimate; empty where it has none."""
    estimate = None if inputs.estimate is None else inputs.estimate()
    return [] if estimate is None else [Score("whole", estimate, {})]


METRIC = Metric(
    name="quality estimate",
    unit="",
    range=(0.0, 1.0),
    better="higher",
    target_type="labels",
    definition="mvg, the mean probability of each label where it was predicted, in the scale of Dice",
    aggregation="per case, mean over the labels that were predicted",
    measure=measure,
    is_default=False,
)
