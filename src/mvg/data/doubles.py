"""Finds cases that show one patient under two names: public sets number visits, exports and slices anew.

A query whose double is among the cases that a model learned from, or is prompted by, says nothing about new patients.
Two cases are doubles where most slices of one have a slice of the other with nearly the same details and, where both
are labeled, with nearly the same labels. Images alone do not tell: all pictures of some kinds are alike.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from mvg.data.case import Card, Case, DataSet
from mvg.data.slicing import slice_case
from mvg.imaging.resizing import resized

_SIDE = 48  # pixels of the small pictures that are compared
_DETAIL = 2.0  # pixels; what is smoother than that is alike in all pictures of a kind
_SAME_DETAILS = 0.85  # correlation, which neighboring slices of one patient often have too, but with other labels
_SAME_LABELS = 0.85  # Dice
_SAME_WITHOUT_LABELS = 0.95  # correlation


@dataclass(frozen=True, eq=False)
class _Small:
    """Small pictures of a case: details (n, d) of length 1 or 0, and where labels are (n, d), None without labels."""

    details: NDArray[np.float32]
    labeled: NDArray[np.float32] | None


@cache
def queries_with_double(data: DataSet) -> Mapping[str, str]:
    """Cases of the "val" side that show the patient of a "train" case, and the name of that case.

    Each is named in a line of the log. Reads all images of the set, once for each process. Sets whose owners split
    them are taken as they are. Raises what `slice_case` raises.
    """
    if any(case.owner_split is not None for case in data.cases):
        return {}
    known = [(case.name, _small(case, data.card)) for case in data.of_split("train").cases]
    doubles = {}
    for case in data.of_split("val").cases:
        query = _small(case, data.card)
        double = next((name for name, other in known if _are_doubles(query, other)), None)
        if double is not None:
            doubles[case.name] = double
    if doubles:
        pairs = ", ".join(f"{query} as {double}" for query, double in doubles.items())
        logging.getLogger("mvg").warning(
            "%d of the cases of %s that are asked show a patient of the other side and are left out: %s",
            len(doubles), data.card.name, pairs,
        )  # fmt: skip
    return doubles


def _small(case: Case, card: Card) -> _Small:
    slices = slice_case(case, card)
    details = np.stack([_details(image) for image in slices.images[:, 0][slices.box.index]])
    if slices.labels is None:
        return _Small(details, None)
    return _Small(details, np.stack([_shrunk(labels > 0) for labels in slices.labels[slices.box.index]]))


def _details(image: NDArray[np.uint16]) -> NDArray[np.float32]:
    small = _shrunk(image).reshape(_SIDE, _SIDE)
    fine: NDArray[np.float32] = (small - gaussian_filter(small, _DETAIL)).ravel()
    fine -= fine.mean()
    length = np.linalg.norm(fine)
    if length > 0:
        fine /= length
    return fine


def _shrunk(picture: NDArray[np.uint16] | NDArray[np.bool_]) -> NDArray[np.float32]:
    return resized(picture.astype(np.float32), _SIDE, _SIDE).ravel()


def _are_doubles(one: _Small, other: _Small) -> bool:
    likeness = one.details @ other.details.T
    alike = float(np.median(likeness.max(axis=1)))
    if one.labeled is None or other.labeled is None:
        return alike > _SAME_WITHOUT_LABELS
    if alike <= _SAME_DETAILS:
        return False
    matched = other.labeled[likeness.argmax(axis=1)]
    areas = one.labeled.sum(axis=1) + matched.sum(axis=1)
    common = np.minimum(one.labeled, matched).sum(axis=1)
    if not (areas > 0).any():  # nothing is labeled in either
        return alike > _SAME_WITHOUT_LABELS
    return float(np.median(2 * common[areas > 0] / areas[areas > 0])) > _SAME_LABELS
