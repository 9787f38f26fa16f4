"""How good weights are, met as users meet them: files, `mvg.load`, `predictor.prompt`, whole volumes on their own grid.

    python -m benchmarks.quality DATA --weights ID|PATH [--sets ...] [--prompts 1 8] [--cases N] [--slices N]
        [--output FILE]
    python -m benchmarks.quality --table FILE

DATA holds sets in the nnU-Net raw layout. Queries are cases of "val" patients, prompts of "train" patients. Rivals
answer the same queries: `copy` (a prompt's target), `identity` (the query), `mean fill` (voids), and `unet`, a U-Net
trained on that one task for --unet-minutes. FILE: a header line, then one JSON line per case, task, method and metric.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mvg
from benchmarks.measures import likeness, overlaps
from benchmarks.rivals import copied, mean_filled
from benchmarks.summary import table
from benchmarks.unet import Specialist
from mvg.benchmark.provenance import provenance
from mvg.benchmark.questions import Question, Size, chosen_tasks, data_sets, questions
from mvg.benchmark.sheet import Sheet
from mvg.data import DataSet, Store
from mvg.errors import MvgError
from mvg.imaging.volume import LabelMap, Volume
from mvg.model.weights import describe_weights
from mvg.prediction.predictor import Predictor, PromptedTask
from mvg.tasks import Task

Answer = tuple[str, int, Volume | LabelMap]
"""The method, the number of prompts it was to see (0: none), and what it said."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.data is None and options.table is None:
        parser.error("name a folder with data, or --table FILE")
    if options.unet_minutes and options.store is None:
        parser.error("--unet-minutes needs --store, the folder that `mvg prepare` wrote")
    try:
        if options.table:
            print(table(options.table), end="")
        else:
            run(options, sys.argv[1:] if arguments is None else arguments)
    except MvgError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace, words: Sequence[str] = ()) -> None:
    """Judges the weights and writes the result file, line by line."""
    torch.manual_seed(options.seed)
    predictor = mvg.load(options.weights, options.device)
    sheet = Sheet(options.pictures / "quality.png") if options.pictures else None
    store = Store.open(options.store) if options.unet_minutes else None
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("w", encoding="utf-8") as lines:
        lines.write(json.dumps({"header": _header(options, predictor, words)}) + "\n")
        for found in data_sets(options.data, options.sets):
            for task in chosen_tasks(found):
                if options.tasks and task.kind not in options.tasks:
                    continue
                start = time.monotonic()
                specialist = None
                if store is not None and found.card.name in store.sets:
                    specialist = Specialist(task, store.sets[found.card.name], options.unet_minutes, options.seed)
                said = _judge(found, task, predictor, specialist, options, sheet)
                lines.writelines(json.dumps(line) + "\n" for line in said)
                lines.flush()
                print(_progress(found, task, said, time.monotonic() - start), file=sys.stderr, flush=True)


class Prompted:
    """Shows prompts to a predictor, each choice of them once, as long as it is about the same task."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor, self._tasks = predictor, dict[tuple[str, ...], PromptedTask]()

    def __call__(self, question: Question, count: int) -> Volume | LabelMap:
        """The answer of the model that was shown the first `count` prompts."""
        shown = sorted(question.prompts[:count], key=lambda prompt: prompt.case)
        names = tuple(prompt.case for prompt in shown)
        if names not in self._tasks:
            self._tasks[names] = self._predictor.prompt(
                [prompt.image for prompt in shown],
                [prompt.target for prompt in shown],
                question.task.kind,
                num_prompts=count,
                modality=question.request(0).modality,
            )
        return self._tasks[names](question.query).volume


def answers(
    question: Question, prompted: Prompted, specialist: Specialist | None, counts: Sequence[int]
) -> Iterator[Answer]:
    """What every method says to one question; ours with the most prompts comes first."""
    for count in sorted(set(counts), reverse=True):
        yield "mvg", count, prompted(question, count)
        yield "copy", count, copied(question, count)
    if not isinstance(question.truth, LabelMap):
        yield "identity", 0, question.query
    if "void" in question.regions:
        yield "mean fill", 0, mean_filled(question)
    if specialist is not None:
        yield "unet", 0, specialist(question)


def measured(question: Question, answer: Volume | LabelMap) -> dict[str, dict[str, float]]:
    """Figures of an answer by region and metric. The answer must lie on the query's grid, bit for bit."""
    assert answer.shape == question.query.shape
    assert np.array_equal(answer.affine, question.query.affine)
    if isinstance(question.truth, LabelMap):
        return {"whole": overlaps(answer.voxels, question.truth.voxels)}
    assert isinstance(answer, Volume)
    assert question.window is not None
    return likeness(answer, question.truth, question.window, question.query.plane, question.regions)


def _judge(
    found: DataSet, task: Task, predictor: Predictor, specialist: Specialist | None,
    options: argparse.Namespace, sheet: Sheet | None,
) -> list[dict[str, Any]]:  # fmt: skip
    lines: list[dict[str, Any]] = []
    about: dict[str, Any]
    prompted = Prompted(predictor)
    size = Size(options.cases, options.slices, max(options.prompts))
    for number, question in enumerate(questions(found, task, size, options.seed)):
        for place, (method, count, answer) in enumerate(answers(question, prompted, specialist, options.prompts)):
            figures = measured(question, answer)
            about = {"set": question.set, "case": question.case, "patient": question.patient, "task": task.name}
            about |= {"prompts": count, "shown": min(count, len(question.prompts)), "method": method}
            if method == "unet" and specialist is not None:
                about["steps"] = specialist.steps
            for region, values in figures.items():
                for metric, value in values.items():
                    place_in = {"region": region, "range": question.range}
                    lines.append({**about, "metric": metric, "value": round(value, 5), **place_in})
            if sheet is not None and number == 0 and place == 0:
                score = next(iter(next(iter(figures.values())).items()))
                title = f"{question.set} {task.name} {question.case} {score[0]} {score[1]:.3f}"
                sheet.add(question, {method: answer}, title)
    return lines


def _progress(found: DataSet, task: Task, lines: list[dict[str, Any]], seconds: float) -> str:
    """One line for the terminal: the first metric in the first region, by method."""
    if not lines:
        return f"{found.card.name} {task.name}: no patients on both sides"
    first = [line for line in lines if (line["metric"], line["region"]) == (lines[0]["metric"], lines[0]["region"])]
    values: dict[str, list[float]] = {}
    for line in first:
        values.setdefault(f"{line['method']}{line['prompts'] or ''}", []).append(line["value"])
    figures = "  ".join(f"{name} {np.mean(some):.3f}" for name, some in values.items())
    return f"{found.card.name} {task.name}, {lines[0]['metric']} ({lines[0]['region']}): {figures}  [{seconds:.0f} s]"


def _header(options: argparse.Namespace, predictor: Predictor, words: Sequence[str]) -> dict[str, Any]:
    weights = describe_weights(options.weights)
    recipe = [line.strip(" -*|") for line in weights.card.splitlines() if "recipe" in line.lower()]
    return provenance("python -m benchmarks.quality " + " ".join(words), options.seed) | {
        "weights": weights.id,
        "sha256": weights.sha256,
        "recipe": recipe[0] if recipe else "",
        "unet_minutes": options.unet_minutes,
        "device": str(next(predictor.model.parameters()).device),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, help="a folder of sets in the nnU-Net raw layout, or one set")
    parser.add_argument("--weights", default="tiny", help="an id or a folder (default: tiny)")
    parser.add_argument("--sets", nargs="+", default=[], help="only these sets")
    parser.add_argument("--tasks", nargs="+", default=[], help="only these kinds of tasks")
    parser.add_argument("--prompts", nargs="+", type=int, default=[1, 8], help="numbers of prompts (default: 1 8)")
    parser.add_argument("--cases", type=int, help="queries per set and task (default: all)")
    parser.add_argument(
        "--slices", type=int, help="evenly spaced slices of every query volume (default: whole volumes)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--unet-minutes", type=float, default=0, help="train a U-Net per task (default: none)")
    parser.add_argument("--store", type=Path, help="prepared slices to train the U-Net on")
    parser.add_argument("--pictures", type=Path, help="a folder for a sheet of pictures")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/quality.jsonl"))
    parser.add_argument("--table", type=Path, help="print the tables of a result file and stop")
    return parser


if __name__ == "__main__":
    sys.exit(main())
