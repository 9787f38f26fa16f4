"""`mvg finetune`: weights tuned on a folder of pairs, written with a card that says so."""

from pathlib import Path

from mvg.app.display import OnProgress
from mvg.errors import FileError
from mvg.model.weights import describe_weights, save_weights
from mvg.prediction.finetuning import Tuning, tune
from mvg.prediction.output_files import output_folder
from mvg.prediction.predictor import PromptedTask
from mvg.prediction.request import DEFAULT_WEIGHTS, PromptSource, prepare_request

_CARD = """# {name}, tuned

The weights `{start}` tuned for {minutes:.3g} minutes ({steps} steps) on the pairs in `{prompts}` ({kind}), by
`mvg finetune`. The loss of the check was {before:.4f} before and {after:.4f} after. If you pass these weights on, add
the terms of the pairs.

Research use; not a medical device. Below is the card of the weights that the tuning started from.

{card}
"""


def finetune(source: PromptSource, output: Path, seconds: float, on_progress: OnProgress) -> Tuning:
    """Tune on the pairs of a prompt folder; write the weights to the new folder `output` if they became better.

    Raises FileError, before the tuning, for a folder that is not empty or cannot be written, and what
    `prepare_request` raises.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileError(f"'{output}' exists already", "a new folder", "choose another --output")
    output = output.resolve()
    with output_folder(output):
        task = prepare_request(source, {"zoom": "off"}, (), on_progress).task
        tuned, tuning = tune(task, seconds, progress=lambda done, total: on_progress("tuning", done, total))
        if tuning.kept:
            save_weights(tuned.predictor.model, output, _card(source, output.name, seconds, tuned, tuning))
    return tuning


def _card(source: PromptSource, name: str, seconds: float, tuned: PromptedTask, tuning: Tuning) -> str:
    start = source.weights or DEFAULT_WEIGHTS
    return _CARD.format(
        name=name, start=start, minutes=seconds / 60, steps=tuning.steps, prompts=source.prompts.name,
        kind=tuned.spec.kind, before=tuning.before, after=tuning.after, card=describe_weights(start).card,
    )  # fmt: skip
