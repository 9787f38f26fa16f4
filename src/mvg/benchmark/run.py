"""Runs a suite: train, evaluate, report. Each job leaves one file, so that an interrupted run continues.

OUTPUT/store/SET           prepared slices, from which methods learn
OUTPUT/trained/METHOD/...  checkpoints of methods
OUTPUT/lines/JOB.jsonl     results of one method with one seed on one task of one set
OUTPUT/predictions/        the first prediction of every job
OUTPUT/pictures/*.png      queries, truth and predictions side by side
OUTPUT/results.jsonl       a header and all lines, once every job is done; report.html shows them
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvg._atomic import atomic_file
from mvg.benchmark import downstream
from mvg.benchmark.checks import check_folder, check_suite
from mvg.benchmark.execution import Execution, Job
from mvg.benchmark.find_sets import sets_of
from mvg.benchmark.provenance import provenance
from mvg.benchmark.report.contact_sheet import ContactSheet
from mvg.benchmark.report.write import write_report
from mvg.benchmark.resources import check_resources
from mvg.benchmark.suite import Suite
from mvg.benchmark.workers import done_jobs
from mvg.data.preparation import prepare_sets
from mvg.errors import BenchmarkError
from mvg.imaging.files import read, read_labels
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import Task

ShowProgress = Callable[[str, int, int], None]
"""(title, jobs done, jobs in all)."""


@dataclass(frozen=True)
class RunSettings:
    """How a suite is run.

    output: folder of the results. data: folder of the sets, None where the suite makes its own. processes: jobs at a
    time; on CUDA they take turns on the devices. command: what the user typed, for the results' header.
    """

    output: Path
    data: Path | None = None
    device: str = "auto"
    processes: int = 1
    command: str = ""


def run_suite(suite: Suite, settings: RunSettings, show: ShowProgress = lambda *_: None) -> Path:
    """Do the jobs that are not done yet and return the report's path.

    Raises BenchmarkError before anything is trained if a library, memory or disk space is missing.
    """
    output = settings.output
    check_folder(output)
    sets = sets_of(suite, settings.data, output)
    check_suite(suite, sets, output)
    check_resources(suite, sets, output, settings.processes)
    if any(entry.module.SCOPE != "untrained" for entry in suite.methods):
        prepare_sets(list(sets.values()), output / "store", show)
    tasks = tuple(task for data_set in sets.values() for task in suite.tasks_of(data_set))
    if not tasks:
        raise BenchmarkError(
            f"no set offers one of the tasks {', '.join(suite.tasks)}", "a task that a set offers", "change the suite"
        )
    execution = Execution(suite, output, tuple(sets.items()), tasks, settings.device)
    training, evaluation = _jobs(execution)
    open_jobs = [job for job in evaluation if not execution.records_file(job).exists()]
    for title, jobs in (("training", training), ("evaluating", open_jobs)):
        show(title, 0, len(jobs))
        for done, _ in enumerate(done_jobs(execution, jobs, settings.processes), start=1):
            show(title, done, len(jobs))
    return _report(execution, evaluation, settings.command)


def _jobs(execution: Execution) -> tuple[list[Job], list[Job]]:
    """Training that comes first (generalists, and segmentations that several jobs share), and evaluation."""
    training, evaluation, suite = [], [], execution.suite
    for entry in suite.methods:
        is_untrained = entry.module.SCOPE == "untrained"
        for seed in suite.seeds[:1] if is_untrained else suite.seeds:
            if entry.module.SCOPE == "generalist":
                training.append(Job(entry, seed, None, "train"))
            tasks = (task for task in execution.tasks if entry.serves(task))
            evaluation += [Job(entry, seed, task, "evaluate") for task in tasks]
    shared: dict[tuple[int, Task], None] = {}
    for job in evaluation:
        if job.task and (task := downstream.downstream_task(execution, job.task)):
            shared[job.seed, task] = None
    training += [Job(downstream.ENTRY, seed, task, "train") for seed, task in shared]
    return training, evaluation


def _report(execution: Execution, jobs: Sequence[Job], command: str) -> Path:
    """Write all result lines to one file, in the order of the suite, and the page."""
    suite = execution.suite
    header: dict[str, Any] = provenance(command, suite.seeds[0]) | {
        "suite": suite.name, "title": suite.title, "axis": suite.axis, "seeds": list(suite.seeds),
        "budget": suite.budget_text, "device": execution.device,
    }  # fmt: skip
    results = execution.output / "results.jsonl"
    with atomic_file(results) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"header": header}) + "\n")
        for job in jobs:
            file.write(execution.records_file(job).read_text(encoding="utf-8"))
    _draw_contact_sheets(execution, jobs)
    page = execution.output / "report.html"
    write_report(results, page)
    return page


def _draw_contact_sheets(execution: Execution, jobs: Sequence[Job]) -> None:
    """A sheet per kind of task: the first case of every task, with the predictions of all methods' first seeds."""
    for kind in sorted({task.kind for task in execution.tasks}):
        sheet = ContactSheet(execution.output / "pictures" / f"{kind}.png")
        for task in (task for task in execution.tasks if task.kind == kind):
            case = next(execution.cases(task), None)
            if case is not None:
                task_jobs = [job for job in jobs if job.task == task and job.seed == execution.suite.seeds[0]]
                files = {job.entry.label: execution.prediction_file(job) for job in task_jobs}
                predictions = {label: _read_like(case.truth, path) for label, path in files.items()}
                sheet.add(case, predictions, f"{case.card.name} {task.name} {case.case.name}")


def _read_like(truth: Volume | LabelMap, path: Path) -> Volume | LabelMap:
    return read_labels(path) if isinstance(truth, LabelMap) else read(path)
