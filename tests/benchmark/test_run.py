"""A suite from beginning to end on made data: equal questions, a line per case and metric, resumed after a kill."""

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from mvg.benchmark import resources as room
from mvg.benchmark import run as running
from mvg.benchmark.checks import check_suite
from mvg.benchmark.rivals import copy_prompt
from mvg.benchmark.run import found_sets, run_suite
from mvg.benchmark.suite import Suite, suite_from
from mvg.benchmark.synthetic_sets import make_synthetic_sets
from mvg.data import open_folder
from mvg.errors import BenchmarkError, FileError, MvgError

TABLE: dict[str, Any] = {
    "made": True, "tasks": ["segmentation", "synthesis"], "prompts": [1, 2], "cases": 2, "slices": 2,
    "metrics": ["dice", "mae", "psnr"], "methods": [{"baseline": "copy_prompt"}, {"baseline": "identity"}],
}  # fmt: skip


def run(suite: Suite, output: Path, processes: int = 1) -> list[dict[str, Any]]:
    page = run_suite(suite, output, None, "cpu", processes, "mvg benchmark", lambda _what, _done, _total: None)
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
    assert {line["method"] for line in dice} == {"copy_prompt"}, "the identity answers no segmentation"
    assert {(line["set"], line["prompts"]) for line in dice} == {
        (name, count) for name in ("made_abdomen", "made_heart") for count in (1, 2)
    }
    assert {line["prompts"] for line in lines if line["method"] == "identity"} == {0}
    keys = [(line["method"], line["prompts"], line["set"], line["case"], line["task"], line["metric"], line["region"])
            for line in lines]  # fmt: skip
    assert len(keys) == len(set(keys))


def test_pictures_show_every_kind_of_task(done: tuple[Path, list[dict[str, Any]]]) -> None:
    assert {path.name for path in (done[0] / "pictures").iterdir()} == {"segmentation.png", "synthesis.png"}


def test_a_killed_run_goes_on_and_ends_alike(
    done: tuple[Path, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, turns = copy_prompt.learn, iter(range(100))

    def killed(settings: Any, lesson: Any) -> Any:
        if next(turns) == 2:
            raise KeyboardInterrupt
        return learn(settings, lesson)

    monkeypatch.setattr(copy_prompt, "learn", killed)
    with pytest.raises(KeyboardInterrupt):
        run(suite_from(TABLE, "small"), tmp_path)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "lines").glob("*.jsonl")}
    assert kept
    assert not (tmp_path / "results.jsonl").exists()

    def timeless(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: value for key, value in line.items() if key != "seconds"} for line in lines[1:]]

    assert timeless(run(suite_from(TABLE, "small"), tmp_path)) == timeless(done[1])
    assert {name: (tmp_path / "lines" / name).stat().st_mtime_ns for name in kept} == kept, "done work is not redone"


def test_unseen_sets_are_asked_but_not_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    learn = copy_prompt.learn

    def noted(settings: Any, lesson: Any) -> Any:
        seen.update(task.card.name for task in lesson.tasks)
        return learn(settings, lesson)

    monkeypatch.setattr(copy_prompt, "learn", noted)
    monkeypatch.setattr(copy_prompt, "SCOPE", "generalist")
    table = TABLE | {"sets": ["made_abdomen", "made_heart"], "unseen": ["made_heart"], "tasks": ["segmentation"]}
    table |= {"samples": 1}
    lines = run(suite_from(table, "unseen"), tmp_path)[1:]
    assert seen == {"made_abdomen"}
    assert {(line["set"], line["unseen"]) for line in lines} == {("made_abdomen", False), ("made_heart", True)}


def test_no_data_unknown_sets_and_no_room_are_told_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = suite_from(TABLE, "small")
    with pytest.raises(BenchmarkError, match="--data"):
        found_sets(suite_from(TABLE | {"made": False}, "small"), None, tmp_path)
    with pytest.raises(MvgError, match="nowhere"):
        found_sets(suite_from(TABLE | {"sets": ["nowhere"]}, "small"), None, tmp_path)
    monkeypatch.setattr(room, "_available", lambda: 1e6)
    with pytest.raises(BenchmarkError, match="memory available"):
        run(suite, tmp_path)
    assert not (tmp_path / "lines").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"unseen": ["made_hart"]},
            "no set of the suite is called 'made_hart'; expected one of made_ab",
        ),
        ({"folders": {"made_hart": "x"}}, "made_hart"),
        ({"methods": [{"baseline": "unet"}]}, "methods that learn, and no budget"),
        ({"methods": [{"baseline": "mvg", "recipe": "none.toml"}], "samples": 4}, r"none\.toml"),
        ({"methods": [{"baseline": "mvg", "weights": "none"}]}, "no weights are called 'none'"),
        ({"methods": [{"baseline": "nnunet", "python": "none/bin/python"}], "samples": 4}, "nnunetv2"),
    ],
)
def test_what_methods_need_is_told_before_anything_is_done(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(MvgError, match=told):
        run(suite_from(TABLE | change, "small"), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"data"}


def test_results_of_another_run_are_not_mixed_with(done: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    shutil.copytree(done[0], tmp_path / "out")
    for change in ({"cases": 1}, {"metrics": ["dice"]}, {"prompts": [1]}):
        with pytest.raises(BenchmarkError, match=f"another run: {next(iter(change))} = "):
            run(suite_from(TABLE | change, "small"), tmp_path / "out")
    more = [*TABLE["methods"], {"baseline": "mean_fill"}]
    assert run(suite_from(TABLE | {"methods": more}, "small"), tmp_path / "out"), "a further method may join"


def test_results_from_other_data_are_not_mixed_with(done: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    shutil.copytree(done[0], tmp_path / "out")
    changed = tmp_path / "out/data/made_heart/labelsTr/p00.nii.gz"
    shutil.copy(changed.with_name("p01.nii.gz"), changed)
    with pytest.raises(BenchmarkError, match="another run: other cases of 'made_heart'; expected"):
        run(suite_from(TABLE, "small"), tmp_path / "out")
    note = tmp_path / "out/suite.json"
    older = {key: value for key, value in json.loads(note.read_text()).items() if key in ("suite", "methods")}
    note.write_text(json.dumps(older))
    assert run(suite_from(TABLE, "small"), tmp_path / "out"), "a folder that was noted before goes on"


def test_results_of_other_weights_are_not_mixed_with(tmp_path: Path) -> None:
    suite = suite_from(TABLE | {"methods": [{"baseline": "mvg", "weights": str(tmp_path / "own")}]}, "small")
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


def test_an_output_that_is_no_folder_is_told_before_anything_is_done(tmp_path: Path) -> None:
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
    monkeypatch.setattr(running, "_worked", lambda place, jobs, processes: [])
    with pytest.raises(FileNotFoundError):
        run(suite_from(TABLE, "small"), tmp_path / "out")
    assert (tmp_path / "out/results.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_problem_in_a_worker_is_the_one_line_that_it_is_elsewhere(
    done: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    shutil.copytree(done[0] / "data", tmp_path / "data")
    for image in (tmp_path / "data/made_heart/imagesTr").glob("*_0001.nii.gz"):
        image.write_bytes(b"no image")
    suite = suite_from(TABLE | {"made": False, "tasks": ["synthesis"]}, "small")
    with pytest.raises(FileError, match=r"_0001\.nii\.gz.*cannot be read"):
        run_suite(suite, tmp_path / "out", tmp_path / "data", "cpu", 2, "mvg benchmark", lambda _w, _d, _t: None)


def test_a_worker_that_is_ended_from_outside_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(running, "_work_here", ended)
    monkeypatch.setattr(running, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))
    with pytest.raises(BenchmarkError, match=r"one of 3 workers was ended from outside.*lower --processes"):
        run(suite_from(TABLE, "small"), tmp_path, processes=3)


def test_a_set_may_have_its_own_kinds_of_tasks(tmp_path: Path) -> None:
    lines = run(suite_from(TABLE | {"kinds": {"made_heart": ["segmentation"]}}, "small"), tmp_path)[1:]
    asked = {(line["set"], line["task"].split(":")[0]) for line in lines}
    assert ("made_heart", "synthesis") not in asked
    assert {("made_heart", "segmentation"), ("made_abdomen", "segmentation")} <= asked


def test_sets_that_lie_deeper_or_are_linked_are_learnt_from_too(tmp_path: Path) -> None:
    made = make_synthetic_sets(tmp_path / "made")
    (tmp_path / "data" / "deep").mkdir(parents=True)
    shutil.copytree(made / "made_heart", tmp_path / "elsewhere" / "Dataset007")
    (tmp_path / "data" / "heart").symlink_to(tmp_path / "elsewhere" / "Dataset007")
    table = TABLE | {"made": False, "sets": ["heart"], "tasks": ["segmentation"], "samples": 4,
                     "methods": [{"baseline": "unet", "size": 32, "batch": 2}]}  # fmt: skip
    suite = suite_from(table, "linked")
    run_suite(suite, tmp_path / "out", tmp_path / "data", "cpu", 1, "mvg benchmark", lambda _w, _d, _t: None)
    assert (tmp_path / "out" / "store" / "heart").is_dir()


def test_the_judge_of_synthesis_needs_labels_and_a_budget(tmp_path: Path) -> None:
    table = TABLE | {
        "tasks": ["synthesis"],
        "metrics": ["mae", "downstream_dice"],
        "methods": [{"baseline": "identity"}],
    }
    assert {line["metric"] for line in run(suite_from(table, "plain"), tmp_path / "plain")[1:]} == {"MAE"}


def test_made_sets_can_be_opened_as_any_other(done: tuple[Path, list[dict[str, Any]]]) -> None:
    found = open_folder(done[0] / "data" / "made_abdomen")
    assert found.card.labels == {1: "liver", 2: "kidney"}
    assert found.of_split("train").cases
    assert found.of_split("val").cases


def test_a_broken_set_is_told_and_not_passed_over(done: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    shutil.copytree(done[0] / "data", tmp_path / "data")
    (tmp_path / "data" / "notes").mkdir()
    suite = suite_from(TABLE | {"made": False}, "small")
    assert list(found_sets(suite, tmp_path / "data", tmp_path)) == ["made_abdomen", "made_heart"]
    (tmp_path / "data" / "made_heart" / "dataset.json").write_text("{", encoding="utf-8")
    with pytest.raises(MvgError, match=r"made_heart/dataset\.json cannot be read"):
        found_sets(suite, tmp_path / "data", tmp_path)
