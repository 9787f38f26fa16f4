"""One job of a suite: a method is trained (or loaded), or predicts the cases of one task and is measured."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from mvg.benchmark.protocol.annotated import annotated_request, scored_parts
from mvg.benchmark.protocol.cases import EvalCase, EvalSize, eval_cases
from mvg.benchmark.protocol.method import Method, Request, TrainingData, file_name
from mvg.benchmark.protocol.metric import MetricInput
from mvg.benchmark.resources import begin_peak, peak_mib
from mvg.benchmark.suite import Entry, Suite
from mvg.data import DataSet
from mvg.data.store import Store
from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import Task
from mvg.training.precision import precision_on

Segment = Callable[[Volume], LabelMap]
_CASES_SEED = 0  # the same cases for all methods and training seeds


@dataclass(frozen=True)
class Execution:
    """Where a suite runs: its output folder, its sets by name, the evaluated tasks, the device ("cuda": all)."""

    suite: Suite
    output: Path
    sets: tuple[tuple[str, DataSet], ...]
    tasks: tuple[Task, ...]
    device: str

    def records_file(self, job: "Job") -> Path:
        """The file with the result lines of a job."""
        return self.output / "lines" / f"{job.name}.jsonl"

    def prediction_file(self, job: "Job") -> Path:
        """The file of a job's first prediction."""
        return self.output / "predictions" / f"{job.name}.nii.gz"

    def device_of(self, worker: int) -> str:
        """The device of a worker: each has its own while there are enough."""
        name = self.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        return f"cuda:{worker % torch.cuda.device_count()}" if name == "cuda" else name

    def cases(self, task: Task) -> Iterator[EvalCase]:
        """The evaluation cases of a task."""
        suite = self.suite
        left_out = suite.left_out.get(task.card.name, ())
        size = EvalSize(suite.cases or None, suite.slices or None, max(suite.prompts), left_out)
        return eval_cases(dict(self.sets)[task.card.name], task, size, _CASES_SEED)


@dataclass(frozen=True)
class Job:
    """A method with a seed that is trained on all tasks (task: None) or on one, or that is evaluated on one task."""

    entry: Entry
    seed: int
    task: Task | None
    part: Literal["train", "evaluate"]

    @property
    def name(self) -> str:
        """The name of its files."""
        parts = (self.entry.label, f"seed{self.seed}", *([self.task.card.name, self.task.name] if self.task else ()))
        return "--".join(file_name(part) for part in parts)


def trained(execution: Execution, job: Job, worker: int) -> Method:
    """The method after training: on all trained tasks for a generalist, on the job's task for a specialist.

    The last method is cached, one only: it may be large.
    """
    task = None if job.entry.module.SCOPE == "generalist" else job.task
    key = (execution.output, job.entry.label, job.seed, task)
    if key not in _LAST:
        _LAST.clear()
        _LAST[key] = fit(execution, job.entry, job.seed, task, worker)
    return _LAST[key]


_LAST: dict[tuple[Path, str, int, Task | None], Method] = {}


def fit(execution: Execution, entry: Entry, seed: int, task: Task | None, worker: int) -> Method:
    """Train a method on all trained tasks of the suite (task: None) or on one; finished training is only loaded."""
    suite, module = execution.suite, entry.module
    tasks = (task,) if task is not None else tuple(t for t in execution.tasks if t.card.name not in suite.unseen)
    tasks = tuple(t for t in tasks if entry.serves(t))
    folder = execution.output / "trained" / file_name(entry.label) / f"seed{seed}"
    if task is not None:
        folder = folder / task.card.name / file_name(task.name)
    store = Store(execution.output / "store", {})
    if module.SCOPE != "untrained":
        store = Store.open(execution.output / "store")
    device = execution.device_of(worker)
    precision = precision_on(device, suite.precision)
    data = TrainingData(store, tasks, suite.budget(len(tasks)), seed, folder, device, precision)
    method: Method = module.fit(entry.options, data)
    return method


def evaluate(execution: Execution, job: Job, segment: Segment | None, worker: int) -> Iterator[dict[str, Any]]:
    """The result lines of a job; the prediction of the first case is kept for the contact sheets.

    segment: a segmentation of real images, for metrics that apply it to predicted pictures.
    """
    assert job.task is not None, "a job with a task"
    suite, module = execution.suite, job.entry.module
    method = trained(execution, job, worker)
    if suite.annotated:
        yield from _evaluate_corrections(execution, job, method)
        return
    counts = sorted(suite.prompts, reverse=True) if module.USES_PROMPTS else [0]
    for number, case in enumerate(execution.cases(job.task)):
        for count in counts:
            request = case.request(count or max(suite.prompts))
            is_measured, start = begin_peak(), time.monotonic()
            prediction = method(request)
            seconds = time.monotonic() - start
            memory = {"memory_mib": round(peak_mib())} if is_measured else {}
            _check_grid(prediction, case)
            if number == 0 and count == counts[0]:
                _keep(prediction, execution.prediction_file(job))
            facts = _facts(suite, job, case, method) | {
                "prompts": count, "prompts_used": min(count, len(case.prompts)), "seconds": round(seconds, 3), **memory,
            }  # fmt: skip
            estimate = _estimate(method, request, prediction)
            inputs = MetricInput(
                case.scored(prediction), case.truth, case.query.plane, case.card.labels, case.window, case.regions,
                case.labels, segment, estimate,
            )  # fmt: skip
            yield from ({**facts, **line} for line in measured(suite, case, inputs))


def _evaluate_corrections(execution: Execution, job: Job, method: Method) -> Iterator[dict[str, Any]]:
    """The result lines of a method that corrects: "prompts" and "x" count annotated slices of the query itself."""
    assert job.task is not None, "a job with a task"
    suite = execution.suite
    for number, case in enumerate(execution.cases(job.task)):
        for count in sorted(suite.annotated, reverse=True):
            request, annotator = annotated_request(case, count)
            start = time.monotonic()
            prediction = method(request)
            seconds = time.monotonic() - start
            _check_grid(prediction, case)
            if number == 0 and count == max(suite.annotated):
                _keep(prediction, execution.prediction_file(job))
            facts = _facts(suite, job, case, method) | {
                "prompts": count, "prompts_used": len(annotator.requested), "seconds": round(seconds, 3), "x": count,
            }  # fmt: skip
            for region, predicted, truth in scored_parts(prediction, case, annotator):
                inputs = MetricInput(predicted, truth, case.query.plane, case.card.labels, None, {"whole": None})
                yield from ({**facts, **line, "region": region} for line in measured(suite, case, inputs))


def _check_grid(prediction: Volume | LabelMap, case: EvalCase) -> None:
    assert prediction.shape == case.query.shape, "a prediction lies on its query's grid"
    assert np.array_equal(prediction.affine, case.query.affine), "a prediction has its query's affine"


def _keep(prediction: Volume | LabelMap, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(prediction, path)


def _facts(suite: Suite, job: Job, case: EvalCase, method: Method) -> dict[str, Any]:
    """What the lines of one case have in common."""
    steps = int(getattr(method, "steps", 0))  # methods that were not trained here have none
    facts: dict[str, Any] = {
        "suite": suite.name, "method": job.entry.label, "rival": job.entry.rival, "scope": job.entry.module.SCOPE,
        "set": case.card.name, "case": case.case.name, "patient": case.case.patient, "task": case.task.name,
        "seed": job.seed, "budget": suite.budget_text if steps else "", "steps": steps,
        "unseen": case.card.name in suite.unseen,
    }  # fmt: skip
    return facts if job.entry.x is None else facts | {"x": job.entry.x}


def measured(suite: Suite, case: EvalCase, inputs: MetricInput) -> Iterator[dict[str, Any]]:
    """The scores of all metrics of the suite that can measure the prediction, region by region."""
    for metric in suite.used_metrics.values():
        for score in metric.measure(inputs) if metric.target_type == case.task.spec.target_type else ():
            yield {
                "metric": metric.name, "region": score.region, "range": case.range, "value": round(score.value, 5),
                "parts": {name: round(value, 5) for name, value in score.by_label.items()},
            }  # fmt: skip


def _estimate(method: Method, request: Request, prediction: Volume | LabelMap) -> Callable[[], float | None] | None:
    """The method's own quality estimate of the prediction, where the method has one."""
    estimate: Callable[[Request, Volume | LabelMap], float | None] | None = getattr(method, "estimate", None)
    return None if estimate is None else partial(estimate, request, prediction)
