"""Voids are filled at the slice's own resolution: smoothly from edge to edge, and like the other side of the body.

A change that was predicted in coarser squares is blurred at the rim of a void. So pixels that hold the void's own value
are filled here, and pixels near the void that do not (dark tissue, air) stay as they are. So do all others, where the
targets of the prompts differ from their images in voids alone.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.model.voids import BLACK
from mvg.prediction.inference.context import PredictionContext
from mvg.prediction.inference.query_volume import QueryVolume
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.refinement.contralateral import contralateral_evidence, filled_smooth
from mvg.prediction.selection.retrieval import evenly_spaced

_MIN_INCREASE = 0.05  # a black pixel that became brighter by more was filled
_SIMILAR_BRIGHTNESS = 0.6  # least ratio of the predicted and the smooth brightness of a void, either way
_NETWORK_SHARE = 0.25  # share of the prediction beyond a smooth fill that is kept without contralateral evidence
_RIM = 3  # pixels of a square around a void that its blurred edge reaches
_COMPARED = 16  # prompt slices whose targets are compared with their images
_CHANGED, _FEW = 0.01, 1e-4  # a larger difference of intensities is a change; share of pixels that may have one


def refine(context: PredictionContext, prediction: VolumePrediction) -> VolumePrediction:
    """Fill the voids of every slice anew, in place; the rest is the query's where that holds for prompts, or as
    predicted.
    """
    assert prediction.squares is not None
    only_voids, query = _only_voids_change(context.prompts), context.query
    for number in range(len(prediction.pixels)):
        rest = query.slices[number, 0] if only_voids else prediction.pixels[number]
        prediction.pixels[number] = _refilled(query, number, prediction.squares[number], rest)
    return prediction


def _only_voids_change(prompts: PromptSet) -> bool:
    """Whether the targets of some prompts differ from their images, and almost nowhere but in black pixels."""
    numbers = evenly_spaced(np.arange(len(prompts)), _COMPARED).tolist()
    images, targets = prompts.image_batch(numbers)[:, 0], prompts.picture_batch(numbers)
    near_black = ndimage.binary_dilation(images <= BLACK, np.ones((1, 2 * _RIM + 1, 2 * _RIM + 1)))
    changed = np.abs(targets - images) > _CHANGED
    return bool(changed.any() and (changed & ~near_black).sum() <= _FEW * changed.size)


def _refilled(
    query: QueryVolume, number: int, predicted: NDArray[np.float32], rest: NDArray[np.float32]
) -> NDArray[np.float32]:
    """One slice (rows, cols), raw; predicted: its squares (f, s, s); rest: the slice away from voids."""
    raw, squares = query.slices[number, 0], query.squares(number)[:, 0]
    span = np.float32(query.window.high - query.window.low)
    filled = (squares <= BLACK) & (predicted - squares > _MIN_INCREASE)
    if not filled.any():
        return rest
    near = query.frames[0].restore_labels(ndimage.binary_dilation(filled[0], iterations=_RIM))
    inside = query.frames[0].restore_labels(filled[0])
    if not inside.any():
        return rest
    values, counts = np.unique(raw[inside], return_counts=True)
    void = values[counts.argmax()]  # a void has one value, air and dark tissue have many
    hole = near & (np.abs(raw - void) <= BLACK * span)
    return np.where(near, np.where(hole, query.window.invert(_fill(query, raw, hole, predicted)), raw), rest)


def _fill(
    query: QueryVolume, raw: NDArray[np.float32], hole: NDArray[np.bool_], predicted: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A slice (rows, cols) in [0, 1] whose voids (parts of `hole`) are filled at its own resolution.

    Parts predicted much darker than their surroundings are a gap of the body, unless the other side shows body. Parts
    predicted much brighter are something that the prompts taught. Both keep the model's prediction. Outside of the body
    nothing is filled. The slice has one frame.
    """
    scaled, restored = query.window.apply(raw), query.restore(predicted)
    smooth, other = filled_smooth(scaled, hole), contralateral_evidence(scaled, hole)
    parts, count = ndimage.label(hole)
    means = [ndimage.mean(picture, parts, np.arange(1, count + 1)) for picture in (restored, smooth)]
    similar = np.append(False, np.minimum(*means) > _SIMILAR_BRIGHTNESS * np.maximum(*means))[parts]
    network = (1 - other.share) * _NETWORK_SHARE * query.restore(predicted - query.frames[0].apply(smooth))
    restored = np.where(similar | other.body, smooth + network + other.detail, restored)
    return np.where(other.outside, scaled, restored)
