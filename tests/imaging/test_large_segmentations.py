"""Segmentations of 512 x 512 x 400 as dcmqi reads them, and that a voxel which differs is counted."""

from typing import Any

import numpy as np
import pytest

from tests.imaging import large_segmentations
from tests.imaging.large_segmentations import compared
from tests.imaging.test_dicom_output import GEOMETRIES


def test_512_x_512_x_400_voxels_come_back() -> None:
    rows = list(compared(GEOMETRIES["negated rows and columns"], (512, 512, 400), seed=1))
    assert [(row["kind"], row["different"]) for row in rows] == [("BINARY", 0), ("LABELMAP", 0)]
    assert all(row["labeled"] > 5e7 for row in rows)


def test_voxels_that_differ_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    merged = large_segmentations.merged

    def changed(*arguments: Any) -> Any:
        voxels = merged(*arguments)
        voxels[np.unravel_index(7, voxels.shape)] ^= 1
        return voxels

    monkeypatch.setattr(large_segmentations, "merged", changed)
    assert [row["different"] for row in compared(GEOMETRIES["oblique"], (32, 24, 5), seed=0)] == [1, 1]
