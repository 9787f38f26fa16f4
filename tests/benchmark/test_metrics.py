"""Every metric keeps its word, and its values agree with a second, plainer computation."""

import sys
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import cdist
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mvg._plugins import contributions
from mvg.benchmark import metrics
from mvg.benchmark.metrics._surface import surface_library, surfaces
from mvg.benchmark.protocol.metric import Measurements, Metric, Score
from mvg.errors import BenchmarkError
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window

METRICS: dict[str, Metric] = {name: module.METRIC for name, module in contributions(metrics).items()}
AFFINE = np.array([[0, -0.8, 0, 5], [0.8, 0, 0, 7], [0, 0, 2.5, -3], [0, 0, 0, 1]])
NAMES = {1: "liver", 2: "spleen", 9: "stone"}
# a threshold: a segmentation that is exact on the true picture
SEGMENT = partial(lambda level, volume: LabelMap(volume.voxels > level, volume.affine), 60)


def balls(shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """A large ball of label 1 and a smaller one of label 2 (discs where an axis has length 1)."""
    steps = np.ogrid[tuple(slice(0, length) for length in shape)]

    def ball(place: tuple[float, ...], share: float) -> NDArray[np.bool_]:
        radii = [max(1, length * share) for length in shape]
        every = zip(steps, place, shape, radii, strict=True)
        return sum(((step - at * (n - 1)) / r) ** 2 for step, at, n, r in every) <= 1

    return np.where(ball((0.3, 0.4, 0.5), 0.22), 1, np.where(ball((0.7, 0.7, 0.5), 0.15), 2, 0))


def painted(labels: NDArray[Any]) -> Volume:
    smooth = ndimage.gaussian_filter(np.where(labels > 0, 100.0, 20.0), 0.5)
    return Volume(smooth + np.random.default_rng(0).uniform(-2, 2, labels.shape), AFFINE)


def judged(metric: Metric, answer: NDArray[Any], truth: NDArray[Any]) -> Score:
    """What the metric is to judge: the label arrays themselves, or pictures of them."""
    if metric.answers == "labels":
        said, right = LabelMap(answer, AFFINE), LabelMap(truth, AFFINE)
        plain = Score(said, right, right.plane, NAMES, None, {"whole": None})
        # A method that knows how good it is.
        return replace(plain, estimate=lambda: METRICS["dice"].measure(plain)[0].value)
    said, right = painted(answer), painted(truth)
    labels = SEGMENT(right)
    regions = {"body": truth > 0, "nowhere": truth < 0, "whole": None}
    return Score(said, right, right.plane, NAMES, Window(0, 120), regions, labels, SEGMENT)


def only(found: list[Measurements], region: str = "whole") -> Measurements:
    (one,) = [measured for measured in found if measured.region == region]
    return one


def shifted(truth: NDArray[Any]) -> NDArray[Any]:
    """Two voxels aside, and a few voxels of a label that is not there."""
    answer = np.roll(truth, 2, axis=int(np.argmax(truth.shape)))
    answer[tuple(slice(0, 2) for _ in range(3))] = 9
    return answer


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("shape", [(22, 24, 8), (22, 24, 1), (1, 20, 24)], ids=["volume", "axial", "sagittal"])
def test_the_truth_is_best_and_worse_is_worse(name: str, shape: tuple[int, int, int]) -> None:
    metric, truth = METRICS[name], balls(shape)
    assert metric.name
    assert metric.library
    assert metric.aggregation
    best = metric.range[1] if metric.better == "higher" else metric.range[0]
    same = metric.measure(judged(metric, truth, truth))
    worse = metric.measure(judged(metric, shifted(truth), truth))
    assert same
    assert [one.region for one in same] == [one.region for one in worse]
    assert "nowhere" not in {one.region for one in same}
    for right, wrong in zip(same, worse, strict=True):
        assert right.value == pytest.approx(best, abs=1e-6)
        assert metric.range[0] <= wrong.value <= metric.range[1]
        assert abs(wrong.value - best) > 1e-3 * min(1, metric.range[1])
        assert set(right.parts) <= set(NAMES.values()) | {"label 1"}


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.answers == "labels"])
def test_empty_sides(name: str) -> None:
    """A label on one side only is the worst there is; none on either side is fine, or not defined."""
    metric, truth = METRICS[name], balls((12, 12, 6))
    nothing = np.zeros_like(truth)
    missed = metric.measure(judged(metric, nothing, truth))
    made_up = metric.measure(judged(metric, truth, nothing))
    neither = metric.measure(judged(metric, nothing, nothing))
    worst = {"hd95": float(np.linalg.norm((12 * 0.8, 12 * 0.8, 6 * 2.5)))}.get(name, 0.0)
    if name == "false_positive_volume":
        assert only(made_up).value == pytest.approx((truth > 0).sum() * 0.8 * 0.8 * 2.5 / 1000)
        assert set(only(made_up).parts) == {"liver", "spleen"}
        assert only(missed).value == only(neither).value == 0
    elif name == "foreground_iou":
        assert made_up == neither == []
        assert only(missed).value == 0
    else:
        assert only(missed).value == pytest.approx(worst)
        assert only(made_up).value == pytest.approx(worst)
        assert only(neither).value == (0 if name == "hd95" else 1)


def test_overlaps_are_counted_by_hand() -> None:
    truth = np.array([1, 1, 1, 2, 2, 0]).reshape(1, 6, 1)
    answer = np.array([1, 1, 0, 2, 0, 2]).reshape(1, 6, 1)  # label 1: 2 of 3; label 2: 1 of 3
    iou, dice = (METRICS[name].measure(judged(METRICS[name], answer, truth))[0] for name in ("iou", "dice"))
    assert iou.parts == {"liver": pytest.approx(2 / 3), "spleen": pytest.approx(1 / 3)}
    assert iou.value == pytest.approx(0.5)
    assert dice.parts == {"liver": pytest.approx(4 / 5), "spleen": pytest.approx(2 / 4)}
    made_up = METRICS["iou"].measure(judged(METRICS["iou"], np.where(truth == 0, 9, truth), truth))[0]
    assert made_up.parts == {"liver": 1, "spleen": 1, "stone": 0}


def test_foreground_iou_sees_only_slices_that_hold_the_class() -> None:
    truth, answer = np.zeros((4, 4, 3), int), np.zeros((4, 4, 3), int)
    truth[:2, :, 0], truth[:2, :, 1] = 1, 1
    answer[:2, :, 0], answer[:1, :, 1], answer[:, :, 2] = 1, 1, 1  # right, half, and made up in the last slice
    metric = METRICS["foreground_iou"]
    assert only(metric.measure(judged(metric, answer, truth))).value == pytest.approx((1 + 0.5) / 2)


def boundary(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Corners (n, 2) in mm of the pixels on a contour, and how long the contour is there: marching squares by hand."""
    wide = np.pad(mask, 1)
    diagonal, (down, right) = float(np.hypot(*spacing)), spacing
    places, lengths = [], []
    for row, col in np.ndindex(wide.shape[0] - 1, wide.shape[1] - 1):
        a, b, c, d = wide[row : row + 2, col : col + 2].ravel()
        held = int(a) + int(b) + int(c) + int(d)
        if held in (0, 4):
            continue
        places.append((row * down, col * right))
        straight = right if a == b else down
        lengths.append(diagonal / 2 if held in (1, 3) else diagonal if a == d else straight)
    return np.array(places), np.array(lengths)


@pytest.mark.parametrize("stretch", [1.0, 3.0])
def test_surface_metrics_agree_with_brute_force_and_know_the_spacing(stretch: float) -> None:
    rng = np.random.default_rng(1)
    truth, answer = (ndimage.gaussian_filter(rng.normal(size=(30, 26)), 3) > 0.02 for _ in range(2))
    affine = np.diag([1.1 * stretch, 0.7 * stretch, 5, 1])
    maps = [LabelMap(mask[..., None].astype(np.uint8), affine) for mask in (answer, truth)]
    question = Score(maps[0], maps[1], "axial", {1: "thing"}, None, {"whole": None})
    spacing = (1.1 * stretch, 0.7 * stretch)
    (said, said_lengths), (right, right_lengths) = boundary(answer, spacing), boundary(truth, spacing)
    apart = cdist(said, right)
    near = [(apart.min(axis=1), said_lengths), (apart.min(axis=0), right_lengths)]
    within = sum(lengths[distances <= 2.0].sum() for distances, lengths in near)
    expected = within / (said_lengths.sum() + right_lengths.sum())
    assert METRICS["nsd"].measure(question)[0].value == pytest.approx(expected, abs=1e-6)
    tails = []
    for distances, lengths in near:
        order = np.argsort(distances, kind="stable")
        reached = np.cumsum(lengths[order]) / lengths.sum()
        tails.append(distances[order][min(np.searchsorted(reached, 0.95), len(order) - 1)])
    assert METRICS["hd95"].measure(question)[0].value == pytest.approx(max(tails), rel=0.02)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("axes", [2, 3])
def test_surfaces_are_those_of_the_library(axes: int) -> None:
    """Element by element, also at the rim of the picture and between masks that do not touch."""
    rng = np.random.default_rng(axes)
    truth, answer = (ndimage.gaussian_filter(rng.normal(size=(14, 12, 9)), 1.5) > 0.05 for _ in range(2))
    if axes == 2:
        truth, answer = truth[..., :1], answer[..., :1]
    spacing = (0.8, 1.0, 2.5)
    maps = [LabelMap(mask.astype(np.uint8), np.diag([*spacing, 1])) for mask in (answer, truth)]
    found = surfaces(Score(maps[0], maps[1], "axial", {}, None, {"whole": None}))[1]
    masks = [mask[..., 0] if axes == 2 else mask for mask in (truth, answer)]
    expected = surface_library().compute_surface_distances(*masks, spacing[:axes])
    assert found is not None
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-9)


def test_surfaces_use_the_third_axis_too() -> None:
    truth = np.zeros((12, 12, 12), int)
    truth[3:9, 3:9, 3:6] = 1
    answer = np.roll(truth, 2, axis=2)
    for step, distance in ((1.0, 2.0), (4.0, 8.0)):
        maps = [LabelMap(labels, np.diag([1, 1, step, 1])) for labels in (answer, truth)]
        question = Score(maps[0], maps[1], "axial", {}, None, {"whole": None})
        assert METRICS["hd95"].measure(question)[0].value == pytest.approx(distance)


def test_pictures_agree_with_scikit_image() -> None:
    rng = np.random.default_rng(0)
    truth = Volume(rng.uniform(-20, 120, (18, 20, 3)), np.diag([1, 1, 3, 1]))
    answer = Volume(truth.voxels + rng.normal(0, 10, truth.shape), truth.affine)
    region = np.zeros(truth.shape, bool)
    region[4:9, 3:11] = True
    question = Score(answer, truth, "axial", {}, Window(0, 100), {"void": region, "whole": None})
    said, right = (np.clip(volume.voxels.astype(float) / 100, 0, 1) for volume in (answer, truth))
    found = {name: METRICS[name].measure(question) for name in ("mae", "psnr", "ssim")}
    assert [one.region for one in found["mae"]] == ["void", "whole"]
    assert only(found["mae"], "void").value == pytest.approx(np.abs(said - right)[region].mean(), abs=1e-6)
    expected = peak_signal_noise_ratio(right, said, data_range=1)
    assert only(found["psnr"]).value == pytest.approx(expected, abs=1e-4)
    expected = peak_signal_noise_ratio(right[region], said[region], data_range=1)
    assert only(found["psnr"], "void").value == pytest.approx(expected, abs=1e-4)
    maps = [structural_similarity(said[..., z], right[..., z], data_range=1, full=True)[1] for z in range(3)]
    assert only(found["ssim"]).value == pytest.approx(np.mean(maps), abs=1e-5)
    assert only(found["ssim"], "void").value == pytest.approx(np.stack(maps, -1)[region].mean(), abs=1e-5)


def test_slices_below_the_sliding_window_have_no_ssim() -> None:
    picture = Volume(np.random.default_rng(0).uniform(0, 1, (6, 9, 2)), np.eye(4))
    question = Score(picture, picture, "axial", {}, Window(0, 1), {"whole": None})
    assert METRICS["ssim"].measure(question) == []


def test_labels_painted_on_slices_that_lack_them_are_counted_apart() -> None:
    metric, truth = METRICS["false_positive_volume"], balls((16, 16, 6))
    answer = truth.copy()
    empty = int(np.flatnonzero(~(truth == 1).any(axis=(0, 1)))[0])
    answer[:2, :3, empty] = 1
    found = metric.measure(judged(metric, answer, truth))
    assert only(found).value == 0, "the volume has the label"
    assert only(found, "slices").value == pytest.approx(6 * 0.8 * 0.8 * 2.5 / 1000)
    assert set(only(found, "slices").parts) == {"liver"}


def test_downstream_dice_needs_a_segmentation_and_labels() -> None:
    metric, truth = METRICS["downstream_dice"], balls((16, 16, 4))
    question = judged(metric, truth, truth)
    assert metric.measure(replace(question, segment=None)) == []
    assert metric.measure(replace(question, labels=None)) == []
    blank = replace(question, answer=Volume(np.zeros(truth.shape), AFFINE))
    assert only(metric.measure(blank)).value == 0


@pytest.mark.parametrize("name", ["nsd", "hd95"])
def test_a_missing_library_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "surface_distance", None)
    truth = balls((12, 12, 4))
    with pytest.raises(BenchmarkError, match=r"'\.\[benchmark\]'"):
        METRICS[name].measure(judged(METRICS[name], truth, truth))
