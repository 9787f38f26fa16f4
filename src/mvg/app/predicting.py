"""`mvg predict`: a request, the options, and query files -> answers in a folder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mvg.app.display import OnProgress
from mvg.errors import PromptError
from mvg.prediction.batch import Outcome, plan, predict_files, scale_of, write_qualities
from mvg.prediction.finetuning import tune
from mvg.prediction.quality import quality
from mvg.prediction.request import Request


@dataclass(frozen=True)
class OutputOptions:
    """What is wanted besides answers: uncertainty and quality written too, seconds of tuning, the task saved."""

    uncertainty: bool
    quality: bool
    tuning: float
    save_task: Path | None


@dataclass(frozen=True)
class BatchReport:
    """What became of the queries, the files that were written, and lines for who wants to know more."""

    outcomes: tuple[Outcome, ...]
    written: tuple[Path, ...]
    notes: tuple[str, ...]


def answer_files(
    request: Request,
    queries: Sequence[Path],
    output: Path,
    used: dict[str, Any],
    wishes: OutputOptions,
    show: OnProgress,
) -> BatchReport:
    """Answer all queries; `used`: what of the settings was asked for, see `PromptedTask.using` (None: as they are).

    Options are looked at before anything is learnt or written. Raises MvgErrors.
    """
    answers = request.task.spec.target_type
    _check(used, wishes, answers)
    changed = {name: value for name, value in used.items() if value is not None} | {"uncertainty": wishes.uncertainty}
    task, notes = request.task.with_options(replace(request.task.options, **changed)), []
    extras = [name for name in ("uncertainty", "quality") if getattr(wishes, name)]
    jobs = plan(queries, output, answers, request.inputs, extras, scale_of(task))
    if request.channel:
        notes.append(f"of the prompts' channels '{request.channel}' was shown; --task KIND:CHANNEL names another")
    if wishes.tuning:
        task, said = tune(task, wishes.tuning, progress=lambda done, total: show("tuning", done, total))
        notes.append(said.message)
    if wishes.save_task is not None:
        task.save(wishes.save_task)
    outcomes = list[Outcome]()
    told = predict_files(
        task, jobs, lambda job, done, total: show(job.query.name, done, total), quality if wishes.quality else None
    )
    for outcome in told:
        outcomes.append(outcome)
        show("queries", len(outcomes), len(jobs))
    noted = write_qualities(output, outcomes) if wishes.quality else ()
    written = (*(path for outcome in outcomes for path in outcome.written), *noted)
    return BatchReport(tuple(outcomes), written, tuple(notes))


def _check(used: dict[str, Any], wishes: OutputOptions, answers: str) -> None:
    """Raises PromptError for options that do not go together, or do nothing where the answers are pictures."""
    if wishes.tuning and wishes.save_task is not None:
        raise PromptError(
            "--save-task with --tune", "one of them", "tune with 'mvg finetune' and save a task for those weights"
        )
    for name in ("zoom", "propagate", "min_probability"):
        if answers == "image" and used[name] is not None:
            option = "--" + name.replace("_", "-")
            raise PromptError(
                f"{option} for a task that answers with pictures", "a segmentation", f"leave {option} out"
            )
