"""How close an answer is to the truth: overlaps of label maps, likeness of pictures."""

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from mvg.imaging.volume import Plane, Volume
from mvg.imaging.window import Window

_LEAST_ERROR = 1e-10  # mean squared error that counts as none: PSNR ends at 100 dB


def overlaps(answer: NDArray[np.integer], truth: NDArray[np.integer]) -> dict[str, float]:
    """Mean IoU and mean Dice, in [0, 1], of two label arrays of one shape.

    The mean is over the labels that are present in the truth or in the answer: a label that is wrongly answered counts
    with 0. Both are 1 where neither holds any label.
    """
    values = sorted((set(np.unique(answer).tolist()) | set(np.unique(truth).tolist())) - {0})
    iou, dice = [], []
    for value in values:
        said, right = answer == value, truth == value
        both, either = int((said & right).sum()), int((said | right).sum())
        iou.append(both / either)
        dice.append(2 * both / (both + either))
    return {"IoU": float(np.mean(iou)), "Dice": float(np.mean(dice))} if values else {"IoU": 1.0, "Dice": 1.0}


def likeness(
    answer: Volume, truth: Volume, window: Window, plane: Plane, regions: dict[str, NDArray[np.bool_] | None]
) -> dict[str, dict[str, float]]:
    """PSNR (dB), MAE and SSIM of an answer in every region: a mask (X, Y, Z), or None for all voxels.

    Intensities go through `window` to [0, 1] first, so the range of PSNR is the window's width. SSIM is
    scikit-image's with its defaults, in the slices of `plane`.
    """
    said, right = window.apply(answer.voxels), window.apply(truth.voxels)
    error = said.astype(np.float64) - right
    similar = _similarity(answer, truth, window, plane)
    found = {}
    for name, region in regions.items():
        where = np.ones(error.shape, np.bool_) if region is None else region
        squared = max(float((error[where] ** 2).mean()), _LEAST_ERROR)
        found[name] = {
            "PSNR": float(-10 * np.log10(squared)),
            "MAE": float(np.abs(error[where]).mean()),
            "SSIM": float(similar[where].mean()),
        }
    return found


def _similarity(answer: Volume, truth: Volume, window: Window, plane: Plane) -> NDArray[np.float32]:
    """The SSIM of every voxel (X, Y, Z); 1 everywhere where the slices are too small for its window."""
    said, right = window.apply(answer.pictures(plane)), window.apply(truth.pictures(plane))
    similar = np.ones(said.shape, np.float32)
    if min(said.shape[1:]) >= 7:
        for at in range(len(said)):
            similar[at] = structural_similarity(said[at], right[at], data_range=1.0, full=True)[1]
    return np.asarray(truth.from_pictures(similar, plane).voxels)
