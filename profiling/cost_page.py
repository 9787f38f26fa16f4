"""Writes docs/results/cost.md, what quality costs, from committed result files.

python -m profiling.cost_page

Suites' first lines name their commits. Intervals are bootstrap intervals by patient.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mvg.benchmark.statistics import interval
from profiling.committed import RESULTS, groups, in_words, measured, suite_lines

PAGE = RESULTS / "cost.md"

_HEAD = """# What quality costs

What reviewers of the paper asked for: mean IoU of segmentation against time and memory, for prompts, zoom, ensembles,
precision, joining along the volume, size of the network, and how it learned. The first table is one run of one suite;
the others go further into one question, and each names its commit, weights and machine: compare within a table.
Brackets are 95 % bootstrap intervals by patient over few patients, so they are wide. Written by
`python -m profiling.cost_page` from committed files.
"""

_END = """
## What else is known

- *Planes.* Predictions along all three planes of near-isotropic volumes, averaged, gained .004 on hippocampus at three
  times the cost (pilot, [log](../log.md)).
- *Options*, and equal minutes instead of equal samples: [options](options/report.html),
  [ablation_cost](ablation_cost/report.html), [ablation_objective](ablation_objective/report.html), of older weights.
- *The paper's size.* `profiling/results/speed-paper-size.json` has seconds; nobody trained it here, so its quality is
  not known.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page in Markdown."""
    parts = [_HEAD]
    parts += _suite(
        "cost",
        "One suite",
        "Six sets, three cases each, six slices a query. The first methods are the weights that ship, used in "
        "several ways; without other words, a query slice is shown as many prompt slices as there are prompt cases "
        "(`mvg predict` shows at least eight). The others learn from nothing, from equally many query slices, and "
        "answer whole slices, LA and chest X-rays unseen: autoregressively, from hidden patches (MIM, half of "
        "them), from both in turn, and with other sizes of the network. Memory is the peak of the whole process, "
        "Python and PyTorch included.",
    )
    parts += [*_joining(measured("through-plane.json")), *_large_requests()]
    parts += _suite(
        "prompts", "Prompt cases, 1 to 32", "Five sets, six cases each, eight slices a query, weights of that commit."
    )
    return "\n".join(parts) + _END


def _joining(content: Mapping[str, Any]) -> Iterator[str]:
    """What joining along the volume gains in each set, and its share of the time."""
    header, cases = content["header"], content["cases"]
    yield (
        f"## Joining along the volume\n\nWeights that ship, whole volumes, {header['cpu']}, one thread "
        "(`profiling/results/through-plane.json`); the time of a set's first query, which encodes prompts, is in.\n"
    )
    yield "| | patients | IoU, slice by slice | gain | HD95, mm | processor seconds a query | of which joining |"
    yield "|---|---|---|---|---|---|---|"
    for name in [*dict.fromkeys(case["set"] for case in cases), "all"]:
        part = [
            {"set": case["set"], "patient": case["case"], "case": case["case"]}
            | {"off": case["off"]["iou"], "gain": case["auto"]["iou"] - case["off"]["iou"]}
            | {key: case[key] for key in ("seconds", "joining")}
            for case in cases
            if name in (case["set"], "all")
        ]
        hd95 = content["sets"]["mean" if name == "all" else name]["hd95"]
        seconds, averaging = (interval(groups(part, key)).mean for key in ("seconds", "joining"))
        cells = [
            name, str(len(part)),
            in_words(interval(groups(part, "off"))), in_words(interval(groups(part, "gain")), "+.3f"),
            f"{hd95['off']:.1f} to {hd95['auto']:.1f}", f"{seconds:.1f}", f"{averaging:.2f}",
        ]  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    yield ""


def _large_requests() -> Iterator[str]:
    """Time and memory of large requests; a single query each, so without intervals."""
    yield (
        "## Large requests\n\nEight prompt volumes and 13 classes, BTCV enlarged, one thread; one query each, so there "
        "is no interval.\n"
    )
    yield "| slices | commit | processor seconds | peak memory, MiB |\n|---|---|---|---|"
    for name in ("pipeline-32-slices.json", "pipeline.json"):
        request = measured(name)
        run = request["runs"]["new, one thread"]
        rows, columns, slices = request["sides"]
        memory = run.get("memory_mib", {}).get("peak", "not measured")
        cells = [f"{slices} of {rows} x {columns}", request["provenance"]["commit"][:8]]
        yield f"| {' | '.join([*cells, str(run['processor_seconds']['total']), str(memory)])} |"
    yield ""


def _suite(folder: str, title: str, about: str) -> Iterator[str]:
    """The mean IoU, seconds and memory of a query of every method of a suite, for every number of prompts."""
    header, rows = suite_lines(folder)
    rows = [row for row in rows if row["metric"] == "IoU" and row["task"].startswith("segmentation")]
    budget = "" if header["budget"] == "none" else f", budget {header['budget']}"
    yield (
        f"## {title}\n\n{about} [{folder}]({folder}/report.html) at {header['commit'][:8]}, {header['cpu']}, "
        f"load {header['load']}{budget}; wall-clock seconds.\n"
    )
    has_memory = all("memory_mib" in row for row in rows)
    yield "| | prompt cases | IoU | seconds a query |" + " most memory, MiB |" * has_memory
    yield "|---|---|---|---|" + "---|" * has_memory
    for method in dict.fromkeys(row["method"] for row in rows):
        for count in sorted({row["prompts"] for row in rows}):
            chosen = [row for row in rows if row["method"] == method and row["prompts"] == count]
            if chosen:
                iou = in_words(interval(groups(chosen, "value")))
                line = f"| {method} | {count} | {iou} | {in_words(interval(groups(chosen, 'seconds')), '.2f')} |"
                yield line + (f" {max(row['memory_mib'] for row in chosen)} |" if has_memory else "")
    yield ""


if __name__ == "__main__":
    main()
