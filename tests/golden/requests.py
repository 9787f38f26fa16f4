"""Requests on two images that dependencies ship: the average brain ICBM 152 (nilearn) and a CT slice (pydicom).

Their truth is known, as the query is made from the image of the prompts. They guard the code against changes of
a prediction; they say nothing about accuracy for new patients.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nilearn import datasets
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

import mvg

GRAY, WHITE = 3, 7  # not in a row, so that indices of classes cannot pass for label values
_PROMPTS, _QUERY = (-14, 6, 26, 46), (-4, 16, 36)  # mm above the commissures
_COLUMNS = slice(24, 150)  # cuts the right side off: a mirrored prediction differs


@dataclass(frozen=True)
class Request:
    """Example pairs, a query and the truth (X, Y, Z) on its grid; region: the voxels that are scored."""

    task: str
    images: tuple[Any, ...]
    targets: tuple[Any, ...]
    query: Any
    truth: NDArray[Any]
    region: NDArray[np.bool_]


def segmentation() -> Request:
    """Gray and white matter; the axes of the query run in other directions than those of the prompts."""
    t1, labels = _brain("t1"), _tissues()
    query, truth = _turned(_slices(t1, _QUERY)), _turned(_slices(labels, _QUERY))
    prompts = [(_volume(_slices(t1, [z])), _label_map(_slices(labels, [z]))) for z in _PROMPTS]
    return _request("segmentation", prompts, _volume(query), _array(truth))


def synthesis() -> Request:
    """From T1 to the probability of gray matter."""
    t1, gray = _brain("t1"), _brain("gm")
    prompts = [(_volume(_slices(t1, [z])), _volume(_slices(gray, [z]))) for z in _PROMPTS]
    return _request("synthesis", prompts, _volume(_turned(_slices(t1, _QUERY))), _array(_turned(_slices(gray, _QUERY))))


def inpainting() -> Request:
    """Round voids in the left half of a whole brain, which is filled after its right half; they alone are scored."""
    t1 = datasets.load_mni152_template(resolution=1)
    prompts = [(_volume(_voided(_slices(t1, [z]), (60 + z // 2, 100))), _volume(_slices(t1, [z]))) for z in _PROMPTS]
    whole, center = _slices(t1, _QUERY), (62, 95)
    region = _disc(whole.shape, center) & (_array(whole) > 0)
    return _request("inpainting", prompts, _volume(_voided(whole, center)), _array(whole), region)


def denoising() -> Request:
    """A CT slice in HU with noise of 40 HU; the query is its mirror image with other noise."""
    file = get_testdata_file("CT_small.dcm", download=False)
    scan, rng = mvg.read(Path(str(file))), np.random.default_rng(0)
    pictures = [np.asarray(scan.voxels), np.asarray(scan.voxels)[::-1]]
    prompt, query = (mvg.Volume(picture + rng.normal(0, 40, picture.shape), scan.affine) for picture in pictures)
    return _request("denoising", [(prompt, scan)], query, pictures[1], pictures[1] > -500)


REQUESTS: dict[str, Callable[[], Request]] = {
    "segmentation": segmentation,
    "synthesis": synthesis,
    "inpainting": inpainting,
    "denoising": denoising,
}


def predict(request: Request) -> Any:
    """The prediction of the weights that ship, on the query's grid."""
    task = mvg.load("tiny", device="cpu").prompt(request.images, request.targets, request.task)
    return task(request.query).volume


def _request(
    task: str, prompts: list[tuple[Any, Any]], query: Any, truth: NDArray[Any], region: NDArray[np.bool_] | None = None
) -> Request:
    images, targets = zip(*prompts, strict=True)
    return Request(task, images, targets, query, truth, np.ones(truth.shape, bool) if region is None else region)


def _brain(name: str) -> Any:
    load = {
        "t1": datasets.load_mni152_template,
        "gm": datasets.load_mni152_gm_template,
        "wm": datasets.load_mni152_wm_template,
    }
    return load[name](resolution=1).slicer[_COLUMNS]


def _tissues() -> Any:
    gray, white = _brain("gm"), _brain("wm")
    shares = np.stack([1 - _array(gray) - _array(white), _array(gray), _array(white)])
    return nibabel.Nifti1Image(np.array([0, GRAY, WHITE], np.uint8)[shares.argmax(axis=0)], gray.affine)


def _slices(image: Any, heights: Any) -> Any:
    """Axial slices at equally spaced heights in mm."""
    start, step = int(heights[0] - image.affine[2, 3]), int(heights[1] - heights[0]) if len(heights) > 1 else 1
    return image.slicer[:, :, start : start + step * len(heights) : step]


def _turned(image: Any) -> Any:
    """The same image with its axes to posterior, left and inferior."""
    codes = [nibabel.orientations.axcodes2ornt(axes) for axes in (nibabel.aff2axcodes(image.affine), ("P", "L", "I"))]
    return image.as_reoriented(nibabel.orientations.ornt_transform(*codes))


def _voided(image: Any, center: tuple[int, int]) -> Any:
    voxels = np.where(_disc(image.shape, center), 0, _array(image))
    return nibabel.Nifti1Image(voxels.astype(np.float32), image.affine)


def _disc(shape: tuple[int, ...], center: tuple[int, int]) -> NDArray[np.bool_]:
    rows, columns, _ = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return np.broadcast_to(np.hypot(rows - center[0], columns - center[1]) <= 13, shape)


def _array(image: Any) -> NDArray[Any]:
    return np.asarray(image.dataobj)


def _volume(image: Any) -> Any:
    return mvg.Volume(_array(image).astype(np.float32), image.affine)


def _label_map(image: Any) -> Any:
    return mvg.LabelMap(_array(image), image.affine)
