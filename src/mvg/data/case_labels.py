"""The label map of a case as everything that learns from it or is measured against it reads it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mvg.data.case import Card, Case, LabelFiles
from mvg.errors import GeometryError
from mvg.imaging.files import read_labels
from mvg.imaging.volume import IGNORED, LabelMap, Volume


def read_case_labels(case: Case, card: Card) -> LabelMap:
    """The labels of a case that has some: regions in their order, and `IGNORED` where nobody annotated.

    Raises FileError for files that cannot be read, GeometryError for masks on different grids.
    """
    assert case.labels is not None, "only for cases with labels"
    return prepared_labels(read_label_files(case.labels), case, card)


def prepared_labels(labels: LabelMap, case: Case, card: Card) -> LabelMap:
    """A label map as a file of the case holds it, with regions in their order and `IGNORED` where nobody annotated."""
    return with_ignored(with_regions(labels, case.written), card.ignored, case.annotated)


def read_label_files(files: LabelFiles) -> LabelMap:
    """The label map of one file, or of masks of which the last counts where they overlap.

    Raises FileError for files that cannot be read, GeometryError for masks on different grids.
    """
    if isinstance(files, Path):
        return read_labels(files)
    masks = [read_labels(path) for path, _ in files]
    voxels = np.zeros(masks[0].shape, np.uint8)
    for mask, (path, value) in zip(masks, files, strict=True):
        check_grid(mask, path, masks[0], files[0][0])
        voxels[mask.voxels != 0] = value
    return LabelMap(voxels, masks[0].affine, masks[0].header)


def with_regions(labels: LabelMap, written: Sequence[tuple[int, int]]) -> LabelMap:
    """The labels with some values replaced: (value, the value that stands for it)."""
    if all(old == new for old, new in written):
        return labels
    voxels = labels.voxels.astype(np.int64)
    changed = voxels.copy()
    for old, new in written:
        changed[voxels == old] = new
    return replace(labels, voxels=changed)


def with_ignored(labels: LabelMap, ignored: Sequence[int], annotated: Sequence[int] | None = None) -> LabelMap:
    """The labels with `IGNORED` for some values, and for all slices but those with the `annotated` array indices.

    Slices lie across the thickest axis.
    """
    if annotated is None and not set(ignored) & labels.counts.keys():
        return labels
    unknown = np.isin(labels.voxels, ignored)
    if annotated is not None:
        axis = int(np.argmax(labels.spacing))
        open_slices = [index for index in range(labels.shape[axis]) if index not in annotated]
        unknown[tuple(open_slices if one == axis else slice(None) for one in range(3))] = True
    if not unknown.any():
        return labels
    return replace(labels, voxels=np.where(unknown, IGNORED, labels.voxels.astype(np.int64)))


def check_grid(volume: Volume | LabelMap, path: Path, first: Volume | LabelMap, first_path: Path) -> None:
    """Raises GeometryError where a file of a case lies on another grid than the first one, by more than 0.1 mm."""
    if not volume.same_grid(first, tolerance=0.1):
        raise GeometryError(
            f"{path} has shape {volume.shape} and spacing {np.round(volume.spacing, 3).tolist()}, "
            f"{first_path.name} has {first.shape} and {np.round(first.spacing, 3).tolist()}",
            "one grid (shape and affine, within 0.1 mm) for all files of a case",
            "resample it onto the grid of the first image",
        )
