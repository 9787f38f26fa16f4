"""What fusion is shown of a slice: the model, the annotated slices around it, and how far away they are."""

import numpy as np
import pytest

from mvg.model.fusion import SCALE, Evidence
from mvg.prediction.inference.evidence import AnnotatedSquare, SliceStack, evidence_maps

SIDE = 32


def disk(radius: float) -> np.ndarray:
    rows, cols = np.mgrid[:SIDE, :SIDE]
    return (np.hypot(rows - SIDE / 2, cols - SIDE / 2) < radius).astype(np.uint8)


def annotated(**radii: float) -> dict[int, AnnotatedSquare]:
    return {
        int(name[1:]): AnnotatedSquare.of(disk(radius), np.full((SIDE, SIDE), radius / 10, np.float32), 1)
        for name, radius in radii.items()
    }


def stack(count: int = 10, classes: int = 1) -> SliceStack:
    images = np.zeros((count, SIDE, SIDE), np.float32)
    log_odds = np.zeros((count, classes, SIDE, SIDE), np.float32)
    log_odds += 2 * np.arange(classes)[None, :, None, None]
    return SliceStack(tuple(range(count)), images, log_odds, pixel=2.0, thickness=3.0)


def middle(maps: np.ndarray, number: int, kind: Evidence) -> float:
    return float(maps[0, kind, number, SIDE // 2, SIDE // 2])


def test_between_two_annotated_slices_the_outline_is_interpolated() -> None:
    maps = evidence_maps(stack(), annotated(n2=4, n6=8), [0])
    below, above = middle(maps, 4, Evidence.below), middle(maps, 4, Evidence.above)
    assert middle(maps, 4, Evidence.prior) == pytest.approx((below + above) / 2)
    assert middle(maps, 3, Evidence.prior) == pytest.approx(0.75 * below + 0.25 * above)
    assert middle(maps, 4, Evidence.gap) == pytest.approx(np.log1p(4) / 2)
    assert middle(maps, 4, Evidence.outside) == 0
    assert middle(maps, 3, Evidence.image_below) == pytest.approx(0.4)
    assert middle(maps, 3, Evidence.image_above) == pytest.approx(0.8)


def test_beyond_the_last_annotated_slice_the_change_is_extrapolated() -> None:
    maps = evidence_maps(stack(), annotated(n2=8, n6=4), [0])
    per_slice = (middle(maps, 6, Evidence.prior) - middle(maps, 2, Evidence.prior)) / 4
    assert middle(maps, 8, Evidence.change) == pytest.approx(2 * per_slice)
    assert middle(maps, 8, Evidence.prior) == middle(maps, 6, Evidence.prior)
    assert middle(maps, 8, Evidence.outside) == 1
    assert middle(maps, 8, Evidence.gap) == 0
    assert middle(maps, 8, Evidence.steps) == pytest.approx(np.log1p(2) / 2)
    radius = np.sqrt(disk(8).sum() / np.pi) * 2.0
    assert middle(maps, 8, Evidence.reach) == pytest.approx(2 * 3.0 / radius / 2)
    assert middle(maps, 8, Evidence.area) == pytest.approx(disk(4).sum() / disk(8).sum())


def test_annotated_slices_are_certain() -> None:
    maps = evidence_maps(stack(), annotated(n2=8, n6=4), [0])
    assert middle(maps, 2, Evidence.known) == 1
    assert middle(maps, 3, Evidence.known) == 0
    assert middle(maps, 2, Evidence.log_odds) == 1
    assert maps[0, Evidence.log_odds, 2, 0, 0] == -1


def test_other_classes_are_shown_by_their_highest_log_odds() -> None:
    maps = evidence_maps(stack(classes=3), {}, [0, 2])
    assert (maps[0, Evidence.others] == 4 / SCALE).all()
    assert (maps[1, Evidence.others] == 2 / SCALE).all()
    assert (maps[0, Evidence.log_odds] == 0).all()
    assert (maps[1, Evidence.log_odds] == 4 / SCALE).all()


def test_without_annotated_slices_all_lie_outside() -> None:
    maps = evidence_maps(stack(), {}, [0])
    assert (maps[:, Evidence.outside] == 1).all()
    assert (maps[:, Evidence.prior] == 0).all()
    assert (maps[:, Evidence.steps] > np.log1p(20) / 2).all()
