"""Batches on workers: the answers of one process, once each, also where workers are lost; parts and their merger."""

import json
import os
import signal
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mvg._plugins import named
from mvg.errors import FileError, ProcessError, PromptError, UnknownNameError
from mvg.imaging.files import write
from mvg.prediction import engines
from mvg.prediction.batch import Job, Outcome, plan, predict_files
from mvg.prediction.engine_choice import EngineChoice, engine_choice, predict_on
from mvg.prediction.engines import ray as ray_engine
from mvg.prediction.engines._scheduler import ATTEMPTS, schedule
from mvg.prediction.engines._worker import WorkerSetup, versions
from mvg.prediction.manifest import checksum
from mvg.prediction.options import PredictionOptions
from mvg.prediction.parts import claimed, merge, part_of
from mvg.prediction.predictor import load
from tests.journeys.conftest import Run
from tests.prediction.scans import scan

QUERIES = 5


class Handle:
    """A worker that is lost at the jobs of some names, so many times."""

    def __init__(self, faults: dict[str, int], log: list[str]) -> None:
        self.faults, self.log = faults, log
        log.append("start")

    def submit(self, job: Job) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        if self.faults.get(job.query.name, 0) > 0:
            self.faults[job.query.name] -= 1
            future.set_exception(RuntimeError("lost"))
        else:
            future.set_result(Outcome(job, (job.output,), None))
        return future

    def stop(self) -> None:
        self.log.append("stop")


def jobs_of(count: int) -> list[Job]:
    return [Job(Path(f"in/{number}.nii"), Path(f"out/{number}.nii")) for number in range(count)]


def test_every_job_has_one_outcome_whoever_is_lost() -> None:
    log: list[str] = []
    faults = {"1.nii": 1, "3.nii": ATTEMPTS - 1, "4.nii": 99}
    outcomes = list(schedule(jobs_of(6), lambda: Handle(faults, log), 2))
    assert sorted(outcome.job.query.name for outcome in outcomes) == [f"{number}.nii" for number in range(6)]
    errors = [outcome.error for outcome in outcomes if outcome.error]
    assert len(errors) == 1
    assert f"lost {ATTEMPTS} times while it predicted 'in/4.nii'" in errors[0]
    assert log.count("start") == log.count("stop") > ATTEMPTS, "lost workers are replaced, and all are stopped"


def test_workers_are_kept_and_no_more_start_than_are_wanted() -> None:
    log: list[str] = []
    assert len(list(schedule(jobs_of(20), lambda: Handle({}, log), 3))) == 20
    assert log == ["start"] * 3 + ["stop"] * 3


@pytest.fixture
def batch(tmp_path: Path) -> tuple[object, ...]:
    """The words of a command that predicts several queries, one of which is broken."""
    image, labels = scan()
    for folder in ("images", "targets"):
        (tmp_path / "prompts" / folder).mkdir(parents=True)
    write(image, tmp_path / "prompts/images/a.nii.gz")
    write(labels, tmp_path / "prompts/targets/a.nii.gz")
    (tmp_path / "queries").mkdir()
    for number in range(QUERIES - 1):
        write(scan(seed=number + 1)[0], tmp_path / f"queries/{number}.nii.gz")
    (tmp_path / "queries/broken.nii.gz").write_bytes(b"no image")
    return (*sorted((tmp_path / "queries").iterdir()), "--prompts", tmp_path / "prompts", "--device", "cpu", "-q")


def record(output: Path) -> dict[str, Any]:
    """The manifest without times."""
    content: dict[str, Any] = json.loads((output / "manifest.json").read_text())
    for entry in content["answers"].values():
        del entry["seconds"], entry["finished"]
    return content


def files(output: Path) -> dict[str, str]:
    return {path.name: checksum(path) for path in output.glob("*.nii.gz")}


@pytest.mark.slow
def test_processes_and_parts_give_the_answers_of_one_process(
    batch: tuple[object, ...], run: Run, tmp_path: Path
) -> None:
    one, many, parts = (tmp_path / name for name in ("one", "many", "parts"))
    assert run("predict", *batch, "--output", one).code == 1
    result = run("predict", *batch, "--output", many, "--workers", 2)
    assert (result.code, "broken.nii.gz" in result.err) == (1, True)
    assert len(files(one)) == QUERIES - 1
    assert files(many) == files(one)
    assert record(many) == record(one)
    assert not list(many.glob(".task-*"))
    for number in range(2):
        run("predict", *batch, "--output", parts, "--num-parts", 2, "--part-id", number)
        if number == 0:
            assert "1 are missing" in run("merge", parts).err
    assert run("merge", parts).code == 0
    assert files(parts) == files(one)
    assert record(parts) == record(one)
    assert list(parts.glob("manifest-part-*")) == []


@dataclass(frozen=True)
class NotedSetup(WorkerSetup):
    """Notes the process whenever the task's file is read."""

    def __getattribute__(self, name: str) -> Any:
        if name == "task_file":
            with Path(os.environ["MVG_TEST_LOADS"]).open("a") as file:
                file.write(f"{os.getpid()}\n")
        return super().__getattribute__(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local", "ray"])
def test_each_worker_loads_weights_and_task_once(
    name: str, batch: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, task_file = tmp_path / "loads", tmp_path / "task.mvgtask"
    monkeypatch.setenv("MVG_TEST_LOADS", str(log))
    image, labels = scan()
    task = load("tiny", "cpu").prompt([image], [labels])
    task.save(task_file)
    queries = [query for query in batch[: QUERIES - 1] if "broken" not in str(query)] * 2
    (tmp_path / "out").mkdir()
    planned = [
        replace(plan([query], tmp_path / "out", "labels")[0], output=tmp_path / "out" / f"{number}.nii.gz")
        for number, query in enumerate(queries)
    ]
    setup = NotedSetup(task_file, "tiny", "cpu", task.options)
    outcomes = list(named(engines, name).run(planned, setup, 2, ""))
    assert [outcome.error for outcome in outcomes] == [None] * len(queries)
    processes = log.read_text().splitlines()
    assert len(queries) > len(processes)
    assert len(set(processes)) == len(processes) == 2, "weights and task are loaded once in each process"
    assert str(os.getpid()) not in processes


def kill_one_actor() -> bool:
    """Kill a process of Ray that runs a worker, where there is one yet."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(b"ray::Worker"):
                os.kill(int(entry.name), signal.SIGKILL)
                return True
        except OSError:  # it ended meanwhile
            continue
    return False


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_answers_with_a_worker_killed(batch: tuple[Any, ...], tmp_path: Path) -> None:
    task = load("tiny", "cpu").prompt([scan()[0]], [scan()[1]])
    queries = list(batch[:QUERIES])
    for name in ("one", "ray"):
        (tmp_path / name).mkdir()
    expected = list(predict_files(task, plan(queries, tmp_path / "one", "labels")))
    jobs = plan(queries, tmp_path / "ray", "labels")
    killed, outcomes = False, []
    for outcome in predict_on(EngineChoice("ray", "", 2, "cpu"), task, jobs, tmp_path / "ray", None):
        outcomes.append(outcome)
        killed = killed or kill_one_actor()
    assert killed
    assert sorted(one.job.query for one in outcomes) == sorted(queries), "nothing lost, nothing twice"
    assert [one.error for one in outcomes if one.error] == [one.error for one in expected if one.error]
    assert files(tmp_path / "ray") == files(tmp_path / "one")


def test_an_address_without_a_cluster_is_an_error(tmp_path: Path) -> None:
    setup = WorkerSetup(tmp_path / "task.mvgtask", "tiny", "cpu", PredictionOptions())
    with pytest.raises(ProcessError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        list(ray_engine.run(jobs_of(1), setup, 1, "127.0.0.1:1"))  # no program listens at port 1


def test_workers_of_other_versions_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class OldCluster:
        """One of its two workers has an older mvg."""

        def remote(self, **options: object) -> Any:
            return lambda function: SimpleNamespace(remote=lambda: None)

        def get(self, references: list[object]) -> list[dict[str, str]]:
            return [dict(versions()) for _ in references[1:]] + [{**versions(), "mvg": "0.0.1"}]

    with pytest.raises(ProcessError, match=r"other versions \(mvg 0\.0\.1 there and"):
        ray_engine._check_versions(OldCluster(), 2)


def test_what_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no engine is called 'slurm'; expected one of local, ray"):
        engine_choice("slurm", 2, "cpu")
    with pytest.raises(PromptError, match="without an address"):
        engine_choice("local=there", 2, "cpu")
    assert engine_choice("local", 1, "cpu").is_this_process
    assert not engine_choice("local", 2, "cpu").is_this_process
    assert not engine_choice("ray", 1, "cpu").is_this_process
    assert engine_choice("ray=host:1", 2, "cpu") == EngineChoice("ray", "host:1", 2, "cpu")
    for number, count in ((2, 2), (None, 3), (-1, 2)):
        with pytest.raises(PromptError, match=r"--part-id .* of --num-parts"):
            part_of(number, count)
    with pytest.raises(FileError, match="holds no part"):
        merge(tmp_path)


def test_two_processes_cannot_predict_one_part(tmp_path: Path) -> None:
    part = part_of(1, 3)
    with claimed(tmp_path, part):
        with claimed(tmp_path, part_of(0, 3)):
            pass
        with (
            pytest.raises(FileError, match=f"part 1 of 3 is being predicted by process {os.getpid()}"),
            claimed(tmp_path, part),
        ):
            pass
    child = os.fork()
    if child == 0:
        with claimed(tmp_path, part):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with claimed(tmp_path, part):  # the killed process has left its mark
        pass
    assert list(tmp_path.iterdir()) == []
