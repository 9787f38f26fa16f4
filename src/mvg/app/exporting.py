"""`mvg export-nnunet`: queries and their answers as a raw data set of nnU-Net."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mvg.data.nnunet_export import AnsweredCase, export_nnunet
from mvg.data.sets import nnunet
from mvg.errors import FileError
from mvg.imaging.folder import files_by_name, listed, name_of
from mvg.prediction.prompts.folder import open_prompts
from mvg.prediction.queries import name_of_export, queries_of, volumes_of

_SEGMENTATION = "_seg"  # what `--format dicom-seg` adds to a name


@dataclass(frozen=True)
class Answered:
    """Queries and the folder of their answers; series, volume: which of an export, as `mvg predict` has them."""

    queries: Sequence[Path]
    labels: Path
    series: str = ""
    volume: str = ""


def export_data_set(answered: Answered, output: Path, prompts: Path | None) -> list[str]:
    """Write the data set; returns a line for each label that got another number. Raises MvgErrors."""
    if not answered.labels.is_dir():
        raise FileError(f"no folder '{answered.labels}'", "the folder of the answers", "check the path")
    label_names = {} if prompts is None else open_prompts(prompts).label_names
    regions = nnunet.regions_in(prompts) if prompts is not None and nnunet.recognizes(prompts) else ()
    numbers = export_nnunet(_cases(answered), output, label_names, regions)
    return [f"label {value} is {number} in the data set" for value, number in numbers.items() if value != number]


def _cases(answered: Answered) -> list[AnsweredCase]:
    """Each query with its answer, called as `mvg predict` calls it, or as a segmentation that it writes for DICOM."""
    files = files_by_name(answered.labels)
    queries = {}
    for query in volumes_of(queries_of(answered.queries, answered.series), answered.volume):
        name = query.name or (name_of_export(query.path) if query.path.is_dir() else name_of(query.path))
        if name in queries:
            raise FileError(f"two queries are called '{name}'", "a name for each", "rename one of them")
        queries[name] = query
    predictions = {name: files.get(name) or files.get(f"{name}{_SEGMENTATION}") for name in queries}
    missing = [name for name, path in predictions.items() if path is None]
    if missing:
        choice = "" if answered.volume or answered.series else ", or name the --volume or --series as before"
        raise FileError(
            f"'{answered.labels}' has no answer to {listed(missing)}",
            "a label map with each query's name",
            f"add it{choice}",
        )
    return [
        AnsweredCase(name, query.path, path, query.series)
        for (name, query), path in zip(queries.items(), predictions.values(), strict=True)
        if path is not None
    ]
