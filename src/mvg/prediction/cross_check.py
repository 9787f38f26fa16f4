"""How well prompts answer one another: each is predicted from the others and compared with its truth."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mvg.errors import MvgError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.answer_summary import outlined, summarize
from mvg.prediction.batch_page import CrossCheck
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompts.folder import PromptFolder
from mvg.prediction.result import Prediction
from mvg.prediction.selection.retrieval import evenly_spaced

_MOST = 8  # prompts that are predicted


def cross_check(predictor: Predictor, folder: PromptFolder, options: PredictionOptions) -> Iterator[CrossCheck]:
    """Of up to eight prompts with labels, the Dice of each label and a picture of prediction and truth.

    Nothing for a single prompt, or for pictures. Prompts that cannot be predicted from the others are left out.
    """
    count = len(folder.names)
    if count < 2:
        return
    for number in evenly_spaced(np.arange(count), _MOST).tolist():
        others = [index for index in range(count) if index != number]
        image, truth = folder.images[number], folder.targets[number]
        if not isinstance(truth, LabelMap):
            return
        try:
            task = predictor.prompt(
                [folder.images[index] for index in others],
                [folder.targets[index] for index in others],
                folder.task,
                replace(options, uncertainty=True),
                modality=folder.modality,
                names=[folder.names[index] for index in others],
            )
            prediction = task(image)
        except MvgError:
            continue
        yield _compared(folder.names[number], image, prediction, truth)


def _compared(name: str, image: Volume, prediction: Prediction, truth: LabelMap) -> CrossCheck:
    predicted = prediction.volume.voxels
    dice = {
        value: 2 * float(((predicted == value) & (truth.voxels == value)).sum())
        / float((predicted == value).sum() + (truth.voxels == value).sum())
        for value in truth.values
    }  # fmt: skip
    summary = summarize(prediction, image)
    return CrossCheck(name, dice, summary.picture, outlined(truth, image, summary.slice_number - 1))
