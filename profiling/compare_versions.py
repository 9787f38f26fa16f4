"""Compares the predictions of two source trees on fixed requests: are they the same, and what did they cost?

python -m profiling.compare_versions --old-source OLD/src --new-source src --data FOLDER --output FILE.json [--quick]

Each version answers each request in a process of its own, on one thread, the two in turn. The data are sets in the
nnU-Net raw layout, one folder each, with the patients that may not be used in `held_out.json` beside them. Exit code 0:
all predictions are the same; 1: some differ or failed.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mvg.benchmark.provenance import provenance
from profiling.comparison.measures import Difference, label_difference, picture_difference
from profiling.comparison.requests import FULL, QUICK, Query, Request, RequestPlan, build, read_array
from profiling.comparison.versions import Outcome, Version, digest, predict


def main() -> None:
    """Compare, print a line per query, and write the result file after every request."""
    arguments = _parser().parse_args()
    old, new = (Version(source, arguments.python, arguments.weights)
                for source in (arguments.old_source, arguments.new_source))  # fmt: skip
    command = " ".join(["python -m profiling.compare_versions", *sys.argv[1:]])
    commits = {"old_commit": old.commit(), "new_commit": new.commit()}
    result: dict[str, Any] = {
        "provenance": provenance(command, arguments.seed) | commits,
        "summary": {},
        "requests": [],
    }
    with tempfile.TemporaryDirectory() as temporary:
        cache = arguments.cache or Path(temporary)
        for plan in _plans(arguments.quick, arguments.only):
            request = build(plan, arguments.data, cache / "inputs" / plan.name, arguments.seed)
            if request is None:
                print(f"{plan.name}: no such data set, left out")
                continue
            result["requests"].append(_compare(request, old, new, cache, Path(temporary)))
            result["summary"] = summary(result["requests"])
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["summary"], indent=1))
    sys.exit(result["summary"]["different"] + result["summary"]["failed"] > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m profiling.compare_versions", description=__doc__.splitlines()[0])
    parser.add_argument("--old-source", type=Path, required=True, help="folder that holds the old package mvg")
    parser.add_argument("--new-source", type=Path, required=True, help="folder that holds the new package mvg")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of data sets")
    parser.add_argument("--output", type=Path, required=True, help="the result file")
    parser.add_argument("--python", default=sys.executable, help="interpreter of both versions")
    parser.add_argument("--weights", default="tiny", help="id or folder of the weights")
    parser.add_argument("--cache", type=Path, help="keeps the old version's predictions for the next run")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller requests")
    parser.add_argument("--only", default="", help="requests whose names contain this")
    parser.add_argument("--seed", type=int, default=0, help="of the voids")
    return parser


def _plans(quick: bool, only: str) -> list[RequestPlan]:
    return [plan for plan in (QUICK if quick else FULL) if only in plan.name]


def _compare(request: Request, old: Version, new: Version, cache: Path, temporary: Path) -> dict[str, Any]:
    """The record of a request; the old version goes first, as it writes the task file."""
    name = request.plan.name
    kept = cache / "old" / old.digest() / f"{name}, {digest(request)}"
    task_file = None if request.plan.through != "task file" else kept.with_name(f"{kept.name}.mvgtask")
    before = predict(old, request, kept, task_file)
    after = predict(new, request, temporary / "new" / name, task_file)
    record: dict[str, Any] = {"name": name, "seconds": _seconds(before, after), "queries": []}
    errors = {who: outcome.error for who, outcome in (("old", before), ("new", after)) if outcome.error}
    if errors:
        print(f"{name}: failed, {errors}", flush=True)
        return record | {"errors": errors}
    for query, one, other in zip(request.queries, before.predictions, after.predictions, strict=True):
        difference = _difference(request.plan, query, one, other)
        record["queries"].append({"image": query.image.name} | difference.as_dict())
        print(f"{name}: {query.image.name}: {_line(difference)}", flush=True)
    print(f"    processor seconds {record['seconds']}", flush=True)
    return record


def _difference(plan: RequestPlan, query: Query, old: NDArray[Any], new: NDArray[Any]) -> Difference:
    if old.shape != new.shape:
        return Difference("different", old.shape[2], tuple(range(old.shape[2])), old.size)
    truth = read_array(query.truth)
    if plan.target == "labels":
        return label_difference(old, new, truth)
    return picture_difference(old, new, truth, None if query.region is None else read_array(query.region) > 0)


def _seconds(old: Outcome, new: Outcome) -> dict[str, Any]:
    """Processor seconds of both versions, and the new by the old ones."""
    seconds: dict[str, Any] = {"old": _rounded(old.seconds), "new": _rounded(new.seconds), "old_from_cache": old.cached}
    totals = [_predicting(outcome.seconds) for outcome in (old, new)]
    return seconds | {"ratio": round(totals[1] / totals[0], 3) if min(totals) > 0 else None}


def _predicting(seconds: dict[str, Any]) -> float:
    """Prompts and queries together; of the command line the whole process."""
    if "prompts" not in seconds:
        return float(seconds.get("process", 0))
    return float(seconds["prompts"] + sum(seconds["queries"]))


def _rounded(seconds: dict[str, Any]) -> dict[str, Any]:
    return {name: [round(one, 2) for one in value] if isinstance(value, list) else round(value, 2)
            for name, value in seconds.items()}  # fmt: skip


def _line(difference: Difference) -> str:
    if difference.dice is not None:
        measure = f"Dice {difference.dice} ({difference.dice_without_flipped_slices} without flipped slices)"
    else:
        measure = f"{difference.decibels} dB, largest difference {difference.largest_difference}"
    slices = f"{len(difference.differing_slices)} of {difference.slices} slices differ"
    return f"{difference.verdict}, {measure}, {slices}, {len(difference.flipped_slices)} flipped"


def summary(requests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts of verdicts over queries, of slices, and the processor seconds of all requests together."""
    queries = [query for request in requests for query in request["queries"]]
    verdicts = [query["verdict"] for query in queries]
    whole = [request for request in requests if "errors" not in request]
    old, new = (sum(_predicting(request["seconds"][who]) for request in whole) for who in ("old", "new"))
    return {
        "identical": verdicts.count("identical"),
        "same": verdicts.count("same"),
        "different": verdicts.count("different"),
        "failed": len(requests) - len(whole),
        "slices": sum(query["slices"] for query in queries),
        "differing_slices": sum(len(query["differing_slices"]) for query in queries),
        "flipped_slices": sum(len(query["flipped_slices"]) for query in queries),
        "old_seconds": round(old, 1),
        "new_seconds": round(new, 1),
        "ratio": round(new / old, 3) if old else None,
    }


if __name__ == "__main__":
    main()
