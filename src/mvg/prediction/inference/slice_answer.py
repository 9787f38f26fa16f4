"""The labels of a session's slice from its log-odds, and from those of magnified regions around small labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mvg.imaging.frame import Frame
from mvg.prediction.inference.other_knowledge import OVERCONFIDENCE
from mvg.prediction.inference.query_volume import QueryVolume
from mvg.prediction.inference.slices import decode_labels


@dataclass(frozen=True, eq=False)
class SliceAnswer:
    """The prediction for a slice: class numbers (rows, cols), and how many pixels of the square are likely wrong.

    doubt: all of them; by_class: (K,), those that are, or are not but should be, of a class.
    """

    numbers: NDArray[np.uint8]
    doubt: float
    by_class: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Magnified:
    """Log-odds (K, s, s) of a slice in the square of another frame; `classes`, from 1 on: those that they are about."""

    frame: Frame
    classes: tuple[int, ...]
    log_odds: NDArray[np.float32]


def answered(query: QueryVolume, log_odds: NDArray[np.float32], magnified: Sequence[Magnified] = ()) -> SliceAnswer:
    """The answer of log-odds (K, s, s), averaged with magnified ones where there are some.

    The numbers of pixels that are likely wrong are those of `log_odds` alone.
    """
    logits = torch.from_numpy(np.concatenate([np.zeros_like(log_odds[:1]), log_odds]))
    probabilities = logits.softmax(0)[None].numpy()
    highest = probabilities.max(axis=1, keepdims=True)
    wrong = np.where(probabilities == highest, 1 - probabilities, probabilities)[0, 1:].sum(axis=(1, 2))
    if magnified:
        numbers = _averaged_labels(query.frames[0], log_odds, magnified)
    else:
        numbers = decode_labels(query, probabilities).numbers
    return SliceAnswer(numbers, OVERCONFIDENCE * float((1 - highest).sum()), np.asarray(OVERCONFIDENCE * wrong))


def _averaged_labels(frame: Frame, log_odds: NDArray[np.float32], magnified: Sequence[Magnified]) -> NDArray[np.uint8]:
    """Class numbers (rows, cols): in the region of a class, of the mean of both log-odds."""
    numbers, best = np.zeros(frame.shape, np.uint8), np.zeros(frame.shape, np.float32)
    for number, alone in enumerate(log_odds, start=1):
        about = [one for one in magnified if number in one.classes]
        if max(one.max() for one in (alone, *(part.log_odds[number - 1] for part in about))) <= 0:
            continue
        scores = frame.restore(alone)
        for part in about:
            inside = part.frame.source.index
            scores[inside] = (scores[inside] + part.frame.restore(part.log_odds[number - 1])[inside]) / 2
        wins = scores > best
        numbers[wins] = number
        best[wins] = scores[wins]
    return numbers
