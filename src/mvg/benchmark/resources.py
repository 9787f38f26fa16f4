"""Whether a suite fits into this machine's memory and disk, estimated before it starts."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from mvg.benchmark.suite import Suite
from mvg.data import DataSet
from mvg.errors import BenchmarkError

_GIB = 2**30
_UNPACKED = 6  # a compressed volume grows so much as prepared slices; a learnt method has its own share
_EACH = 1.5 * _GIB  # of memory per job: libraries, a small network with its optimizer, one batch
_KEPT = 48  # images that a job keeps in memory, besides the prompts of its question
_LARGEST = 12  # times its file: a volume as read, in float32, with its answer


def check_resources(suite: Suite, sets: Mapping[str, DataSet], output: Path, processes: int) -> None:
    """BenchmarkError where the suite would run out of disk or memory; the estimates are generous."""
    sizes = [path.stat().st_size for found in sets.values() for case in found.cases for path in _files(case.images)]
    trained = any(entry.module.SCOPE != "untrained" for entry in suite.methods)
    there = sum(path.stat().st_size for path in (output / "store").rglob("*") if path.is_file())
    learning = sum(entry.learns for entry in suite.methods)
    disk = _GIB / 4 * (1 + learning) + (max(0, _UNPACKED * sum(sizes) - there) if trained else 0)
    free = shutil.disk_usage(output).free
    if free < disk:
        raise BenchmarkError(
            f"{free / _GIB:.1f} GiB free at {output}",
            f"about {disk / _GIB:.1f} GiB for the suite {suite.name}",
            "free space, choose another --output, or name fewer sets",
        )
    kept = sorted(sizes)[-(_KEPT + max(suite.prompts)) :]
    memory = processes * (_EACH + _LARGEST * max(sizes, default=0) + _UNPACKED * sum(kept))
    available = _available()
    if available is not None and available < memory:
        raise BenchmarkError(
            f"{available / _GIB:.1f} GiB of memory available",
            f"about {memory / _GIB:.1f} GiB for {processes} jobs at a time",
            "lower --processes or choose smaller sets",
        )


def _files(paths: tuple[Path, ...]) -> list[Path]:
    """The files behind a case's images: a DICOM series is a folder."""
    return [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path]) if file.is_file()]


def _available() -> float | None:
    """Bytes of memory that can be had; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return float(found[0]) * 1024 if found else None
