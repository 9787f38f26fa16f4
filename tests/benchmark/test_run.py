"""A suite from beginning to end on synthetic data: equal cases, a line per case and metric, continued after a kill."""

import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from mvg.benchmark import resources, workers
from mvg.benchmark import run as running
from mvg.benchmark.checks import check_suite
from mvg.benchmark.find_sets import sets_of
from mvg.benchmark.rivals import copy_prompt
from mvg.benchmark.run import RunSettings, run_suite
from mvg.benchmark.suite import Suite, suite_from
from mvg.benchmark.synthetic_sets import make_synthetic_sets
from mvg.data import open_folder
from mvg.errors import BenchmarkError, FileError, MvgError
from tests.prediction.learner import tiny_config

TABLE: dict[str, Any] = {
    "synthetic": True, "tasks": ["segmentation", "synthesis"], "prompts": [1, 2], "cases": 2, "slices": 2,
    "metrics": ["dice", "mae", "psnr"], "methods": [{"rival": "copy_prompt"}, {"rival": "identity"}],
}  # fmt: skip


def run(suite: Suite, output: Path, processes: int = 1) -> list[dict[str, Any]]:
    page = run_suite(suite, RunSettings(output, None, "cpu", processes, "mvg benchmark"))
    assert page.read_text(encoding="utf-8").startswith("<!")
    return [json.loads(line) for line in (output / "results.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    output = tmp_path_factory.mktemp("done")
    return output, run(suite_from(TABLE, "small"), output)


def test_every_case_metric_and_method_has_its_line(done: tuple[Path, list[dict[str, Any]]]) -> None:
    header, *lines = done[1]
    assert {"command", "commit", "seed", "budget", "suite"} <= set(header["header"])
    dice = [line for line in lines if line["metric"] == "Dice"]
    assert {line["method"] for line in dice} == {"copy_prompt"}, "the identity does not segment"
    assert {(line["set"], line["prompts"]) for line in dice} == {
        (name, count) for name in ("synthetic_abdomen", "synthetic_heart") for count in (1, 2)
    }
    assert {line["prompts"] for line in lines if line["method"] == "identity"} == {0}
    if Path("/proc/self/clear_refs").exists():
        assert all(100 < line["memory_mib"] < 20_000 for line in lines)
    keys = [(line["method"], line["prompts"], line["set"], line["case"], line["task"], line["metric"], line["region"])
            for line in lines]  # fmt: skip
    assert len(keys) == len(set(keys))


def test_pictures_show_every_kind_of_task(done: tuple[Path, list[dict[str, Any]]]) -> None:
    assert {path.name for path in (done[0] / "pictures").iterdir()} == {"segmentation.png", "synthesis.png"}


def test_a_killed_run_continues_with_the_same_results(
    done: tuple[Path, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, turns = copy_prompt.fit, iter(range(100))

    def killed(options: Any, data: Any) -> Any:
        if next(turns) == 2:
            raise KeyboardInterrupt
        return fit(options, data)

    monkeypatch.setattr(copy_prompt, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        run(suite_from(TABLE, "small"), tmp_path)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "lines").glob("*.jsonl")}
    assert kept
    assert not (tmp_path / "results.jsonl").exists()

    def timeless(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        of_the_run = ("seconds", "memory_mib")
        return [{key: value for key, value in line.items() if key not in of_the_run} for line in lines[1:]]

    assert timeless(run(suite_from(TABLE, "small"), tmp_path)) == timeless(done[1])
    assert {name: (tmp_path / "lines" / name).stat().st_mtime_ns for name in kept} == kept, "done work is not redone"


def test_unseen_sets_are_evaluated_but_not_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained_sets: set[str] = set()
    fit = copy_prompt.fit

    def noted(options: Any, data: Any) -> Any:
        trained_sets.update(task.card.name for task in data.tasks)
        return fit(options, data)

    monkeypatch.setattr(copy_prompt, "fit", noted)
    monkeypatch.setattr(copy_prompt, "SCOPE", "generalist")
    table = TABLE | {
        "sets": ["synthetic_abdomen", "synthetic_heart"],
        "unseen": ["synthetic_heart"],
        "tasks": ["segmentation"],
    }
    table |= {"samples": 1}
    lines = run(suite_from(table, "unseen"), tmp_path)[1:]
    assert trained_sets == {"synthetic_abdomen"}
    assert {(line["set"], line["unseen"]) for line in lines} == {
        ("synthetic_abdomen", False),
        ("synthetic_heart", True),
    }


def test_missing_data_unknown_sets_and_too_little_memory_stop_the_run_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = suite_from(TABLE, "small")
    with pytest.raises(BenchmarkError, match="--data"):
        sets_of(suite_from(TABLE | {"synthetic": False}, "small"), None, tmp_path)
    with pytest.raises(MvgError, match="nowhere"):
        sets_of(suite_from(TABLE | {"sets": ["nowhere"]}, "small"), None, tmp_path)
    monkeypatch.setattr(resources, "_available_memory", lambda: 1e6)
    with pytest.raises(BenchmarkError, match="memory available"):
        run(suite, tmp_path)
    assert not (tmp_path / "lines").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"unseen": ["synthetic_hart"]},
            "no set of the suite is called 'synthetic_hart'; expected one of synthetic_ab",
        ),
        ({"folders": {"synthetic_hart": "x"}}, "synthetic_hart"),
        ({"left_out": {"synthetic_hart": ["p01"]}}, "no set of the suite is called 'synthetic_hart'"),
        ({"left_out": {"synthetic_heart": ["p01", "q01"]}}, "left_out of synthetic_heart names 'q01', which the set"),
        ({"methods": [{"rival": "unet"}]}, "methods that train, and no budget"),
        ({"methods": [{"rival": "mvg", "recipe": "none.toml"}], "samples": 4}, r"none\.toml"),
        ({"methods": [{"rival": "mvg", "weights": "none"}]}, "no weights are called 'none'"),
        ({"methods": [{"rival": "nnunet", "python": "none/bin/python"}], "samples": 4}, "nnunetv2"),
    ],
)
def test_what_methods_lack_stops_the_run_at_once(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(MvgError, match=message):
        run(suite_from(TABLE | change, "small"), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"data"}


def test_results_of_another_run_are_not_mixed(done: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    shutil.copytree(done[0], tmp_path / "out")
    for change in ({"cases": 1}, {"metrics": ["dice"]}, {"prompts": [1]}):
        with pytest.raises(BenchmarkError, match=f"another run: {next(iter(change))} = "):
            run(suite_from(TABLE | change, "small"), tmp_path / "out")
    more = [*TABLE["methods"], {"rival": "mean_fill"}]
    assert run(suite_from(TABLE | {"methods": more}, "small"), tmp_path / "out"), "a further method may join"


def test_results_from_other_data_are_not_mixed(done: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    shutil.copytree(done[0], tmp_path / "out")
    changed = tmp_path / "out/data/synthetic_heart/labelsTr/p00.nii.gz"
    shutil.copy(changed.with_name("p01.nii.gz"), changed)
    with pytest.raises(BenchmarkError, match="another run: other cases of 'synthetic_heart'; expected"):
        run(suite_from(TABLE, "small"), tmp_path / "out")
    note = tmp_path / "out/suite.json"
    old = {key: value for key, value in json.loads(note.read_text()).items() if key in ("suite", "methods")}
    note.write_text(json.dumps(old))
    assert run(suite_from(TABLE, "small"), tmp_path / "out"), "a folder of an earlier version continues"


def test_results_of_other_weights_are_not_mixed(tmp_path: Path) -> None:
    suite = suite_from(TABLE | {"methods": [{"rival": "mvg", "weights": str(tmp_path / "own")}]}, "small")
    for content in (b"some", b"other"):
        (tmp_path / "own").mkdir(exist_ok=True)
        (tmp_path / "own/model.safetensors").write_bytes(content)
        about = {"format": 1, "config": {}, "sha256": hashlib.sha256(content).hexdigest()}
        (tmp_path / "own/config.json").write_text(json.dumps(about))
        if content == b"some":
            check_suite(suite, {}, tmp_path)
            check_suite(suite, {}, tmp_path)
    with pytest.raises(BenchmarkError, match="other weights of 'mvg'"):
        check_suite(suite, {}, tmp_path)


def test_an_output_that_is_no_folder_stops_the_run_at_once(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    for output in (tmp_path / "taken", tmp_path / "taken/out"):
        with pytest.raises(FileError, match=r"taken.*--output"):
            run(suite_from(TABLE, "small"), output)


def test_results_are_written_whole_or_not_at_all(
    done: tuple[Path, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(done[0], tmp_path / "out")
    before = (tmp_path / "out/results.jsonl").read_bytes()
    max((tmp_path / "out/lines").iterdir()).unlink()
    monkeypatch.setattr(running, "done_jobs", lambda execution, jobs, processes: [])
    with pytest.raises(FileNotFoundError):
        run(suite_from(TABLE, "small"), tmp_path / "out")
    assert (tmp_path / "out/results.jsonl").read_bytes() == before


@pytest.mark.slow
def test_an_error_in_a_worker_is_the_same_as_elsewhere(done: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    shutil.copytree(done[0] / "data", tmp_path / "data")
    for image in (tmp_path / "data/synthetic_heart/imagesTr").glob("*_0001.nii.gz"):
        image.write_bytes(b"no image")
    suite = suite_from(TABLE | {"synthetic": False, "tasks": ["synthesis"]}, "small")
    with pytest.raises(FileError, match=r"_0001\.nii\.gz.*cannot be read"):
        run_suite(suite, RunSettings(tmp_path / "out", tmp_path / "data", "cpu", 2, "mvg benchmark"))


def test_a_worker_that_is_ended_from_outside_gives_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(workers, "_do_job_here", ended)
    monkeypatch.setattr(workers, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))
    with pytest.raises(BenchmarkError, match=r"one of 3 workers was ended from outside.*lower --processes"):
        run(suite_from(TABLE, "small"), tmp_path, processes=3)


def test_a_set_may_have_its_own_kinds_of_tasks(tmp_path: Path) -> None:
    lines = run(suite_from(TABLE | {"tasks_by_set": {"synthetic_heart": ["segmentation"]}}, "small"), tmp_path)[1:]
    evaluated = {(line["set"], line["task"].split(":")[0]) for line in lines}
    assert ("synthetic_heart", "synthesis") not in evaluated
    assert {("synthetic_heart", "segmentation"), ("synthetic_abdomen", "segmentation")} <= evaluated


def test_sets_in_deeper_or_linked_folders_are_used_for_training(tmp_path: Path) -> None:
    made = make_synthetic_sets(tmp_path / "made")
    (tmp_path / "data" / "deep").mkdir(parents=True)
    shutil.copytree(made / "synthetic_heart", tmp_path / "elsewhere" / "Dataset007")
    (tmp_path / "data" / "heart").symlink_to(tmp_path / "elsewhere" / "Dataset007")
    table = TABLE | {"synthetic": False, "sets": ["heart"], "tasks": ["segmentation"], "samples": 4,
                     "methods": [{"rival": "unet", "size": 32, "batch": 2}]}  # fmt: skip
    suite = suite_from(table, "linked")
    run_suite(suite, RunSettings(tmp_path / "out", tmp_path / "data", "cpu", 1, "mvg benchmark"))
    assert (tmp_path / "out" / "store" / "heart").is_dir()


def test_without_a_budget_downstream_dice_is_that_of_the_weights_that_ship(tmp_path: Path) -> None:
    table = TABLE | {
        "tasks": ["synthesis"],
        "metrics": ["mae", "downstream_dice"],
        "methods": [{"rival": "identity"}],
    }
    lines = run(suite_from(table, "plain"), tmp_path / "plain")[1:]
    assert {line["metric"] for line in lines} == {"MAE", "downstream Dice"}
    assert all(0 <= line["value"] <= 1 for line in lines if line["metric"] == "downstream Dice")


def test_synthetic_sets_can_be_opened_as_any_other(done: tuple[Path, list[dict[str, Any]]]) -> None:
    data = open_folder(done[0] / "data" / "synthetic_abdomen")
    assert data.card.labels == {1: "liver", 2: "kidney"}
    assert data.of_split("train").cases
    assert data.of_split("val").cases


def test_a_broken_set_is_an_error_and_not_skipped(done: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    shutil.copytree(done[0] / "data", tmp_path / "data")
    (tmp_path / "data" / "notes").mkdir()
    suite = suite_from(TABLE | {"synthetic": False}, "small")
    assert list(sets_of(suite, tmp_path / "data", tmp_path)) == ["synthetic_abdomen", "synthetic_heart"]
    (tmp_path / "data" / "synthetic_heart" / "dataset.json").write_text("{", encoding="utf-8")
    with pytest.raises(MvgError, match=r"synthetic_heart/dataset\.json cannot be read"):
        sets_of(suite, tmp_path / "data", tmp_path)


def test_a_new_kind_of_task_in_one_file_is_evaluated(tmp_path: Path, new_kind: Callable[..., None]) -> None:
    new_kind("brightening")
    methods = [
        {"rival": "copy_prompt"}, {"rival": "identity"}, {"rival": "mean_fill"}, {"rival": "mvg", "weights": "tiny"},
        {"rival": "unet", "size": 32, "batch": 2, "widths": [4, 8, 8]},
    ]  # fmt: skip
    table = TABLE | {"tasks": ["brightening"], "methods": methods, "prompts": [1], "cases": 1, "samples": 2}
    lines = run(suite_from(table, "new"), tmp_path / "out")[1:]
    assert {line["task"] for line in lines} == {"brightening:first"}
    assert {line["method"] for line in lines} == {"copy_prompt", "identity", "mvg", "unet"}
    assert {(line["metric"], line["region"]) for line in lines} == {
        (metric, region) for metric in ("MAE", "PSNR") for region in ("body", "whole")
    }
    assert all(line["value"] > 0 for line in lines)
    assert (tmp_path / "out" / "pictures" / "brightening.png").is_file()


def test_a_new_kind_of_task_with_two_images_is_evaluated(tmp_path: Path, new_kind: Callable[..., None]) -> None:
    new_kind("brightening", inputs=2)
    model = tiny_config().as_dict() | {"inputs": 2}
    changes = {"model": model, "episodes": {"batch": 1, "panels": [2, 2]}}
    methods = [{"rival": "mvg", "label": "two images", "changes": changes}, {"rival": "mvg", "weights": "tiny"}]
    table = TABLE | {"tasks": ["brightening"], "methods": methods, "prompts": [1], "cases": 1, "samples": 2}
    lines = run(suite_from(table, "new"), tmp_path / "out")[1:]
    assert {line["task"] for line in lines} == {"brightening:first"}
    assert {line["method"] for line in lines} == {"two images"}, "the shipped weights take one image"
    assert (tmp_path / "out" / "pictures" / "brightening.png").is_file()
