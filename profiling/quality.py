"""How well the estimated quality agrees with Dice, and the exponent that brings it into Dice's scale.

python -m profiling.quality DATA [--weights tiny] [--cases 12] [--slices 8]

DATA is a folder of data sets with segmentations. Up to 12 validation patients of each are predicted with eight prompt
volumes of training patients. The exponent of a set is fitted on the others; the one that is used is fitted on all.
Writes `results/quality.json`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import spearmanr

import mvg
from mvg.benchmark.protocol.cases import EvalCase, EvalSize
from mvg.benchmark.provenance import provenance
from mvg.imaging.volume import LabelMap
from mvg.prediction.quality import EXPONENT
from mvg.prediction.result import Prediction
from profiling.validation_cases import prompted_cases, segmentations

RESULT = Path(__file__).parent / "results" / "quality.json"
_FEWEST = 5  # cases of a set

Case = tuple[list[float], float]
"""Mean probabilities of the labels that were predicted, and the mean Dice of those that truth or prediction shows."""


def main(arguments: Sequence[str]) -> None:
    """Run it as the module's first lines say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--slices", type=int, default=8)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    predictor, size = mvg.load(options.weights), EvalSize(options.cases, options.slices)
    cases: dict[str, list[Case]] = {}
    for data_set, task in segmentations(options.data):
        results = [
            _case(case, prompted(case.query)) for case, prompted in prompted_cases(predictor, data_set, task, size)
        ]
        if len(results) >= _FEWEST:
            cases[data_set.card.name] = results
            print(data_set.card.name, len(results), flush=True)
    command = f"python -m profiling.quality DATA --cases {size.cases} --slices {size.slices}"
    result = {"header": provenance(command, 0), **agreement(cases)}
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _case(case: EvalCase, prediction: Prediction) -> Case:
    assert isinstance(prediction.volume, LabelMap)
    assert prediction.confidence is not None
    dice = []
    for value in case.card.labels:
        truth, predicted = case.truth.voxels == value, prediction.volume.voxels == value
        if truth.any() or predicted.any():
            dice.append(2 * (truth & predicted).sum() / (truth.sum() + predicted.sum()))
    return list(prediction.confidence.labels.values()), float(np.mean(dice)) if dice else 1.0


def agreement(cases: dict[str, list[Case]]) -> dict[str, Any]:
    """Fitted exponents, and per set how estimates with the exponent of the other sets agree with Dice."""
    sets = {}
    for name, part in cases.items():
        exponent = fitted([other for key, other in cases.items() if key != name] or [part])
        estimates, truth = [estimate(labels, exponent) for labels, _ in part], [dice for _, dice in part]
        sets[name] = {
            "cases": len(part),
            "dice": round(float(np.mean(truth)), 4),
            "estimate": round(float(np.mean(estimates)), 4),
            "absolute_error": round(float(np.mean(np.abs(np.subtract(estimates, truth)))), 4),
            "rank_correlation": round(float(spearmanr(estimates, truth).statistic), 4),
            "exponent_of_other_sets": round(exponent, 3),
        }
    means = {
        name: round(float(np.mean([part[name] for part in sets.values()])), 4)
        for name in ("absolute_error", "rank_correlation")
    }
    return {
        "exponent": round(fitted(list(cases.values())), 3),
        "exponent_in_use": EXPONENT,
        "mean": means,
        "sets": sets,
    }


def fitted(sets: Sequence[Sequence[Case]]) -> float:
    """The exponent with the least squared error, each set counting alike."""

    def error(exponent: float) -> float:
        parts = [np.mean([(estimate(labels, exponent) - dice) ** 2 for labels, dice in part]) for part in sets]
        return float(np.mean(parts))

    return float(minimize_scalar(error, bounds=(0.3, 8), method="bounded").x)


def estimate(labels: Sequence[float], exponent: float) -> float:
    """The estimate of a case, as `mvg.prediction.quality` makes it with its own exponent."""
    return float(np.mean(np.power(labels, exponent))) if labels else 0.0


if __name__ == "__main__":
    main(sys.argv[1:])
