"""Captions of result tables: metric, region, range, aggregation and tests, in full sentences."""

from collections.abc import Sequence

import numpy as np

from mvg.benchmark.protocol.metric import Metric
from mvg.benchmark.report.records import Record

SIGNIFICANCE = 0.05
_INTERVALS = "Then the mean over cases with its 95 % bootstrap interval by patient; a mean weighs all its rows alike"
_BOLD = (
    f"Bold: better than every other column of its row, p < {SIGNIFICANCE:g} each (paired sign-flip test by patient, "
    "Holm correction over the other columns); a row of few patients cannot reach this level"
)


def caption(records: Sequence[Record]) -> str:
    """Everything that a reader needs to interpret the figures of one table."""
    first = records[0]
    sentences = [_metric(first.metric)]
    if first.metric.target_type == "image":
        sentences.append(f"Region: {region_name(first.region)}")
    if any(record.range for record in records):
        sentences.append(f"Intensity range: {_ranges(records)}")
    sentences += [f"Definition: {first.metric.definition}", f"Aggregation: {first.metric.aggregation}", _INTERVALS]
    seeds = sorted({record.seed for record in records})
    if len(seeds) > 1:
        listed = ", ".join(map(str, seeds))
        sentences.append(f"Every case is first averaged over the seeds of training (seeds {listed})")
    if len({(record.set, record.task) for record in records}) > 1:
        sentences.append("A method that lacks a row has no mean")
    if any(record.prompts_used < record.prompts for record in records):
        sentences.append("A set with fewer training cases than prompts uses all that it has")
    return ". ".join([*sentences, _BOLD]) + "."


def region_name(region: str) -> str:
    """The region as readers know it."""
    return "whole image" if region == "whole" else region


def _metric(metric: Metric) -> str:
    low, high = metric.range
    span = f"{low:g} to {high:g}" if np.isfinite(high) else f"from {low:g}"
    unit = f" in {metric.unit}" if metric.unit else ""
    return f"{metric.name}{unit}, {span}, {metric.better} is better"


def _ranges(records: Sequence[Record]) -> str:
    """The one intensity range; where cases differ, how their ranges were chosen (the text in parentheses)."""
    ranges = list(dict.fromkeys(record.range for record in records if record.range))
    if len(ranges) == 1:
        return ranges[0]
    rules = dict.fromkeys(text.partition("(")[2].rpartition(")")[0] or text for text in ranges)
    return "; ".join(rules) + ", by case"
