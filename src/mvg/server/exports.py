"""What leaves the workbench: labels and pictures in each study's own format, data sets, measurements."""

import tempfile
from pathlib import Path

from mvg.errors import FileError
from mvg.imaging.files import suffix_of
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.batch import plan, scale_of
from mvg.prediction.output_files import write_volume
from mvg.server.api.access import study_name
from mvg.server.library import Study
from mvg.server.task_records import TaskRecord
from mvg.server.workbench import Workbench


def exported_file(
    bench: Workbench, study: Study, volume: LabelMap | Volume, record: TaskRecord, suffix: str | None
) -> tuple[str, bytes]:
    """The name and the content of a file with labels or a picture. suffix: of the format, None for the study's own."""
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
        name = path.name
        if bench.settings.anonymous:
            name = study_name(bench, study.row).replace(" ", "_") + suffix_of(path)
        return name, path.read_bytes()
