"""What joining slices along the volume is worth, and what it costs: validation patients with it and without.

python -m profiling.through_plane DATA/SET ... [--weights tiny] [--cases 3] [--prompts 8]

Each SET is a data set with volumes. Up to 3 validation patients of each are predicted from eight prompt volumes of
training patients, whole pipeline. IoU, Dice and HD95 are those of the benchmark. Roughness: voxels of a label that
differ from both neighbors across slices, over the label's voxels. Times are of the processor. Writes
`results/through-plane.json`.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mvg
from mvg.benchmark.metrics import dice, hd95, iou
from mvg.benchmark.protocol.cases import EvalCase, EvalSize
from mvg.benchmark.protocol.metric import MetricInput
from mvg.benchmark.provenance import provenance
from mvg.imaging.volume import LabelMap
from mvg.prediction.inference import slices as slices_module
from mvg.prediction.inference.through_plane import joined
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.quality import quality_of
from profiling.validation_cases import prompted_cases, segmentations_of

RESULT = Path(__file__).parent / "results" / "through-plane.json"
_METRICS = {"iou": iou.METRIC, "dice": dice.METRIC, "hd95": hd95.METRIC}


def main(arguments: Sequence[str]) -> None:
    """Run it as the module's first lines say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--cases", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    predictor, size = mvg.load(options.weights), EvalSize(options.cases, None, options.prompts)
    names = " ".join(f"DATA/{folder.name}" for folder in options.sets)
    command = f"python -m profiling.through_plane {names} --cases {size.cases} --prompts {size.prompts}"
    about, rows = provenance(command, 0), list[dict[str, Any]]()
    for data_set, task in (pair for folder in options.sets for pair in segmentations_of(folder)):
        for case, prompted in prompted_cases(predictor, data_set, task, size):
            rows.append({"set": data_set.card.name, "case": case.case.name, **measured(case, prompted)})
            print(json.dumps(rows[-1]), flush=True)
        result = {"header": about, "sets": summary(rows), "cases": rows}
        options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measured(case: EvalCase, prompted: PromptedTask) -> dict[str, Any]:
    """The figures of one case, slice by slice ("off") and joined along the volume ("auto")."""
    seconds = [0.0]

    def timed(*arguments: Any) -> Any:
        start = time.process_time()
        result = joined(*arguments)
        seconds[0] += time.process_time() - start
        return result

    slices_module.joined, start = timed, time.process_time()
    figures = {"auto": _figures(case, prompted.with_options(replace(prompted.options, through_plane="auto")))}
    total = time.process_time() - start
    slices_module.joined = joined
    figures["off"] = _figures(case, prompted.with_options(replace(prompted.options, through_plane="off")))
    times = {"seconds": round(total, 2), "joining": round(seconds[0], 2)}
    return {**figures, **times, "roughness_of_truth": _roughness(case, case.truth)}


def _figures(case: EvalCase, prompted: PromptedTask) -> dict[str, float]:
    answer = prompted(case.query)
    prediction = case.scored(answer.volume)
    inputs = MetricInput(prediction, case.truth, case.query.plane, case.card.labels, None, {"whole": None})
    estimate = quality_of(answer)
    return {
        **{name: round(metric.measure(inputs)[0].value, 4) for name, metric in _METRICS.items()},
        "roughness": _roughness(case, prediction),
        "estimate": round(estimate.mean, 4) if estimate else 0.0,
    }


def _roughness(case: EvalCase, labels: Any) -> float:
    assert isinstance(labels, LabelMap)
    slices = np.asarray(labels.pictures(case.query.plane))
    return round(float(np.mean([roughness(slices == value) for value in labels.values] or [0.0])), 4)


def roughness(inside: NDArray[np.bool_]) -> float:
    """Voxels (n, rows, cols) that differ from both neighbors along the first axis, over the voxels inside."""
    below, middle, above = inside[:-2], inside[1:-1], inside[2:]
    return float(((below == above) & (middle != below)).sum() / max(int(inside.sum()), 1))


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the cases of each set, with and without; under "mean" those over the sets."""
    by_set: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(row["set"] for row in rows):
        part = [row for row in rows if row["set"] == name]
        means = {
            key: {arm: round(float(np.mean([row[arm][key] for row in part])), 4) for arm in ("off", "auto")}
            for key in part[0]["auto"]
        }
        total, along = (sum(row[key] for row in part) for key in ("seconds", "joining"))
        by_set[name] = {"cases": len(part), **means, "times_the_time": round(total / (total - along), 3)}
    figures = [key for key in next(iter(by_set.values())) if key not in ("cases", "times_the_time")]
    mean: dict[str, Any] = {
        key: {arm: round(float(np.mean([one[key][arm] for one in by_set.values()])), 4) for arm in ("off", "auto")}
        for key in figures
    }
    mean["times_the_time"] = round(float(np.mean([one["times_the_time"] for one in by_set.values()])), 3)
    return {**by_set, "mean": mean}


if __name__ == "__main__":
    main(sys.argv[1:])
