"""`mvg finetune`: a task with an adapter that was trained on a folder of pairs, written with a card that says so."""

from pathlib import Path

from mvg._atomic import atomic_file, is_temporary
from mvg.app.display import OnProgress
from mvg.errors import FileError
from mvg.model.weights import describe_weights
from mvg.prediction.finetuning import Tuning, tune
from mvg.prediction.output_files import output_folder
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.request import DEFAULT_WEIGHTS, PromptSource, prepare_request
from mvg.prediction.task_file import SUFFIX

TASK_FILE = f"task{SUFFIX}"
_CARD_FILE = "card.md"
_MADE_BY = "by `mvg finetune`"
_CARD = """# {name}, tuned

`{file}` holds the pairs of `{prompts}` ({kind}) as prompts, and an adapter that was trained on them for {minutes:.3g}
minutes by `mvg finetune`. It corrects the predictions of the weights `{start}`, which stay as they are and are not in
the file. {message}. If you pass the file on, add the terms of the pairs.

Research use; not a medical device. Below is the card of the weights.

{card}
"""


def finetune(source: PromptSource, output: Path, seconds: float, on_progress: OnProgress) -> Tuning:
    """Tune on the pairs of a prompt folder; write a task file to the new folder `output` if predictions became better.

    Raises FileError, before the tuning, for a folder that is not empty or cannot be written, and what
    `prepare_request` raises.
    """
    if output.exists() and (not output.is_dir() or _is_in_use(output)):
        raise FileError(f"'{output}' exists already", "a new folder", "choose another --output")
    output = output.resolve()
    with output_folder(output):
        task = prepare_request(source, {}, (), on_progress).task
        tuned, tuning = tune(task, seconds, progress=lambda done, total: on_progress("tuning", done, total))
        if tuning.kept:
            with atomic_file(output / _CARD_FILE) as temporary:
                temporary.write_text(_card(source, output.name, seconds, tuned, tuning), encoding="utf-8")
            tuned.save(output / TASK_FILE)  # last: a folder with a task is complete
    return tuning


def _is_in_use(folder: Path) -> bool:
    """Whether a folder holds anything but what a killed run leaves: temporary folders, and a card without a task."""
    paths = [path for path in folder.iterdir() if not is_temporary(path)]
    card = folder / _CARD_FILE
    return paths not in ([], [card]) or (paths == [card] and _MADE_BY not in card.read_text(encoding="utf-8"))


def _card(source: PromptSource, name: str, seconds: float, tuned: PromptedTask, tuning: Tuning) -> str:
    start = tuned.weights or source.weights or DEFAULT_WEIGHTS
    message = tuning.message[0].upper() + tuning.message[1:]
    return _CARD.format(
        name=name, file=TASK_FILE, start=start, minutes=seconds / 60, prompts=source.prompts.name,
        kind=tuned.spec.kind, message=message, card=describe_weights(start).card,
    )  # fmt: skip
