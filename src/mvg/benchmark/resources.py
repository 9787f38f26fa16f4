"""Whether a suite fits into this machine's memory and disk, estimated before it starts, and what predictions take."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from mvg.benchmark.protocol.pairs import CACHED_FILES
from mvg.benchmark.suite import Suite
from mvg.data import DataSet
from mvg.errors import BenchmarkError
from mvg.prediction.huge_pages import return_memory

_GIB = 2**30
_UNPACKED = 6  # times its file: a compressed volume as prepared slices
_JOB = 1.5 * _GIB  # memory of a job: libraries, a small network with its optimizer, one batch
_CHECKPOINTS = _GIB / 4  # disk of a trained method
_LARGEST = 12  # times its file: a volume in memory, in float32, with its prediction


def check_resources(suite: Suite, sets: Mapping[str, DataSet], output: Path, processes: int) -> None:
    """BenchmarkError if the suite would run out of disk space or memory; the estimates are generous."""
    sizes = [path.stat().st_size for data in sets.values() for case in data.cases for path in _files(case.images)]
    _check_disk(suite, sum(sizes), output)
    cached = sorted(sizes)[-(CACHED_FILES + max(suite.prompts)) :]
    needed = processes * (_JOB + _LARGEST * max(sizes, default=0) + _UNPACKED * sum(cached))
    available = _available_memory()
    if available is not None and available < needed:
        raise BenchmarkError(
            f"{available / _GIB:.1f} GiB of memory available",
            f"about {needed / _GIB:.1f} GiB for {processes} jobs at a time",
            "lower --processes or choose smaller sets",
        )


def _check_disk(suite: Suite, data_size: int, output: Path) -> None:
    is_prepared = any(entry.module.SCOPE != "untrained" for entry in suite.methods)
    present = sum(path.stat().st_size for path in (output / "store").rglob("*") if path.is_file())
    trainings = sum(entry.is_trained for entry in suite.methods)
    needed = _CHECKPOINTS * (1 + trainings) + (max(0, _UNPACKED * data_size - present) if is_prepared else 0)
    free = shutil.disk_usage(output).free
    if free < needed:
        raise BenchmarkError(
            f"{free / _GIB:.1f} GiB free at {output}",
            f"about {needed / _GIB:.1f} GiB for the suite {suite.name}",
            "free space, choose another --output, or name fewer sets",
        )


def begin_peak() -> bool:
    """Forget the process's peak of memory, so that `peak_mib` is of what comes next; False where that is impossible.

    What was freed before, by training perhaps, is given back to the system first.
    """
    if not return_memory():
        return False
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:  # not Linux, or not allowed
        return False
    return True


def peak_mib() -> float:
    """The most memory (MiB) that the process has held since `begin_peak`."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024


def _files(paths: tuple[Path, ...]) -> list[Path]:
    """The files of a case's images; a DICOM series is a folder."""
    return [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path]) if file.is_file()]


def _available_memory() -> float | None:
    """Bytes of available memory; None where the system does not report it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return float(values[0]) * 1024 if values else None
