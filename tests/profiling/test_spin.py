"""Processor time beside busy processes: the request is valid, and threads are set by the settings alone."""

import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from mvg.imaging.files import read, read_labels
from profiling.spin import busy_processes, make_request, run

_PROGRAM = """
import os, sys, time
(__import__("pathlib").Path(sys.argv[1])).write_text(os.environ.get("OMP_NUM_THREADS", "none"))
if sys.argv[2] == "sleep": time.sleep(60)
while time.process_time() < 0.3: pass
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A stand-in for mvg: notes the number of threads, and computes or sleeps."""
    (tmp_path / "src" / "mvg" / "app").mkdir(parents=True)
    for name in ("mvg/__init__.py", "mvg/app/__init__.py"):
        (tmp_path / "src" / name).touch()
    (tmp_path / "src" / "mvg" / "app" / "cli.py").write_text(_PROGRAM, encoding="utf-8")
    return tmp_path / "src"


def test_the_request_is_that_of_a_hippocampus(tmp_path: Path) -> None:
    command = make_request(tmp_path, 0)
    assert command[:2] == ["predict", str(tmp_path / "query.nii.gz")]
    images = sorted((tmp_path / "images").iterdir())
    assert [path.name for path in images] == ["case0.nii.gz", "case1.nii.gz", "case2.nii.gz"]
    for path in images:
        labels = read_labels(tmp_path / "targets" / path.name)
        assert labels.values == (1, 2)
        assert read(path).voxels[labels.voxels > 0].mean() > read(path).voxels[labels.voxels == 0].mean() + 20
    assert not np.array_equal(read(images[0]).voxels, read(images[1]).voxels)


@pytest.mark.parametrize(("settings", "threads"), [({}, "none"), ({"OMP_NUM_THREADS": "1"}, "1")])
def test_threads_are_set_by_the_settings_alone(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], threads: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    result = run([str(tmp_path / "note"), "compute"], settings, source, limit=60)
    assert (tmp_path / "note").read_text() == threads
    assert result["finished"]
    assert 0.3 <= result["processor_seconds"] < 5


def test_a_run_is_stopped_at_the_limit(source: Path, tmp_path: Path) -> None:
    result = run([str(tmp_path / "note"), "sleep"], {}, source, limit=2)
    assert not result["finished"]
    assert 2 <= result["wall_seconds"] < 20


def test_busy_processes_end_with_the_context() -> None:
    with busy_processes(2) as processes:
        time.sleep(0.5)
        assert [process.poll() for process in processes] == [None, None]
        assert all(seconds > 0 for seconds in map(_processor_seconds, processes))
    assert None not in [process.poll() for process in processes]


def _processor_seconds(process: "subprocess.Popen[bytes]") -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return float(fields[11]) + float(fields[12])
