"""By how much prompts are magnified, and which labels are thin, fine or neither."""

import numpy as np
import pytest

from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompts import label_extents
from mvg.prediction.prompts.label_extents import Extent
from mvg.prediction.prompts.zoom_plan import ZoomPlan
from tests.prediction.learner import SIZE, Learner

AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])


def planned(side: int, length: int = 128) -> ZoomPlan | None:
    """The plan for a square label in slices of `length` pixels a side."""
    labels = np.zeros((length, length, 2), np.int32)
    start = (length - side) // 2
    labels[start : start + side, start : start + side] = 1
    image = Volume((200.0 * labels + np.arange(length)[:, None, None] / length).astype(np.float32), AFFINE)
    return Predictor(Learner()).prompt([image], [LabelMap(labels, AFFINE)]).zoom


@pytest.mark.parametrize(
    ("side", "magnification"), [(32, 4 / 1.4), (48, 128 / 48 / 1.4), (16, 4.0), (72, 128 / 72 / 1.4)]
)
def test_the_labels_fill_the_magnified_square_but_for_a_margin(side: int, magnification: float) -> None:
    plan = planned(side)
    assert plan is not None
    assert [region.position for region in plan.regions] == [None]
    assert plan.regions[0].magnification == pytest.approx(magnification)
    assert plan.regions[0].weight == 0.5


def test_labels_that_would_hardly_be_magnified_need_no_second_pass() -> None:
    assert planned(74) is None, "128 / 74 / 1.4 is less than 1.25"


@pytest.mark.parametrize(
    ("kept", "magnification", "weight"),
    [(0.79, 3.0, 1.0), (0.81, 1.75, 0.75), (0.91, 1.75, 0.75), (0.93, None, None)],
    ids=["thin", "fine", "fine", "sharp"],
)
def test_thin_labels_are_magnified_to_the_resolution_of_the_slices_and_fine_ones_a_little(
    kept: float, magnification: float | None, weight: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kept: the IoU of large labels with what the model's square keeps of them."""
    monkeypatch.setattr(label_extents, "_kept_detail", lambda *_: [(1, kept)])
    plan = planned(90, length=3 * SIZE)
    assert (plan and plan.regions[0].magnification) == magnification
    assert (plan and plan.regions[0].weight) == weight


def test_the_magnified_square_of_a_query_is_larger_than_its_labels_by_a_smaller_margin() -> None:
    plan = planned(32)
    assert plan is not None
    shape, spacing = (128, 128), (1.0, 1.0)
    frame = plan.regions[0].frame(Extent((64.0, 64.0), 0.25), shape, spacing)
    assert frame is not None
    assert frame.source.rows == round(128 / plan.regions[0].magnification), "not more than the prompts"
    frame = plan.regions[0].frame(Extent((64.0, 64.0), 0.4), shape, spacing)
    assert frame is not None
    assert frame.source.rows == pytest.approx(128 * 0.4 * 1.1, abs=1)


@pytest.mark.parametrize(("size", "fits"), [(0.44, True), (0.47, False)])
def test_a_query_at_less_than_a_share_of_the_prompts_magnification_is_left_alone(size: float, fits: bool) -> None:
    """The prompts' magnification is 2.86, and 0.7 times it 2.0."""
    plan = planned(32)
    assert plan is not None
    assert (plan.regions[0].frame(Extent((64.0, 64.0), size), (128, 128), (1.0, 1.0)) is not None) == fits
