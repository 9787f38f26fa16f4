"""A batch that keeps a record: what is done is kept, and a manifest and a page say what was made from what."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import mvg
from mvg.model.generalist import Generalist
from mvg.model.weights import fingerprint
from mvg.prediction.answer_summary import AnswerSummary
from mvg.prediction.batch import Job, Outcome, run_jobs
from mvg.prediction.batch_page import CrossCheck, Line, pictures_in, write_page
from mvg.prediction.engine_choice import EngineChoice, predict_on
from mvg.prediction.manifest import Manifest, checksum, checksums
from mvg.prediction.options import PredictionOptions
from mvg.prediction.parts import WHOLE, Part
from mvg.prediction.prompted_task import PromptedTask

OnSlice = Callable[[Job, int, int], None]
"""Called with a job, the number of its slices that are done, and that of all."""


@dataclass(frozen=True)
class BatchPredictor:
    """What predicts the jobs of a batch, and what its record says of it.

    kind: of the task; weights: the id or path of the model's weights; options: of predictions; predict: the outcomes of
    jobs, as soon as each is there.
    """

    kind: str
    weights: str
    model: Generalist
    options: PredictionOptions
    predict: Callable[[Sequence[Job], OnSlice], Iterator[Outcome]]

    @classmethod
    def of_task(cls, task: PromptedTask, engine: EngineChoice, output: Path) -> "BatchPredictor":
        """A task on an engine; output: the folder, where the task lies while workers need it."""

        def predict(jobs: Sequence[Job], progress: OnSlice) -> Iterator[Outcome]:
            return predict_on(engine, task, jobs, output, progress)

        return cls(task.spec.kind, task.weights, task.model, task.options, predict)


@dataclass
class RecordedBatch:
    """Predicts jobs into a folder with a record of them.

    keeps: whether answers with the same record are kept; inputs: the prompts' files; names: of labels; extra: further
    settings that answers depend on; checks: of the prompts, for the page. part: of the queries, which has a record of
    its own and no page.
    """

    predictor: BatchPredictor
    output: Path
    inputs: Sequence[Path] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    keeps: bool = True
    checks: Sequence[CrossCheck] = ()
    part: Part = WHOLE

    def run(self, jobs: Sequence[Job], progress: OnSlice) -> Iterator[Outcome]:
        """The outcome of each job; those that are done already are kept. The record is written whatever happens."""
        manifest = Manifest(self.output, self._settings(), self.part.manifest)
        outcomes, pictures = list[Outcome](), pictures_in(self.output)

        def kept(job: Job) -> Outcome:
            entry, picture = manifest.entries[job.output.name], pictures.get(job.output.name, "")
            summary = AnswerSummary.restored(entry, picture)
            for line in entry.get("oddities", ()):  # an answer that is kept is as odd as it was
                logging.getLogger("mvg").warning("%s", line)
            return Outcome(job, job.outputs, None, entry.get("quality"), summary, is_kept=True)

        jobs = self.part.of(jobs)
        done = [job for job in jobs if self.keeps and manifest.is_done(job)]
        written = {job.output for job in done}
        remaining = [job for job in jobs if job.output not in written]
        try:
            started = time.monotonic()
            for outcome in chain(run_jobs(done, kept), self.predictor.predict(remaining, progress)):
                outcomes.append(outcome)
                if not outcome.is_kept:
                    manifest.add(outcome, time.monotonic() - started, _details(outcome))
                started = time.monotonic()
                yield outcome
        finally:
            if any(outcome.written for outcome in outcomes):
                manifest.write()
                if self.part == WHOLE:
                    write_page(self.output, self._facts(), [_line(one) for one in outcomes], self.names, self.checks)

    def _settings(self) -> dict[str, Any]:
        predictor = self.predictor
        return {
            "version": mvg.__version__,
            "task": predictor.kind,
            "weights": predictor.weights,
            "weights_sha256": fingerprint(predictor.model),
            "options": asdict(predictor.options),
            "prompts": checksums(self.inputs),
            **self.extra,
        }

    def _facts(self) -> dict[str, str]:
        changed = ", ".join(f"{name} {value}" for name, value in asdict(self.predictor.options).items() if value)
        return {
            "task": self.predictor.kind,
            "weights": self.predictor.weights,
            "prompt files": str(len(self.inputs)),
            "options": changed,
            "finished": datetime.now().isoformat(sep=" ", timespec="minutes"),
        }


def settings_of_files(paths: Mapping[str, Path | None]) -> dict[str, str]:
    """Checksums of files that answers depend on, by the names of options; without those that are None."""
    return {name: checksum(path) for name, path in paths.items() if path is not None and path.is_file()}


def _details(outcome: Outcome) -> dict[str, Any]:
    details = {} if outcome.summary is None else outcome.summary.details
    return details | {"quality": outcome.quality, "oddities": list(outcome.oddities)}


def _line(outcome: Outcome) -> Line:
    return Line(outcome.job.output.name, outcome.summary, outcome.oddities, outcome.error)
