"""`mvg finetune`: weights tuned on a folder of pairs, written with a card that says so."""

from pathlib import Path

from mvg.app.display import OnProgress
from mvg.errors import FileError
from mvg.model.weights import describe_weights, save_weights
from mvg.prediction.batch import output_folder
from mvg.prediction.finetuning import Tuning, tune
from mvg.prediction.request import DEFAULT_WEIGHTS, prepare_request

_CARD = """# {name}, tuned

The weights `{start}` tuned for {minutes:.3g} minutes ({steps} steps) on the pairs in `{prompts}` ({kind}), by
`mvg finetune`. The loss of the check was {before:.4f} before and {after:.4f} after. Whoever passes these weights on
adds the terms of the pairs.

Research use; not a medical device. What follows is the card of the weights it started from.

{card}
"""


def finetune(
    prompts: Path, output: Path, seconds: float, task: str | None, weights: str | None, device: str, show: OnProgress
) -> Tuning:
    """Tune on the pairs in `prompts` and write the weights to the new folder `output` where that has helped.

    Raises FileError, before anything is learnt, for a folder that holds something or cannot be written, and what
    `prepare_request` raises.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileError(f"'{output}' is there already", "a new folder", "choose another --output")
    start, output = weights or DEFAULT_WEIGHTS, output.resolve()
    with output_folder(output):
        request = prepare_request(prompts, task, start, device, (), show, "off")
        tuned, said = tune(request.task, seconds, progress=lambda done, total: show("tuning", done, total))
        if said.kept:
            card = _CARD.format(
                name=output.name, start=start, minutes=seconds / 60, steps=said.steps, prompts=prompts.name,
                kind=tuned.spec.kind, before=said.before, after=said.after, card=describe_weights(start).card,
            )  # fmt: skip
            save_weights(tuned.predictor.model, output, card)
    return said
