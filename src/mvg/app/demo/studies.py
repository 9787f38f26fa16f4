"""The studies of `mvg serve --demo`: real images that ship inside public packages, one with labels beside it."""

from pathlib import Path

import numpy as np

from mvg.app.demo.specimens import average, check_packages, ct_of_a_back, ct_of_a_head, person, tissue_labels
from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume

_DONE = "brain-lower.nii.gz"


def write_demo_studies(folder: Path) -> None:
    """Write the studies into a folder, unless it holds them already. Raises FileError."""
    if (folder / _DONE).exists():
        return
    check_packages()
    folder.mkdir(parents=True, exist_ok=True)
    upper, lower = (slice(84, 116), slice(52, 84))
    write(_part(average("t1"), upper), folder / "brain-upper.nii.gz")
    write(_labels_part(tissue_labels(), upper), folder / "brain-upper_labels.nii.gz")
    write(ct_of_a_head(), folder / "ct-head.nii.gz")
    write(ct_of_a_back(), folder / "ct-back.nii.gz")
    write(person(), folder / "t1-slice.nii.gz")
    write(_part(average("t1"), lower), folder / _DONE)


def _part(volume: Volume, slices: slice) -> Volume:
    return Volume(np.ascontiguousarray(volume.voxels[:, :, slices]), _moved(volume.affine, slices.start))


def _labels_part(labels: LabelMap, slices: slice) -> LabelMap:
    return LabelMap(np.ascontiguousarray(labels.voxels[:, :, slices]), _moved(labels.affine, slices.start))


def _moved(affine: np.ndarray, start: int) -> np.ndarray:
    """The affine of an array that begins `start` slices later."""
    moved = affine.copy()
    moved[:3, 3] += start * affine[:3, 2]
    return moved
