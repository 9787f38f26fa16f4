"""Runs a suite: learn, ask, measure; each piece of work leaves one file, so that a killed run goes on where it was.

OUTPUT/store/SET          prepared slices, from which methods learn
OUTPUT/learnt/METHOD/...  checkpoints of methods
OUTPUT/lines/JOB.jsonl    what one method said to one task of one set, after learning with one seed
OUTPUT/pictures/*.png     queries, truth and answers side by side
OUTPUT/results.jsonl      a header and all lines, once every job is done; report.html the tables
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import torch

from mvg._atomic import atomic_file
from mvg._plugins import contributions
from mvg.benchmark.checks import check_folder, check_suite
from mvg.benchmark.execution import JUDGE, Execution, ask, asked_first, budget_text, judge_of, learnt
from mvg.benchmark.protocol.cases import EvalCase, chosen_tasks
from mvg.benchmark.protocol.method import plain
from mvg.benchmark.provenance import provenance
from mvg.benchmark.report.contact_sheet import ContactSheet
from mvg.benchmark.report.write import write_report
from mvg.benchmark.resources import check_resources
from mvg.benchmark.suite import Entry, Suite
from mvg.benchmark.synthetic_sets import make_synthetic_sets
from mvg.data import DataSet, open_set, sets_in
from mvg.data import sets as published
from mvg.data.preparation import prepare_sets
from mvg.errors import BenchmarkError, FileError, UnknownNameError
from mvg.imaging.files import read, read_labels
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import Task

Show = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Job:
    """A piece of work: a method that learns with a seed, all tasks (None) or one, or that is asked about one task."""

    entry: Entry
    seed: int
    task: Task | None
    part: Literal["learn", "ask"]

    @property
    def name(self) -> str:
        """Its file's name."""
        parts = (self.entry.label, f"seed{self.seed}", *([self.task.card.name, self.task.name] if self.task else []))
        return "--".join(plain(part) for part in parts)


def run_suite(
    suite: Suite, output: Path, data: Path | None, device: str, processes: int, command: str, show: Show
) -> Path:
    """Run what is not done yet and return the report's path.

    data: the folder of the sets, None where the suite makes its own. processes: jobs at a time; on CUDA they take
    turns on the devices. Raises BenchmarkError where a library, memory or disk is lacking, before anything is learnt.
    """
    check_folder(output)
    sets = found_sets(suite, data, output)
    check_suite(suite, sets, output)
    check_resources(suite, sets, output, processes)
    if any(entry.module.SCOPE != "untrained" for entry in suite.methods):
        prepare_sets(list(sets.values()), output / "store", show)
    tasks = tuple(task for found in sets.values() for task in chosen_tasks(found) if suite.asks(task))
    if not tasks:
        raise BenchmarkError(
            f"no set offers one of the tasks {', '.join(suite.tasks)}", "a task that a set offers", "change the suite"
        )
    place = Execution(suite, output, tuple(sets.items()), tasks, device)
    learning, jobs = _jobs(place)
    asking = [job for job in jobs if not place.lines(job.name).exists()]
    for title, some in (("learning", learning), ("asking", asking)):
        show(title, 0, len(some))
        for done, _ in enumerate(_worked(place, some, processes), start=1):
            show(title, done, len(some))
    return _gather(place, jobs, command)


def found_sets(suite: Suite, data: Path | None, output: Path) -> dict[str, DataSet]:
    """The suite's sets by name. FileError for one that is missing or partial, told by its own layout."""
    if suite.made:
        data = make_synthetic_sets(output / "data")
    if data is None:
        raise BenchmarkError(f"no data for the suite {suite.name}", "a folder of sets", "name it with --data")
    if not data.is_dir():
        raise FileError(f"{data} is not a folder", "a folder of data sets", "check --data")
    if suite.sets:
        return {name: _named_set(name, data / suite.folders.get(name, name), data) for name in suite.sets}
    found = [opened for folder in sorted(data.iterdir()) if folder.is_dir() for opened in _any_sets(folder)]
    if not found:
        raise FileError(
            f"{data} holds no data sets", "one folder per set, for example in the nnU-Net raw layout", "check --data"
        )
    return {opened.card.name: opened for opened in found}


def _named_set(name: str, folder: Path, data: Path) -> DataSet:
    """A set by its name: as its owners publish it, or any folder called so."""
    opened = {found.card.name: found for found in _any_sets(folder)}
    if name in opened:
        return opened[name]
    if name in contributions(published):
        return open_set(name, folder)  # says what is looked for, and where it is to be had
    there = {path.name for path in data.iterdir() if path.is_dir()} if data.is_dir() else set()
    raise UnknownNameError(f"data set in {data}", name, there | set(contributions(published)))


def _any_sets(folder: Path) -> list[DataSet]:
    """The sets in a folder, none where it is no data set; FileError where it is a broken one."""
    known = any(layout.recognises(folder) for layout in contributions(published).values())
    return sets_in(folder) if known else []


def _jobs(place: Execution) -> tuple[list[Job], list[Job]]:
    """What is learnt before anything is asked (generalists, and judges that several jobs share), and what is asked."""
    learning, asking, suite = [], [], place.suite
    for entry in suite.methods:
        trained = entry.module.SCOPE != "untrained"
        for seed in suite.seeds if trained else suite.seeds[:1]:
            if entry.module.SCOPE == "generalist":
                learning.append(Job(entry, seed, None, "learn"))
            asking += [Job(entry, seed, task, "ask") for task in place.tasks if entry.module.serves(task)]
    judges = {(job.seed, judge): None for job in asking if job.task and (judge := judge_of(place, job.task))}
    learning += [Job(JUDGE, seed, judge, "learn") for seed, judge in judges]
    return learning, asking


def _worked(place: Execution, jobs: Sequence[Job], processes: int) -> Iterator[str]:
    """The names of jobs as they are done, `processes` at a time; the first problem ends the run.

    BenchmarkError also where the system ends a worker.
    """
    if processes == 1 or len(jobs) < 2:
        for job in jobs:
            yield _work(place, job, 0)
        return
    spawn = get_context("spawn")
    numbers = spawn.Queue()
    for number in range(processes):
        numbers.put(number)
    with ProcessPoolExecutor(min(processes, len(jobs)), spawn, _start, (processes, numbers)) as pool:
        try:
            waiting = [pool.submit(_work_here, place, job) for job in jobs]
            for future in as_completed(waiting):
                yield future.result()
        except BrokenProcessPool as problem:
            raise BenchmarkError(
                f"one of {processes} workers was ended from outside",
                "memory enough for so many jobs at a time",
                "lower --processes, and run the same command again to go on",
            ) from problem
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start(processes: int, numbers: Any) -> None:
    """In a new worker: its share of the threads, and its number, by which it has a device of its own."""
    global _WORKER
    torch.set_num_threads(max(1, torch.get_num_threads() // processes))
    _WORKER = numbers.get()


_WORKER = 0


def _work_here(place: Execution, job: Job) -> str:
    return _work(place, job, _WORKER)


def _work(place: Execution, job: Job, number: int) -> str:
    """One job: learn, or (having learnt) ask, and write its lines whole or not at all."""
    if job.part == "learn" or job.task is None:
        learnt(place, job.entry, job.seed, job.task, number)
        return job.name
    lines = ask(place, job.entry, job.seed, job.task, job.name, number)
    path = place.lines(job.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return job.name


def _gather(place: Execution, jobs: Sequence[Job], command: str) -> Path:
    """All lines in one file, in the order of the suite, and the page made of it."""
    suite = place.suite
    about: dict[str, Any] = provenance(command, suite.seeds[0]) | {
        "suite": suite.name, "title": suite.title, "axis": suite.axis, "seeds": list(suite.seeds),
        "budget": budget_text(suite), "device": place.device,
    }  # fmt: skip
    results = place.output / "results.jsonl"
    with atomic_file(results) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"header": about}) + "\n")
        for job in jobs:
            file.write(place.lines(job.name).read_text(encoding="utf-8"))
    _picture(place, jobs)
    page = place.output / "report.html"
    write_report(results, page)
    return page


def _picture(place: Execution, jobs: Sequence[Job]) -> None:
    """A sheet per kind of task: the first question of every task, and what every method with the first seed said."""
    for kind in sorted({task.kind for task in place.tasks}):
        sheet = ContactSheet(place.output / "pictures" / f"{kind}.png")
        for task in (found for found in place.tasks if found.kind == kind):
            question = asked_first(place, task)
            mine = [job for job in jobs if job.task == task and job.seed == place.suite.seeds[0]]
            if question is not None:
                answers = {job.entry.label: _read(place.answer(job.name), question) for job in mine}
                sheet.add(question, answers, f"{question.set} {task.name} {question.case}")


def _read(path: Path, question: EvalCase) -> Volume | LabelMap:
    return read_labels(path) if isinstance(question.truth, LabelMap) else read(path)
