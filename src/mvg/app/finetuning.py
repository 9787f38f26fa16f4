"""`mvg finetune`: a task with an adapter that was trained on a folder of pairs, written with a card that says so."""

from pathlib import Path

from mvg.app.display import OnProgress
from mvg.errors import FileError
from mvg.model.weights import describe_weights
from mvg.prediction.finetuning import Tuning, tune
from mvg.prediction.output_files import output_folder
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.request import DEFAULT_WEIGHTS, PromptSource, prepare_request
from mvg.prediction.task_file import SUFFIX

TASK_FILE = f"task{SUFFIX}"
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
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileError(f"'{output}' exists already", "a new folder", "choose another --output")
    output = output.resolve()
    with output_folder(output):
        task = prepare_request(source, {}, (), on_progress).task
        tuned, tuning = tune(task, seconds, progress=lambda done, total: on_progress("tuning", done, total))
        if tuning.kept:
            tuned.save(output / TASK_FILE)
            card = _card(source, output.name, seconds, tuned, tuning)
            (output / "card.md").write_text(card, encoding="utf-8")
    return tuning


def _card(source: PromptSource, name: str, seconds: float, tuned: PromptedTask, tuning: Tuning) -> str:
    start = tuned.weights or source.weights or DEFAULT_WEIGHTS
    message = tuning.message[0].upper() + tuning.message[1:]
    return _CARD.format(
        name=name, file=TASK_FILE, start=start, minutes=seconds / 60, prompts=source.prompts.name,
        kind=tuned.spec.kind, message=message, card=describe_weights(start).card,
    )  # fmt: skip
