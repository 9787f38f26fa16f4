"""Made data for smoke runs: small sets in the nnU-Net raw layout, bodies with organs, from shapes and noise."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume

_SETS = {"made_abdomen": ("liver", "kidney"), "made_heart": ("ventricle",)}
_PATIENTS, _SHAPE, _SPACING = 14, (64, 64, 6), (1.5, 1.5, 5.0)


def make_synthetic_sets(folder: Path, seed: int = 0) -> Path:
    """Writes the sets into `folder` and returns it: two contrasts each, so that every kind of task is offered.

    Organs are ellipses that move from patient to patient, with a brightness of their own; the second contrast is
    another function of the same tissue. Sets that are there are left alone.
    """
    for number, (name, organs) in enumerate(_SETS.items()):
        if not (folder / name / "dataset.json").is_file():
            rng = np.random.default_rng([seed, number])
            for patient in range(_PATIENTS):
                _write(folder / name, f"p{patient:02d}", *_body(len(organs), number, rng))
            about = {
                "modality": "MRI", "region": "made", "channel_names": {"0": "first", "1": "second"},
                "labels": {"background": 0} | {organ: place for place, organ in enumerate(organs, start=1)},
                "license": "CC0", "citation": "made by mvg.benchmark.synthetic_sets", "file_ending": ".nii.gz",
            }  # fmt: skip
            (folder / name / "dataset.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def _body(
    organs: int, kind: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Two contrasts (X, Y, Z) and labels of one patient."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in _SHAPE), indexing="ij")
    size = rng.uniform(0.75, 0.9)
    inside = np.hypot(x / size, y / (size * 0.9)) < 1
    labels = np.zeros(_SHAPE, np.uint8)
    for organ in range(organs):
        across, down = np.array([0.35 - 0.7 * organ, 0.25 * (-1) ** kind]) + rng.normal(0, 0.06, 2)
        radius = rng.uniform(0.2, 0.3) * np.sqrt(np.clip(1.1 - z**2, 0, None))
        labels[np.hypot(x - across, (y - down) * (1.3 - 0.4 * kind)) < radius] = organ + 1
    texture = ndimage.gaussian_filter(rng.normal(0, 1, _SHAPE), (2, 2, 0))
    tissue = np.choose(labels, [0.35, 0.7, 0.55]) + 0.3 * texture
    first = np.where(inside | (labels > 0), tissue, 0) * 1000
    second = np.where(inside | (labels > 0), 1.1 - tissue, 0) * 800
    noise = rng.normal(0, 15, (2, *_SHAPE))
    return (first + noise[0]).astype(np.float32), (second + noise[1]).astype(np.float32), labels


def _write(
    folder: Path, name: str, first: NDArray[np.float32], second: NDArray[np.float32], labels: NDArray[np.uint8]
) -> None:
    affine = np.diag([-_SPACING[0], -_SPACING[1], _SPACING[2], 1.0])
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for channel, voxels in enumerate((first, second)):
        write(Volume(voxels, affine), folder / "imagesTr" / f"{name}_{channel:04d}.nii.gz")
    write(LabelMap(labels, affine), folder / "labelsTr" / f"{name}.nii.gz")
