"""`mvg export-nnunet`: queries and their answers as a raw data set of nnU-Net."""

from collections.abc import Sequence
from pathlib import Path

from mvg.data.nnunet_export import AnsweredCase, export_nnunet
from mvg.data.sets import nnunet
from mvg.errors import FileError
from mvg.imaging.folder import files_by_name, listed, name_of
from mvg.prediction.prompts.folder import open_prompts


def export_data_set(queries: Sequence[Path], labels: Path, output: Path, prompts: Path | None) -> list[str]:
    """Write the data set; returns a line for each label that got another number. Raises MvgErrors."""
    if not labels.is_dir():
        raise FileError(f"no folder '{labels}'", "the folder of the answers", "check the path")
    files = files_by_name(labels)
    names = [name_of(query) for query in queries]
    missing = [name for name in names if name not in files]
    if missing:
        raise FileError(
            f"'{labels}' has no answer to {listed(missing)}", "a label map with each query's name", "add it"
        )
    cases = [AnsweredCase(name, query, files[name]) for name, query in zip(names, queries, strict=True)]
    label_names = {} if prompts is None else open_prompts(prompts).label_names
    regions = nnunet.regions_in(prompts) if prompts is not None and nnunet.recognizes(prompts) else ()
    numbers = export_nnunet(cases, output, label_names, regions)
    return [f"label {value} is {number} in the data set" for value, number in numbers.items() if value != number]
