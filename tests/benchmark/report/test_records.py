"""Result files are read, those of earlier versions too; broken ones are refused in one line."""

import json
from pathlib import Path

import pytest

from mvg.benchmark.report.records import read_results
from mvg.benchmark.report.write import tables_markdown, write_report
from mvg.errors import FileError, UnknownNameError
from tests.benchmark.report.result_files import result_lines, write_results

OLD_LINE = {
    "suite": "study", "method": "as shipped", "baseline": "mvg", "scope": "generalist", "set": "acdc", "case": "p12_13",
    "patient": "p12", "task": "segmentation:cine MRI", "prompts": 8, "shown": 4, "seed": 0, "budget": "2.5 min",
    "steps": 488, "seconds": 1.15, "unseen": False, "x": 0.5, "metric": "Dice", "region": "whole", "range": "",
    "value": 0.35753, "parts": {"right ventricle": 0.13056},
}  # fmt: skip


def test_lines_with_the_old_keys_are_read(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps({"header": {"suite": "study"}}) + "\n" + json.dumps(OLD_LINE) + "\n", encoding="utf-8")
    (record,) = read_results(path).records
    assert (record.series, record.prompts, record.prompts_used) == ("mvg", 8, 4)
    assert (record.method, record.metric.name, record.value, record.x) == ("as shipped", "Dice", 0.35753, 0.5)
    assert "uses all that it has" in tables_markdown(path)


def test_lines_with_the_new_keys_give_the_same_record(tmp_path: Path) -> None:
    new = {{"baseline": "rival", "shown": "prompts_used"}.get(key, key): value for key, value in OLD_LINE.items()}
    old_records, new_records = (read_results(write_results(tmp_path, [line])).records for line in (OLD_LINE, new))
    assert old_records == new_records


def test_the_committed_result_files_are_read() -> None:
    files = sorted((Path(__file__).parents[3] / "docs" / "results").glob("*/results.jsonl"))
    assert files
    smallest = min(files, key=lambda file: file.stat().st_size)
    assert "| set |" in tables_markdown(smallest) or "cases (patients)" in tables_markdown(smallest)
    for file in files:
        assert len(read_results(file).records) == len(file.read_text(encoding="utf-8").splitlines()) - 1


@pytest.mark.parametrize("text", ["", "nothing\n", "[1]\n", '{"header": {}}\n', '{"header": {}}\n{"method": "a"}\n'])
def test_files_without_results_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileError, match=r"results\.jsonl"):
        write_report(path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_unknown_metrics_and_missing_files_are_refused(tmp_path: Path) -> None:
    lines = [{**line, "metric": "beauty"} for line in result_lines("a", [1])]
    with pytest.raises(UnknownNameError, match="beauty"):
        tables_markdown(write_results(tmp_path, lines))
    with pytest.raises(FileError, match=r"gone\.jsonl"):
        tables_markdown(tmp_path / "gone.jsonl")
