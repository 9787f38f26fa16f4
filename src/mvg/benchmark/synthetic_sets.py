"""Synthetic data for smoke runs: small sets in the nnU-Net raw layout, bodies with organs, from shapes and noise."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume

_SETS = {"synthetic_abdomen": ("liver", "kidney"), "synthetic_heart": ("ventricle",)}
_PATIENTS, _SHAPE, _SPACING = 14, (64, 64, 6), (1.5, 1.5, 5.0)


def make_synthetic_sets(folder: Path, seed: int = 0) -> Path:
    """Write the sets into `folder` and return it: two contrasts each, so that several kinds of tasks are offered.

    Organs are ellipses that move from patient to patient, each with its own brightness; the second contrast is another
    function of the same tissue. Existing sets are left as they are.
    """
    for number, (name, organs) in enumerate(_SETS.items()):
        if not (folder / name / "dataset.json").is_file():
            rng = np.random.default_rng([seed, number])
            for patient in range(_PATIENTS):
                _write_case(folder / name, f"p{patient:02d}", *_body(len(organs), number, rng))
            description = {
                "modality": "MRI", "region": "synthetic", "channel_names": {"0": "first", "1": "second"},
                "labels": {"background": 0} | {organ: value for value, organ in enumerate(organs, start=1)},
                "license": "CC0", "citation": "made by mvg.benchmark.synthetic_sets", "file_ending": ".nii.gz",
            }  # fmt: skip
            (folder / name / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return folder


def _body(
    organs: int, anatomy: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Two contrasts (X, Y, Z) and labels of one patient; anatomy: the number of the set."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in _SHAPE), indexing="ij")
    size = rng.uniform(0.75, 0.9)
    is_body = np.hypot(x / size, y / (size * 0.9)) < 1
    labels = np.zeros(_SHAPE, np.uint8)
    for organ in range(organs):
        center_x, center_y = np.array([0.35 - 0.7 * organ, 0.25 * (-1) ** anatomy]) + rng.normal(0, 0.06, 2)
        radius = rng.uniform(0.2, 0.3) * np.sqrt(np.clip(1.1 - z**2, 0, None))
        labels[np.hypot(x - center_x, (y - center_y) * (1.3 - 0.4 * anatomy)) < radius] = organ + 1
    texture = ndimage.gaussian_filter(rng.normal(0, 1, _SHAPE), (2, 2, 0))
    tissue = np.choose(labels, [0.35, 0.7, 0.55]) + 0.3 * texture
    first = np.where(is_body | (labels > 0), tissue, 0) * 1000
    second = np.where(is_body | (labels > 0), 1.1 - tissue, 0) * 800
    noise = rng.normal(0, 15, (2, *_SHAPE))
    return (first + noise[0]).astype(np.float32), (second + noise[1]).astype(np.float32), labels


def _write_case(
    folder: Path, name: str, first: NDArray[np.float32], second: NDArray[np.float32], labels: NDArray[np.uint8]
) -> None:
    affine = np.diag([-_SPACING[0], -_SPACING[1], _SPACING[2], 1.0])
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for channel, voxels in enumerate((first, second)):
        write(Volume(voxels, affine), folder / "imagesTr" / f"{name}_{channel:04d}.nii.gz")
    write(LabelMap(labels, affine), folder / "labelsTr" / f"{name}.nii.gz")
