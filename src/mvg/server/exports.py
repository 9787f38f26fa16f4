"""What leaves the workbench: labels and pictures in each study's own format, and data sets."""

import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from mvg.data.nnunet_export import renumbered
from mvg.errors import FileError
from mvg.imaging.files import read_labels, suffix_of, write
from mvg.imaging.volume import LabelMap, Volume, luminance
from mvg.prediction.batch import plan, scale_of, write_prediction
from mvg.prediction.output_formats import FormatOptions, format_for, is_export
from mvg.prediction.queries import Query
from mvg.prediction.result import Prediction
from mvg.server import index, measurements
from mvg.server.finished import case_name, description, finished_path
from mvg.server.index import StudyRow
from mvg.server.library import Study
from mvg.server.naming import study_name
from mvg.server.refusals import RefusedError, conflict
from mvg.server.task_records import TaskRecord
from mvg.server.workbench import Workbench

_PAGE = 1000
_BY_SUFFIX = FormatOptions()


def exported_file(
    bench: Workbench, study: Study, volume: LabelMap | Volume, record: TaskRecord, form: str | None = None
) -> tuple[str, bytes]:
    """The name and the content of a file with labels or a picture.

    form: the suffix of a format, or the name of one of `mvg predict --format` such as "dicom-seg"; None for the study's
    own, and NIfTI for DICOM. Raises FileError, UnknownNameError, PromptError for a format that does not exist, cannot
    hold the volume or is not of the study; RefusedError for DICOM of an anonymous server.
    """
    prompted = None if record.has_labels else bench.models.prompted(record.id)
    scale = None if prompted is None else scale_of(prompted)
    is_suffix = form is None or form.startswith(".")
    if not is_suffix:
        _check_named(bench, study.row, str(form))
    names = {label.value: label.name for label in record.labels}
    query = Query(bench.library.path(study.row), name=study_stem(bench, study.row))
    with tempfile.TemporaryDirectory(prefix="mvg-") as folder:
        written_as = FormatOptions("" if is_suffix else str(form), names)
        (job,) = plan([query], Path(folder), record.spec.target_type, scale=scale, written_as=written_as)
        if form is not None and is_suffix:
            job = replace(job, output=_with_suffix(job.output, form), written_as=_BY_SUFFIX)
        (path, *_) = write_prediction(Prediction(volume), study.volume, job, scale)
        return path.name, path.read_bytes()


def studies_with_results(bench: Workbench, record: TaskRecord, states: tuple[str, ...]) -> Iterator[StudyRow]:
    """The studies in these states. RefusedError where there is none."""
    empty = True
    for state in states:
        offset = 0
        while rows := bench.index.studies(index.Query(task=record.id, state=state, offset=offset, limit=_PAGE)):
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
    _write_zip(bench, record, studies_with_results(bench, record, states), target)


def write_dicom_zip(form: str, bench: Workbench, record: TaskRecord, states: tuple[str, ...], target: Path) -> None:
    """The labels of all studies that are DICOM as DICOM objects. form: the name of a format of `mvg predict`.

    RefusedError where no study is DICOM.
    """
    rows = [row for row in studies_with_results(bench, record, states) if is_export(bench.library.path(row))]
    if not rows:
        raise conflict("no DICOM study with labels", "studies that are DICOM series", "export all labels instead")
    _write_zip(bench, record, rows, target, form)


def _write_zip(
    bench: Workbench, record: TaskRecord, rows: Iterable[StudyRow], target: Path, form: str | None = None
) -> None:
    names = set[str]()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for row in rows:
            study, volume = result_of(bench, record, row)
            name, content = exported_file(bench, study, volume, record, form)
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


def _check_named(bench: Workbench, row: StudyRow, form: str) -> None:
    """Raises RefusedError for DICOM of other studies, and of a server that hides who the patient is."""
    needs_dicom = format_for(form, Path("x.dcm")).NEEDS_DICOM
    if needs_dicom and not is_export(bench.library.path(row)):
        raise RefusedError(422, f"a study of the format '{row.file.format}' as {form}", "a DICOM study", "use .nii.gz")
    if bench.settings.anonymous and form != "nifti":
        raise RefusedError(
            403, f"the format '{form[:20]}', which may name the patient, of an anonymous server",
            "a server without --anonymous", "export NIfTI, or start the server again",
        )  # fmt: skip


def _with_suffix(path: Path, suffix: str) -> Path:
    if suffix_of(f"x{suffix}") != suffix:
        raise FileError(f"the format '{suffix[:20]}'", "the suffix of a format, such as .nii.gz", "choose one")
    return path.with_name(path.name.removesuffix(suffix_of(path)) + suffix)


def study_stem(bench: Workbench, row: StudyRow) -> str:
    """The name of a study's files without a suffix."""
    name = PurePosixPath(study_name(bench, row)).name
    return (name.removesuffix(suffix_of(name)) or name).replace(" ", "_")
