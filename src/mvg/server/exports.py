"""What leaves the workbench: labels and pictures in each study's own format, and data sets."""

import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mvg.data.nnunet_export import renumbered
from mvg.errors import FileError
from mvg.imaging.files import read_labels, suffix_of, write
from mvg.imaging.volume import LabelMap, Volume, luminance
from mvg.prediction.batch import plan, scale_of
from mvg.prediction.output_files import write_volume
from mvg.server import measurements
from mvg.server.finished import case_name, description, finished_path
from mvg.server.index import Query, StudyRow
from mvg.server.library import Study
from mvg.server.naming import study_name
from mvg.server.refusals import conflict
from mvg.server.task_records import TaskRecord
from mvg.server.workbench import Workbench

_PAGE = 1000


def exported_file(
    bench: Workbench, study: Study, volume: LabelMap | Volume, record: TaskRecord, suffix: str | None = None
) -> tuple[str, bytes]:
    """The name and the content of a file with labels or a picture. suffix: of the format, None for the study's own.

    Raises FileError for a format that does not exist or cannot hold the volume.
    """
    prompted = None if record.has_labels else bench.models.prompted(record.id)
    scale = None if prompted is None else scale_of(prompted)
    with tempfile.TemporaryDirectory(prefix="mvg-") as folder:
        (job,) = plan([bench.library.path(study.row)], Path(folder), record.spec.target_type, scale=scale)
        path = job.output
        if suffix is not None:
            if suffix_of(f"x{suffix}") != suffix:
                raise FileError(f"the format '{suffix[:20]}'", "the suffix of a format, such as .nii.gz", "choose one")
            path = path.with_name(path.name.removesuffix(suffix_of(path)) + suffix)
        write_volume(volume, path, study.volume, scale)
        return _name(bench, study.row, path), path.read_bytes()


def studies_with_results(bench: Workbench, record: TaskRecord, states: tuple[str, ...]) -> Iterator[StudyRow]:
    """The studies in these states. RefusedError where there is none."""
    empty = True
    for state in states:
        offset = 0
        while rows := bench.index.studies(Query(task=record.id, state=state, offset=offset, limit=_PAGE)):
            empty = False
            yield from rows
            offset += _PAGE
    if empty:
        raise conflict("no study to export", f"studies that are {' or '.join(states)}", "accept a study first")


def result_of(bench: Workbench, record: TaskRecord, row: StudyRow) -> tuple[Study, LabelMap | Volume]:
    """A study and its labels or picture: the accepted ones, else the displayed ones."""
    study = bench.library.study(row.id)
    path = finished_path(bench.records.folder(record.id), row)
    if record.has_labels and row.work.state == "done" and path.exists():
        return study, read_labels(path)
    live = bench.sessions.open(record.id, row.id)
    return study, live.core.labels() if live.has_labels else live.picture()


def write_results_zip(bench: Workbench, record: TaskRecord, states: tuple[str, ...], target: Path) -> None:
    """All results in each study's own format and on its grid, in the folders of the served folder."""
    names = set[str]()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for row in studies_with_results(bench, record, states):
            study, volume = result_of(bench, record, row)
            name, content = exported_file(bench, study, volume, record)
            parent = PurePosixPath(row.file.path).parent if row.file.origin == "folder" else PurePosixPath("uploads")
            full = name if bench.settings.anonymous else str(parent / name)
            if full in names:
                full = str(parent / f"{row.id[:8]}_{name}")
            names.add(full)
            archive.writestr(full, content)


def write_nnunet_zip(bench: Workbench, record: TaskRecord, states: tuple[str, ...], target: Path) -> None:
    """Images and labels as an nnU-Net raw data set; label values become 1, 2, ... in the task's order."""
    if not record.has_labels:
        raise conflict("a task with pictures", "a segmentation", "export the pictures")
    numbered = {value: number for number, value in enumerate(record.values, 1)}
    cases = 0
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive, tempfile.TemporaryDirectory() as folder:
        for row in studies_with_results(bench, record, states):
            study, labels = result_of(bench, record, row)
            assert isinstance(labels, LabelMap), "the task predicts labels"
            name = f"study_{row.id[:8]}" if bench.settings.anonymous else case_name(row)
            path = Path(folder) / "case.nii.gz"
            write(luminance(study.volume), path)
            archive.write(path, f"imagesTr/{name}_0000.nii.gz")
            write(LabelMap(renumbered(labels, numbered), labels.affine, labels.header), path)
            archive.write(path, f"labelsTr/{name}.nii.gz")
            cases += 1
        facts = {**description(record, None, numbered), "numTraining": cases}
        facts["original_label_values"] = {str(number): value for value, number in numbered.items()}
        archive.writestr("dataset.json", json.dumps(facts, indent=1))


def measurement_rows(bench: Workbench, record: TaskRecord, states: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The lines of a table with one row for each label of each study, the names of the columns first."""
    if not record.has_labels:
        raise conflict("a task with pictures", "a segmentation", "export the pictures")
    yield measurements.COLUMNS
    for row in studies_with_results(bench, record, states):
        study, labels = result_of(bench, record, row)
        assert isinstance(labels, LabelMap), "the task predicts labels"
        for label in record.labels:
            facts = measurements.measured(study.volume, labels, label.value, row.file.format)
            yield (study_name(bench, row), row.work.state, label.name, str(label.value), *facts)


def _name(bench: Workbench, row: StudyRow, path: Path) -> str:
    if bench.settings.anonymous or row.file.origin == "upload":
        stem = study_name(bench, row)
        stem = stem.removesuffix(suffix_of(stem)) or stem
        return stem.replace(" ", "_") + suffix_of(path)
    return path.name
