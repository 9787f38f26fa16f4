"""`mvg check`: prompts and queries as prediction would read them, and what is odd about them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mvg.errors import MvgError
from mvg.prediction.file_facts import FileFacts, prompt_facts, query_facts
from mvg.prediction.oddities import Oddity, prompt_oddities, query_oddities
from mvg.prediction.prompts.channels import read_channels
from mvg.prediction.prompts.cutting import SliceLayout
from mvg.prediction.prompts.folder import open_prompts
from mvg.prediction.prompts.pairs import PairReader, PromptPairs
from mvg.prediction.prompts.prompt_set import PromptSet, prepare
from mvg.prediction.prompts.task_choice import PromptTargets, task_spec
from mvg.prediction.queries import queries_of
from mvg.tasks import TaskSpec

_SIZE = 128  # of the squares that are compared


@dataclass(frozen=True)
class CheckReport:
    """What was read, what is odd (with the name of the file, or "prompts"), and what could not be read."""

    files: tuple[FileFacts, ...]
    oddities: tuple[tuple[str, Oddity], ...]
    errors: tuple[str, ...]

    def as_json(self) -> str:
        """All of it, for programs."""
        odd = [{"file": name, **asdict(oddity)} for name, oddity in self.oddities]
        files = [asdict(file) for file in self.files]
        return json.dumps({"files": files, "oddities": odd, "errors": self.errors}, indent=1)

    def lines(self) -> Iterator[str]:
        """All of it, for people."""
        for file in self.files:
            yield from file.lines()
        for name, oddity in self.oddities:
            yield f"odd: {name}: {oddity.message}"


def check(prompts: Path, queries: Sequence[Path], task: str | None) -> CheckReport:
    """Read a prompt folder, and queries if there are any. Raises MvgErrors for prompts that cannot serve."""
    folder = open_prompts(prompts, task, queries)
    spec = task_spec(folder.task)
    pairs = PromptPairs(folder.images, PromptTargets(folder.targets, folder.task), folder.names, folder.modality)
    reader = PairReader(pairs, spec)
    prepared = prepare(reader, SliceLayout(_SIZE))
    reader.report_annotation()
    patients = folder.patients or ("",) * len(reader)
    files = [prompt_facts(reader, number, patient) for number, patient in enumerate(patients)]
    oddities = [("prompts", oddity) for oddity in prompt_oddities(prepared, spec)]
    errors = list[str]()
    for query in queries_of(queries):
        try:
            facts, odd = _checked(query.path, query.series, prepared, spec)
        except MvgError as error:
            errors.append(str(error))
            continue
        files.append(facts)
        oddities += [(query.path.name, oddity) for oddity in odd]
    return CheckReport(tuple(files), tuple(oddities), tuple(errors))


def _checked(path: Path, series: str, prompts: PromptSet, spec: TaskSpec) -> tuple[FileFacts, tuple[Oddity, ...]]:
    image = read_channels(path, 1, series)
    return query_facts(path.name, image, prompts), query_oddities(image, prompts, spec)
