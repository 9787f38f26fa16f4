"""Writes small data sets in the nnU-Net raw layout, from shapes and noise."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEADS = {"pat1": (20, 24, 4), "pat2": (33, 18, 3), "pat3": (24, 24, 5)}  # case -> shape
AXIAL = np.diag([-1.0, -1.0, 3.0, 1.0])  # coarsest along z, so that slices are axial


def write_image(path: Path, voxels: NDArray[Any], affine: NDArray[np.float64] = AXIAL) -> None:
    """Writes a volume (X, Y, Z) as NIfTI, or (X, Y, 1) as PNG if `path` ends in .png."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(voxels[:, :, 0].T.astype(np.uint8)).save(path)
    else:
        nibabel.save(nibabel.Nifti1Image(voxels, affine), path)


def write_description(folder: Path, **entries: Any) -> Path:
    """Writes dataset.json with these entries; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(entries))
    return folder


def body(
    shape: tuple[int, int, int], rng: np.random.Generator, shift: tuple[float, float] = (0.0, 0.0)
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A bright cylinder with two organs (labels 1 and 2) on black, and its labels; the last slice has no label.

    shift: of the organs, in half widths of the picture.
    """
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = (x / 0.8) ** 2 + (y / 0.9) ** 2 < 1
    u, v = x - shift[0], y - shift[1]
    labels = np.where(np.hypot(u - 0.3, v) < 0.25, 1, np.where(np.hypot(u + 0.3, v + 0.1) < 0.2, 2, 0))
    labels[:, :, -1] = 0 if shape[2] > 1 else labels[:, :, -1]
    image = inside * (90 + 50 * labels + rng.integers(0, 40, shape))
    return image.astype(np.uint8), labels.astype(np.uint8)


def apart(names: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Shifts of organs by which up to 45 cases are different patients to whoever looks for doubles."""
    return {name: (0.12 * (at % 5 - 2), 0.12 * (at // 5 - 4)) for at, name in enumerate(names)}


def make_mri(
    folder: Path,
    cases: Mapping[str, tuple[int, int, int]],
    channels: int = 1,
    ending: str = ".nii.gz",
    shifts: Mapping[str, tuple[float, float]] | None = None,
) -> Path:
    """A labeled set; `cases` maps names to shapes; further channels show the same body in another contrast.

    shifts: of the organs of a case, see `body`; without them all cases show one body with other noise.
    """
    rng = np.random.default_rng(len(cases))
    for name, shape in cases.items():
        image, labels = body(shape, rng, (shifts or {}).get(name, (0.0, 0.0)))
        for channel in range(channels):
            picture = image if channel == 0 else np.where(image > 0, 250 - image // (channel + 1), 0).astype(np.uint8)
            write_image(folder / f"imagesTr/{name}_{channel:04d}{ending}", picture)
        write_image(folder / f"labelsTr/{name}{ending}", labels)
    return write_description(
        folder,
        channel_names={str(c): f"contrast {c}" for c in range(channels)},
        labels={"background": 0, "left organ": 1, "right tumor": 2},
        file_ending=ending,
        modality="MRI",
        region="brain",
        patient=r"[a-z]+\d+",
    )


def make_ct(folder: Path, cases: int = 2, side: int = 96, target: bool = False) -> Path:
    """Cylinders in HU, one slice each; with `target`, noisy images and the clean cylinders as targets."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    clean = np.where(np.hypot(x, y) < 0.4 * side, 40, -1000).astype(np.int16)[:, :, None]
    affine = np.diag([-2.0, -2.0, 5.0, 1.0])
    for case in range(cases):
        noisy = (clean + rng.normal(0, 30, clean.shape)).astype(np.int16)
        write_image(folder / f"imagesTr/scan{case}_0000.nii.gz", noisy if target else clean, affine)
        if target:
            write_image(folder / f"targetsTr/scan{case}.nii.gz", clean, affine)
    entries = {"targets": "targetsTr: CT, full dose"} if target else {}
    return write_description(
        folder, channel_names={"0": "CT, low dose" if target else "CT"}, modality="CT", labels={}, **entries
    )


def contents_of(folder: Path) -> dict[str, bytes]:
    """Relative path -> bytes, for every file below `folder`."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
