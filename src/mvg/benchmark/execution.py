"""One method asked about one task: it learns (or is read back), answers every question, and is measured."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvg.benchmark.protocol.cases import EvalCase, Size, eval_cases
from mvg.benchmark.protocol.method import Method, Request, TrainingData, plain
from mvg.benchmark.protocol.metric import Score
from mvg.benchmark.rivals import unet
from mvg.benchmark.suite import Entry, Suite
from mvg.data import DataSet
from mvg.data.store import Store
from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import Task, tasks_for
from mvg.tasks.kinds.synthesis import Synthesis
from mvg.training.precision import precision_on

_QUESTIONS_SEED = 0  # the same questions for all methods and seeds of learning


@dataclass(frozen=True)
class Execution:
    """Where a suite runs: its output folder, its sets by name, the tasks that are asked, the device ("cuda": all)."""

    suite: Suite
    output: Path
    sets: tuple[tuple[str, DataSet], ...]
    tasks: tuple[Task, ...]
    device: str

    def lines(self, name: str) -> Path:
        """The file of a job."""
        return self.output / "lines" / f"{name}.jsonl"

    def answer(self, name: str) -> Path:
        """The volume that a job answered first."""
        return self.output / "answers" / f"{name}.nii.gz"

    def device_of(self, number: int) -> str:
        """The device of a worker: each has its own while there are enough."""
        name = self.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        return f"cuda:{number % torch.cuda.device_count()}" if name == "cuda" else name


def learnt(place: Execution, entry: Entry, seed: int, task: Task | None, number: int) -> Method:
    """The method after its lesson: all learnt tasks for a generalist, the one task for a specialist."""
    name = "/".join((str(place.output), entry.label, str(seed), *((task.card.name, task.name) if task else ())))
    if name not in _READY:
        _READY.clear()  # one at a time: a method may be large
        _READY[name] = _learn(place, entry, seed, task, number)
    return _READY[name]


_READY: dict[str, Method] = {}


def _learn(place: Execution, entry: Entry, seed: int, task: Task | None, number: int) -> Method:
    suite, module = place.suite, entry.module
    known = (task,) if task is not None else tuple(t for t in place.tasks if t.card.name not in suite.unseen)
    folder = place.output / "learnt" / plain(entry.label) / f"seed{seed}"
    if task is not None:
        folder = folder / task.card.name / plain(task.name)
    store = Store(place.output / "store", {})
    if module.SCOPE != "untrained":
        store = Store.open(place.output / "store")
    served = tuple(t for t in known if module.serves(t))
    budget = suite.budget(len(served))
    device = place.device_of(number)
    lesson = TrainingData(store, served, budget, seed, folder, device, precision_on(device, suite.precision))
    method: Method = module.learn(entry.settings, lesson)
    return method


def asked_first(place: Execution, task: Task) -> EvalCase | None:
    """The question of a task that is shown in pictures."""
    return next(_questions(place, task), None)


def ask(place: Execution, entry: Entry, seed: int, task: Task, name: str, number: int) -> Iterator[dict[str, Any]]:
    """The result lines of a method for a task; the first question's answer is kept as a volume for the pictures."""
    suite, module = place.suite, entry.module
    method = learnt(place, entry, seed, None if module.SCOPE == "generalist" else task, number)
    counts = sorted(suite.prompts, reverse=True) if module.PROMPTED else [0]
    steps = int(getattr(method, "steps", 0))  # none where nothing was learnt here
    segment = _segmentation(place, task, seed, number)
    for place_of, question in enumerate(_questions(place, task)):
        for count in counts:
            start = time.monotonic()
            answer = method(question.request(count or max(suite.prompts)))
            seconds = time.monotonic() - start
            assert answer.shape == question.query.shape, "an answer lies on its query's grid"
            assert np.array_equal(answer.affine, question.query.affine), "an answer has its query's affine"
            if place_of == 0 and count == counts[0]:
                path = place.answer(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                write(answer, path)
            about: dict[str, Any] = {
                "suite": suite.name, "method": entry.label, "baseline": entry.baseline, "scope": module.SCOPE,
                "set": question.set, "case": question.case, "patient": question.patient, "task": task.name,
                "prompts": count, "shown": min(count, len(question.prompts)), "seed": seed,
                "budget": budget_text(suite) if steps else "", "steps": steps, "seconds": round(seconds, 3),
                "unseen": question.set in suite.unseen,
            }  # fmt: skip
            if entry.x is not None:
                about["x"] = entry.x
            estimate = _estimate(method, question.request(count or max(suite.prompts)), answer)
            yield from ({**about, **line} for line in measured(suite, question, answer, segment, estimate))


def measured(
    suite: Suite,
    question: EvalCase,
    answer: Volume | LabelMap,
    segment: Callable[[Volume], LabelMap] | None,
    estimate: Callable[[], float | None] | None,
) -> Iterator[dict[str, Any]]:
    """What every fitting metric of the suite says of an answer, region by region."""
    kind = "labels" if isinstance(question.truth, LabelMap) else "image"
    judged = Score(
        answer, question.truth, question.query.plane, question.card.labels, question.window, question.regions,
        question.labels, segment, estimate,
    )  # fmt: skip
    for metric in suite.judges.values():
        for figure in metric.measure(judged) if metric.answers == kind else ():
            parts = {name: round(value, 5) for name, value in figure.parts.items()}
            yield {
                "metric": metric.name, "region": figure.region, "range": question.range,
                "value": round(figure.value, 5), "parts": parts,
            }  # fmt: skip


def _estimate(method: Method, request: Request, answer: Volume | LabelMap) -> Callable[[], float | None] | None:
    """What the method thinks of its answer, where it can tell: one that has an `estimate(request, answer)`."""
    estimate: Callable[[Request, Volume | LabelMap], float | None] | None = getattr(method, "estimate", None)
    return None if estimate is None else partial(estimate, request, answer)


def budget_text(suite: Suite) -> str:
    """The equal budget, for people."""
    per = " per task" if suite.per == "task" else ""
    if suite.minutes:
        return f"{suite.minutes:g} min{per}"
    return f"{suite.samples} samples{per}" if suite.samples else "none"


def _questions(place: Execution, task: Task) -> Iterator[EvalCase]:
    suite = place.suite
    size = Size(suite.cases or None, suite.slices or None, max(suite.prompts))
    return eval_cases(dict(place.sets)[task.card.name], task, size, _QUESTIONS_SEED)


JUDGE = Entry("unet", "downstream", unet.Settings())
"""The segmentation of real images that says what synthetic ones are good for."""


def judge_of(place: Execution, task: Task) -> Task | None:
    """What the judge of a synthesis learns: the labels of real images of the contrast that is made, where there are any
    and a budget to learn them.
    """
    suite = place.suite
    if not (isinstance(task, Synthesis) and task.goal is not None and "downstream_dice" in suite.judges):
        return None
    wanted = f"segmentation:{task.card.channels[task.goal]}"
    labelled = any(case.labels is not None for case in dict(place.sets)[task.card.name].of_split("val").cases)
    known = [found for found in tasks_for(task.card) if found.name == wanted]
    return known[0] if known and labelled and (suite.minutes or suite.samples) else None


def _segmentation(place: Execution, task: Task, seed: int, number: int) -> Callable[[Volume], LabelMap] | None:
    judge = judge_of(place, task)
    if judge is None:
        return None
    method = _learn(place, JUDGE, seed, judge, number)

    def segment(picture: Volume) -> LabelMap:
        said = method(Request(judge, picture, ()))
        assert isinstance(said, LabelMap)
        return said

    return segment
