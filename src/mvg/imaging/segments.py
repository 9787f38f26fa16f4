"""Label maps whose values are segments with names, and which may cover a part of their image's grid alone."""

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.volume import Header, LabelMap

_KIND = "segments"


def segments_header(names: Mapping[int, str], affine: NDArray[np.float64]) -> Header:
    """The header of such a label map; names: of label values."""
    return Header(_KIND, json.dumps(dict(names)).encode(), affine.tobytes())


def has_segments(labels: LabelMap) -> bool:
    """Whether a label map is one of these, as programs for annotation write them."""
    return labels.header is not None and labels.header.kind == _KIND


def names_of(labels: LabelMap) -> dict[int, str]:
    """Label value -> name of its segment; empty for other label maps."""
    if labels.header is None or not has_segments(labels):
        return {}
    return {int(value): str(name) for value, name in json.loads(labels.header.content).items()}
