"""`mvg weights fusion`: fits learnt fusion for weights, and writes them with it as new weights."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mvg.app.display import OnProgress
from mvg.data import sets_in
from mvg.data.held_out import HeldOut, check_held_out
from mvg.errors import FileError
from mvg.model.weights import WeightsInfo, describe_weights, load_weights, save_weights
from mvg.prediction.fusion_fitting import fit_fusion
from mvg.prediction.fusion_samples import FusionSample, LabeledVolume, draw_samples

_CASES = 24  # of a set, at most
_SAMPLES = 72  # of a set, about

_CARD = """{card}

## Learnt fusion

Fitted for {minutes:.3g} minutes of processor time by `mvg weights fusion` (seed {seed}) on slices annotated at random
in the training patients of: {sets}.
"""


def fit(
    folders: Sequence[Path], start: str, output: Path, how: tuple[float, int], held_out: Sequence[HeldOut],
    on_progress: OnProgress,
) -> WeightsInfo:  # fmt: skip
    """Draw samples from the training patients of data sets and fit fusion to them for `how`: minutes, and a seed.

    Raises FileError for a folder that exists, for held-out cases and for sets without labeled volumes.
    """
    if output.exists():
        raise FileError(f"'{output}' exists already", "a new folder", "choose another --output")
    minutes, seed = how
    model, rng = load_weights(start), np.random.default_rng(seed)
    samples: dict[str, list[FusionSample]] = {}
    for number, folder in enumerate(folders):
        on_progress("sampling", number, len(folders))
        for data_set in sets_in(folder):
            check_held_out(data_set, folder, held_out)
            cases = [case for case in data_set.of_split("train").cases if case.labels is not None]
            chosen = [cases[at] for at in rng.permutation(len(cases))[:_CASES]]
            for case in chosen:
                volume = LabeledVolume.read(data_set.card, case, rng)
                if volume is not None:
                    drawn = draw_samples(model, volume, max(2, _SAMPLES // len(chosen)), rng)
                    samples.setdefault(data_set.card.name, []).extend(drawn)
    on_progress("sampling", len(folders), len(folders))
    if not samples:
        raise FileError("no labeled volume in the sets", "volumes of at least four labeled slices", "name other sets")

    def on_step(seconds: float, _loss: float) -> None:
        on_progress("fitting", min(round(seconds), round(60 * minutes)), round(60 * minutes))

    model.fusion = fit_fusion(samples, 60 * minutes, seed, on_step)
    card = describe_weights(start).card.rstrip()
    return save_weights(
        model, output, _CARD.format(card=card, minutes=minutes, seed=seed, sets=", ".join(sorted(samples)))
    )
