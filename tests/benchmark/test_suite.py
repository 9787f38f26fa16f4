"""Suites: read as written, or refused in one line."""

from pathlib import Path

import pytest

from mvg._plugins import contributions
from mvg.benchmark import metrics
from mvg.benchmark import rivals as baselines
from mvg.benchmark.protocol.method import Rival
from mvg.benchmark.protocol.metric import Metric
from mvg.benchmark.suite import read_suite, suite_from
from mvg.errors import FileError, MvgError

SUITES = sorted((Path(__file__).resolve().parents[2] / "suites").glob("*.toml"))
METHOD = {"baseline": "mvg", "weights": "tiny"}


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_suite_of_the_project_can_be_read_and_says_how_it_is_run(path: Path) -> None:
    suite = read_suite(path)
    text = path.read_text(encoding="utf-8")
    assert f"mvg benchmark suites/{path.name}" in text
    assert suite.name == path.stem
    assert all(entry.module.SCOPE in ("untrained", "generalist", "specialist") for entry in suite.methods)
    ready = (entry.module.SCOPE == "untrained" or getattr(entry.settings, "weights", "") for entry in suite.methods)
    assert suite.minutes or suite.samples or all(ready)


def test_a_method_keeps_its_own_settings() -> None:
    suite = suite_from({"methods": [METHOD | {"label": "ours", "members": 3, "x": 2}]}, "one")
    (entry,) = suite.methods
    assert (entry.label, entry.x, entry.settings.members, entry.settings.weights) == ("ours", 2.0, 3, "tiny")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"methods": [{"baseline": "nonesuch"}]}, r"no baseline is called 'nonesuch'; expected one of .*copy_prompt"),
        ({"methods": [METHOD], "metrics": ["cosiness"]}, r"no metric is called 'cosiness'; expected one of .*dice"),
        ({"methods": [METHOD], "tasks": ["cooking"]}, r"no kind of task is called 'cooking'.*segmentation"),
        ({"methods": [METHOD], "minuets": 3}, r"unknown key 'minuets'; expected one of .*minutes"),
        ({"methods": [METHOD | {"weihgts": "x"}]}, r"unknown key 'methods\[0\].weihgts'; expected one of .*weights"),
        ({"methods": [METHOD, METHOD]}, "several methods called mvg"),
        ({"methods": [METHOD | {"label": name} for name in ("A + B", "A B", "C")]}, r"methods called A \+ B, A B;"),
        ({"methods": [METHOD | {"x": "fast"}]}, r"methods\[0\].x = 'fast'; expected a number"),
        ({"methods": [METHOD], "minutes": 1, "samples": 1}, "one budget"),
        ({"methods": [METHOD], "kinds": {"a": ["cooking"]}}, r"no kind of task is called 'cooking'.*segmentation"),
        ({"methods": [METHOD], "prompts": []}, "prompts"),
        ({}, "without methods"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(table: dict[str, object], told: str) -> None:
    with pytest.raises(MvgError, match=told) as caught:
        suite_from(table, "broken")
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nothing\.toml"):
        read_suite(tmp_path / "nothing.toml")
    (tmp_path / "broken.toml").write_text("methods = [", encoding="utf-8")
    with pytest.raises(FileError, match="is not TOML"):
        read_suite(tmp_path / "broken.toml")


@pytest.mark.parametrize("module", contributions(baselines).values(), ids=lambda module: module.__name__.split(".")[-1])
def test_every_baseline_keeps_the_contract(module: object) -> None:
    assert isinstance(module, Rival)
    assert module.Settings() == module.Settings(), "settings are plain values with defaults"


@pytest.mark.parametrize("module", contributions(metrics).values(), ids=lambda module: module.__name__.split(".")[-1])
def test_every_metric_says_what_it_is(module: object) -> None:
    metric = getattr(module, "METRIC", None)
    assert isinstance(metric, Metric)
    assert metric.library
    assert metric.aggregation
