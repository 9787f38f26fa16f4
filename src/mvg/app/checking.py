"""`mvg check`: prompts and queries as prediction would read them, and what is odd about them."""

import json
import logging
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
from mvg.prediction.prompts.prompt_set import prepare
from mvg.prediction.prompts.task_choice import PromptTargets, task_spec
from mvg.prediction.queries import queries_of, volumes_of

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


@dataclass(frozen=True)
class CheckRequest:
    """What is checked: a prompt folder, and queries; task, series and volume are those options of `mvg predict`."""

    prompts: Path
    queries: Sequence[Path] = ()
    task: str | None = None
    series: str = ""
    volume: str = ""


def check(request: CheckRequest) -> CheckReport:
    """Read prompts and queries as prediction would. Raises MvgErrors for prompts that cannot serve."""
    folder = open_prompts(request.prompts, request.task, request.queries)
    if folder.channel and ":" not in (request.task or ""):
        logging.getLogger("mvg").warning(
            "the prompts' channel '%s' is used; --task KIND:CHANNEL chooses another", folder.channel
        )
    spec = task_spec(folder.task).predicted
    pairs = PromptPairs(folder.images, PromptTargets(folder.targets, folder.task), folder.names, folder.modality)
    reader = PairReader(pairs, spec)
    prepared = prepare(reader, SliceLayout(_SIZE))
    reader.report_annotation()
    patients = folder.patients or ("",) * len(reader)
    files = [prompt_facts(reader, number, patient) for number, patient in enumerate(patients)]
    oddities = [("prompts", oddity) for oddity in prompt_oddities(prepared, spec)]
    errors = list[str]()
    for query in volumes_of(queries_of(request.queries, request.series), request.volume):
        name = query.name or query.path.name
        try:
            image = read_channels(query.path, 1, query.series)
            facts, odd = query_facts(name, image, prepared), query_oddities(image, prepared, spec)
        except MvgError as error:
            errors.append(str(error))
            continue
        files.append(facts)
        oddities += [(name, oddity) for oddity in odd]
    return CheckReport(tuple(files), tuple(oddities), tuple(errors))
