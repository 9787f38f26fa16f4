"""The program that measures joining along the volume."""

import json
from pathlib import Path

import numpy as np
import pytest

from profiling.through_plane import main, roughness, summary
from tests.data.folders import apart, make_mri


def test_roughness_counts_voxels_that_differ_from_both_neighbors() -> None:
    inside = np.zeros((5, 4, 4), bool)
    inside[:, :2] = True
    assert roughness(inside) == 0
    inside[2, 0, 0], inside[2, 3, 3] = False, True  # a hole and a speck
    assert roughness(inside) == pytest.approx(2 / 40)


def test_summary_weighs_sets_alike() -> None:
    def row(name: str, off: float, auto: float) -> dict[str, object]:
        return {"set": name, "off": {"iou": off}, "auto": {"iou": auto}, "seconds": 3.0, "joining": 1.0}

    result = summary([row("one", 0.4, 0.5), row("one", 0.6, 0.9), row("two", 0.1, 0.2)])
    assert result["one"]["iou"] == {"off": 0.5, "auto": 0.7}
    assert result["one"]["times_the_time"] == 1.5
    assert result["mean"]["iou"] == {"off": 0.3, "auto": 0.45}


def test_program_writes_its_result(tmp_path: Path) -> None:
    cases = {f"pat{number}": (32, 32, 4) for number in range(20)}
    make_mri(tmp_path / "heads", cases, shifts=apart(cases))
    main([str(tmp_path / "heads"), "--cases", "1", "--prompts", "2", "--output", str(tmp_path / "out.json")])
    result = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert result["sets"]["heads"]["cases"] == 1
    assert 0 <= result["cases"][0]["auto"]["dice"] <= 1
    assert str(tmp_path) not in json.dumps(result)
