"""The measurements of the workbench in small: they run."""

from pathlib import Path

from profiling.workbench import Plan, measure
from tests.server.processes import toy_weights


def test_all_figures(tmp_path: Path) -> None:
    result = measure(Plan((32, 32, 6), 2, str(toy_weights(tmp_path))))
    assert result["first_answer"].keys() == {"slices_beside_seconds", "whole_volume_seconds", "processor_seconds"}
    assert 0 < result["strokes"]["median_ms"] <= result["strokes"]["slowest_ms"]
    assert result["sessions"]["count"] == 2
    assert result["sessions"]["peak_memory_mib"] > 50
