"""Suites: read as written, or refused in one line."""

from pathlib import Path

import pytest

from mvg._plugins import contributions
from mvg.benchmark import metrics, rivals
from mvg.benchmark.protocol.method import Rival
from mvg.benchmark.protocol.metric import Metric
from mvg.benchmark.suite import read_suite, suite_from
from mvg.errors import FileError, MvgError

SUITES = sorted((Path(__file__).resolve().parents[2] / "suites").glob("*.toml"))
METHOD = {"rival": "mvg", "weights": "tiny"}


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_suite_of_the_project_can_be_read_and_states_its_command(path: Path) -> None:
    suite = read_suite(path)
    text = path.read_text(encoding="utf-8")
    assert f"mvg benchmark suites/{path.name}" in text
    assert suite.name == path.stem
    assert all(entry.module.SCOPE in ("untrained", "generalist", "specialist") for entry in suite.methods)
    is_ready = (entry.module.SCOPE == "untrained" or getattr(entry.options, "weights", "") for entry in suite.methods)
    assert suite.minutes or suite.samples or all(is_ready)


def test_a_method_keeps_its_own_options() -> None:
    suite = suite_from({"methods": [METHOD | {"label": "ours", "members": 3, "x": 2}]}, "one")
    (entry,) = suite.methods
    assert (entry.label, entry.x, entry.options.members, entry.options.weights) == ("ours", 2.0, 3, "tiny")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"methods": [{"rival": "nonesuch"}]}, r"no rival is called 'nonesuch'; expected one of .*copy_prompt"),
        ({"methods": [METHOD], "metrics": ["cosiness"]}, r"no metric is called 'cosiness'; expected one of .*dice"),
        ({"methods": [METHOD], "tasks": ["cooking"]}, r"no kind of task is called 'cooking'.*segmentation"),
        ({"methods": [METHOD], "minuets": 3}, r"unknown key 'minuets'; expected one of .*minutes"),
        ({"methods": [METHOD | {"weihgts": "x"}]}, r"unknown key 'methods\[0\].weihgts'; expected one of .*weights"),
        ({"methods": [METHOD, METHOD]}, "several methods called mvg"),
        ({"methods": [METHOD | {"label": name} for name in ("A + B", "A B", "C")]}, r"methods called A \+ B, A B;"),
        ({"methods": [METHOD | {"x": "fast"}]}, r"methods\[0\].x = 'fast'; expected a number"),
        ({"methods": [METHOD], "minutes": 1, "samples": 1}, "one budget"),
        (
            {"methods": [METHOD], "tasks_by_set": {"a": ["cooking"]}},
            r"no kind of task is called 'cooking'.*segmentation",
        ),
        ({"methods": [METHOD], "prompts": []}, "prompts"),
        ({}, "without methods"),
        ({"methods": [{"baseline": "mvg"}]}, r"unknown key 'methods\[0\].baseline'; expected its new name '.*rival'"),
        ({"methods": [METHOD | {"look": "whole"}]}, r"unknown key 'methods\[0\].look'; expected its new name '.*zoom'"),
        ({"methods": [METHOD | {"share": 0.5}]}, r"'methods\[0\].share'; expected its new name '.*budget_fraction'"),
        ({"methods": [METHOD | {"reject": 0.5}]}, r"'methods\[0\].reject'; expected its new name '.*min_probability'"),
        ({"methods": [METHOD], "made": True}, r"unknown key 'made'; expected its new name '.*synthetic'"),
        ({"methods": [METHOD], "kinds": {}}, r"unknown key 'kinds'; expected its new name '.*tasks_by_set'"),
        ({"methods": [METHOD | {"zoom": "whole"}]}, r"methods\[0\].zoom = 'whole'; expected 'auto' or 'off'"),
    ],
)
def test_impossible_suites_are_refused_in_one_line(table: dict[str, object], message: str) -> None:
    with pytest.raises(MvgError, match=message) as caught:
        suite_from(table, "broken")
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nothing\.toml"):
        read_suite(tmp_path / "nothing.toml")
    (tmp_path / "broken.toml").write_text("methods = [", encoding="utf-8")
    with pytest.raises(FileError, match="is not TOML"):
        read_suite(tmp_path / "broken.toml")


@pytest.mark.parametrize("module", contributions(rivals).values(), ids=lambda module: module.__name__.split(".")[-1])
def test_every_rival_keeps_the_contract(module: object) -> None:
    assert isinstance(module, Rival)
    assert module.Options() == module.Options(), "options are plain values with defaults"


@pytest.mark.parametrize("module", contributions(metrics).values(), ids=lambda module: module.__name__.split(".")[-1])
def test_every_metric_describes_itself(module: object) -> None:
    metric = getattr(module, "METRIC", None)
    assert isinstance(metric, Metric)
    assert metric.definition
    assert metric.aggregation
