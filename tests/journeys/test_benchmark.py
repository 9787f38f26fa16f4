"""The smoke suite by the command line: every kind of method is trained, predicts and is measured, on synthetic data."""

import json
import subprocess
import sys
from pathlib import Path

SUITE = Path(__file__).resolve().parents[2] / "suites" / "smoke.toml"


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mvg.app.cli", "benchmark", *words], capture_output=True, text=True, check=False
    )


def test_the_smoke_suite_runs_from_nothing_to_its_page(tmp_path: Path) -> None:
    done = command(str(SUITE), "--output", str(tmp_path / "smoke"), "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "smoke" / "report.html")
    page = (tmp_path / "smoke" / "report.html").read_text(encoding="utf-8")
    _, *lines = [json.loads(line) for line in (tmp_path / "smoke" / "results.jsonl").read_text().splitlines()]
    methods = {line["method"] for line in lines}
    assert methods == {"mvg tiny", "mvg trained", "unet", "universeg", "copy_prompt", "identity"}
    assert all(method in page for method in methods)
    assert {line["method"] for line in lines if line["steps"]} == {"mvg trained", "unet", "universeg"}
    dice = [line["value"] for line in lines if line["method"] == "mvg tiny" and line["metric"] == "Dice"]
    assert sum(dice) / len(dice) > 0.5, "the shipped weights find bright ellipses"
    again = command(str(SUITE), "--output", str(tmp_path / "smoke"), "--device", "cpu")
    assert again.returncode == 0, again.stderr


def test_errors_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text('methods = [{ rival = "nonesuch" }]', encoding="utf-8")
    result = command(str(tmp_path / "broken.toml"))
    assert result.returncode == 2
    assert result.stderr.startswith("mvg: no rival is called 'nonesuch'; expected one of ")
    assert result.stderr.count("\n") == 1
    (tmp_path / "paper.toml").write_text('sets = ["word"]\nmethods = [{ rival = "copy_prompt" }]', encoding="utf-8")
    result = command(str(tmp_path / "paper.toml"), "--data", str(tmp_path), "--output", str(tmp_path / "out"))
    assert result.returncode == 2
    assert "WORD" in result.stderr
    assert result.stderr.count("\n") == 1
