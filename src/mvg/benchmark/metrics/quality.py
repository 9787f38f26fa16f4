"""What a method itself thinks of its answer, without the truth; how that agrees with Dice is what the page tells."""

from mvg.benchmark.protocol.metric import Measurements, Metric, Score


def measure(judged: Score) -> list[Measurements]:
    """The method's estimate; nothing where it has none."""
    said = None if judged.estimate is None else judged.estimate()
    return [] if said is None else [Measurements("whole", said, {})]


METRIC = Metric(
    name="quality estimate",
    unit="",
    range=(0.0, 1.0),
    better="higher",
    answers="labels",
    library="mvg, the prompts' own targets answered from the query and its answer (reverse classification accuracy)",
    aggregation="per case, mean Dice over the labels of one slice of up to eight prompts",
    measure=measure,
    usual=False,
)
