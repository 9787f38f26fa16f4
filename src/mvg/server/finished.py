"""Finished labels of a task: label files on each study's own grid and the dataset.json of the nnU-Net raw layout."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mvg._atomic import atomic_file
from mvg.imaging.files import stem_of, write
from mvg.imaging.volume import LabelMap
from mvg.server.index import StudyRow
from mvg.server.journal import sync_folder
from mvg.server.task_records import TaskRecord

_OTHER_CHARACTERS = re.compile(r"[^A-Za-z0-9]+")


def case_name(row: StudyRow, name: str | None = None) -> str:
    """The name of a study's files in the task's folder: that of its file and the start of its id, which is unique.

    name: instead of that of its file.
    """
    stem = _OTHER_CHARACTERS.sub("_", stem_of(Path(Path(name or row.file.path).name))).strip("_")[:60]
    return f"{stem or 'study'}_{row.id[:8]}"


def finished_path(folder: Path, row: StudyRow) -> Path:
    """Where the finished labels of a study lie in the folder of a task."""
    return folder / "labelsTr" / f"{case_name(row)}.nii.gz"


def write_finished(folder: Path, row: StudyRow, labels: LabelMap) -> Path:
    """Write finished labels, and wait until they are on disk. Raises FileError."""
    path = finished_path(folder, row)
    path.parent.mkdir(exist_ok=True)
    write(labels, path)
    sync_file(path)
    return path


def sync_file(path: Path) -> None:
    """Wait until a file and its name are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
    sync_folder(path.parent)


def write_dataset(folder: Path, record: TaskRecord, studies: Iterable[tuple[StudyRow, Path]]) -> None:
    """Write dataset.json, so that nnU-Net and mvg find each image where it lies. studies: rows and image paths."""
    cases = {}
    for row, image in studies:
        if finished_path(folder, row).exists():
            label = finished_path(folder, row).relative_to(folder).as_posix()
            cases[case_name(row)] = {"images": [os.path.relpath(image, folder)], "label": label}
    with atomic_file(folder / "dataset.json") as temporary:
        temporary.write_text(json.dumps(description(record, cases), indent=1), encoding="utf-8")


def description(
    record: TaskRecord, cases: dict[str, Any] | None, values: dict[int, int] | None = None
) -> dict[str, Any]:
    """The content of a dataset.json.

    cases: files by case, None where they lie in imagesTr; values: other label values.
    """
    labels: dict[str, int] = {"background": 0}
    for label in record.labels:
        name, number = label.name, 2
        while name in labels:
            name, number = f"{label.name} {number}", number + 1
        labels[name] = (values or {}).get(label.value, label.value)
    facts: dict[str, Any] = {
        "name": record.name, "channel_names": {"0": "image"}, "labels": labels, "file_ending": ".nii.gz",
    }  # fmt: skip
    if cases is not None:
        facts |= {"numTraining": len(cases), "dataset": cases}
    return facts
