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
from mvg.benchmark.metrics.frechet_radiomics import frechet_distance
from mvg.benchmark.protocol.metric import Metric, MetricInput, Score
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

    def ball(center: tuple[float, ...], share: float) -> NDArray[np.bool_]:
        radii = [max(1, length * share) for length in shape]
        every = zip(steps, center, shape, radii, strict=True)
        return sum(((step - at * (n - 1)) / r) ** 2 for step, at, n, r in every) <= 1

    return np.where(ball((0.3, 0.4, 0.5), 0.22), 1, np.where(ball((0.7, 0.7, 0.5), 0.15), 2, 0))


def picture_of(labels: NDArray[Any]) -> Volume:
    smooth = ndimage.gaussian_filter(np.where(labels > 0, 100.0, 20.0), 0.5)
    return Volume(smooth + np.random.default_rng(0).uniform(-2, 2, labels.shape), AFFINE)


def inputs_of(metric: Metric, prediction: NDArray[Any], truth: NDArray[Any]) -> MetricInput:
    """The label arrays themselves, or pictures of them, as the metric takes them."""
    if metric.target_type == "labels":
        predicted, true = LabelMap(prediction, AFFINE), LabelMap(truth, AFFINE)
        plain = MetricInput(predicted, true, true.plane, NAMES, None, {"whole": None})
        # The estimate of a method that knows its Dice.
        return replace(plain, estimate=lambda: METRICS["dice"].measure(plain)[0].value)
    predicted, true = picture_of(prediction), picture_of(truth)
    labels = SEGMENT(true)
    regions = {"body": truth > 0, "nowhere": truth < 0, "whole": None}
    return MetricInput(predicted, true, true.plane, NAMES, Window(0, 120), regions, labels, SEGMENT)


def only(scores: list[Score], region: str = "whole") -> Score:
    (one,) = [measured for measured in scores if measured.region == region]
    return one


def shifted(truth: NDArray[Any]) -> NDArray[Any]:
    """Two voxels aside, and a few voxels of a label that is not there."""
    prediction = np.roll(truth, 2, axis=int(np.argmax(truth.shape)))
    prediction[tuple(slice(0, 2) for _ in range(3))] = 9
    return prediction


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("shape", [(22, 24, 8), (22, 24, 1), (1, 20, 24)], ids=["volume", "axial", "sagittal"])
def test_the_truth_is_best_and_worse_is_worse(name: str, shape: tuple[int, int, int]) -> None:
    metric, truth = METRICS[name], balls(shape)
    assert metric.name
    assert metric.definition
    assert metric.aggregation
    best = metric.range[1] if metric.better == "higher" else metric.range[0]
    same = metric.measure(inputs_of(metric, truth, truth))
    worse = metric.measure(inputs_of(metric, shifted(truth), truth))
    assert same
    assert [one.region for one in same] == [one.region for one in worse]
    assert "nowhere" not in {one.region for one in same}
    for true, wrong in zip(same, worse, strict=True):
        assert true.value == pytest.approx(best, abs=1e-6)
        assert metric.range[0] <= wrong.value <= metric.range[1]
        assert abs(wrong.value - best) > 1e-3 * min(1, metric.range[1])
        assert set(true.by_label) <= set(NAMES.values()) | {"label 1"}


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.target_type == "labels"])
def test_empty_sides(name: str) -> None:
    """A label on one side only is the worst there is; none on either side is fine, or not defined."""
    metric, truth = METRICS[name], balls((12, 12, 6))
    nothing = np.zeros_like(truth)
    missed = metric.measure(inputs_of(metric, nothing, truth))
    made_up = metric.measure(inputs_of(metric, truth, nothing))
    neither = metric.measure(inputs_of(metric, nothing, nothing))
    worst = {"hd95": float(np.linalg.norm((12 * 0.8, 12 * 0.8, 6 * 2.5)))}.get(name, 0.0)
    if name == "false_positive_volume":
        assert only(made_up).value == pytest.approx((truth > 0).sum() * 0.8 * 0.8 * 2.5 / 1000)
        assert set(only(made_up).by_label) == {"liver", "spleen"}
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
    prediction = np.array([1, 1, 0, 2, 0, 2]).reshape(1, 6, 1)  # label 1: 2 of 3; label 2: 1 of 3
    iou, dice = (METRICS[name].measure(inputs_of(METRICS[name], prediction, truth))[0] for name in ("iou", "dice"))
    assert iou.by_label == {"liver": pytest.approx(2 / 3), "spleen": pytest.approx(1 / 3)}
    assert iou.value == pytest.approx(0.5)
    assert dice.by_label == {"liver": pytest.approx(4 / 5), "spleen": pytest.approx(2 / 4)}
    made_up = METRICS["iou"].measure(inputs_of(METRICS["iou"], np.where(truth == 0, 9, truth), truth))[0]
    assert made_up.by_label == {"liver": 1, "spleen": 1, "stone": 0}


def test_foreground_iou_sees_only_slices_that_hold_the_class() -> None:
    truth, prediction = np.zeros((4, 4, 3), int), np.zeros((4, 4, 3), int)
    truth[:2, :, 0], truth[:2, :, 1] = 1, 1
    prediction[:2, :, 0], prediction[:1, :, 1], prediction[:, :, 2] = (
        1,
        1,
        1,
    )  # true, half, and made up in the last slice
    metric = METRICS["foreground_iou"]
    assert only(metric.measure(inputs_of(metric, prediction, truth))).value == pytest.approx((1 + 0.5) / 2)


def boundary(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Corners (n, 2) in mm of the pixels on a contour, and how long the contour is there: marching squares by hand."""
    wide = np.pad(mask, 1)
    diagonal, (down, true) = float(np.hypot(*spacing)), spacing
    places, lengths = [], []
    for row, col in np.ndindex(wide.shape[0] - 1, wide.shape[1] - 1):
        a, b, c, d = wide[row : row + 2, col : col + 2].ravel()
        held = int(a) + int(b) + int(c) + int(d)
        if held in (0, 4):
            continue
        places.append((row * down, col * true))
        straight = true if a == b else down
        lengths.append(diagonal / 2 if held in (1, 3) else diagonal if a == d else straight)
    return np.array(places), np.array(lengths)


@pytest.mark.parametrize("stretch", [1.0, 3.0])
def test_surface_metrics_agree_with_brute_force_and_know_the_spacing(stretch: float) -> None:
    rng = np.random.default_rng(1)
    truth, prediction = (ndimage.gaussian_filter(rng.normal(size=(30, 26)), 3) > 0.02 for _ in range(2))
    affine = np.diag([1.1 * stretch, 0.7 * stretch, 5, 1])
    maps = [LabelMap(mask[..., None].astype(np.uint8), affine) for mask in (prediction, truth)]
    inputs = MetricInput(maps[0], maps[1], "axial", {1: "thing"}, None, {"whole": None})
    spacing = (1.1 * stretch, 0.7 * stretch)
    (predicted, predicted_lengths), (true, true_lengths) = boundary(prediction, spacing), boundary(truth, spacing)
    apart = cdist(predicted, true)
    near = [(apart.min(axis=1), predicted_lengths), (apart.min(axis=0), true_lengths)]
    within = sum(lengths[distances <= 2.0].sum() for distances, lengths in near)
    expected = within / (predicted_lengths.sum() + true_lengths.sum())
    assert METRICS["nsd"].measure(inputs)[0].value == pytest.approx(expected, abs=1e-6)
    tails = []
    for distances, lengths in near:
        order = np.argsort(distances, kind="stable")
        reached = np.cumsum(lengths[order]) / lengths.sum()
        tails.append(distances[order][min(np.searchsorted(reached, 0.95), len(order) - 1)])
    assert METRICS["hd95"].measure(inputs)[0].value == pytest.approx(max(tails), rel=0.02)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("axes", [2, 3])
def test_surfaces_are_those_of_the_library(axes: int) -> None:
    """Element by element, also at the rim of the picture and between masks that do not touch."""
    rng = np.random.default_rng(axes)
    truth, prediction = (ndimage.gaussian_filter(rng.normal(size=(14, 12, 9)), 1.5) > 0.05 for _ in range(2))
    if axes == 2:
        truth, prediction = truth[..., :1], prediction[..., :1]
    spacing = (0.8, 1.0, 2.5)
    maps = [LabelMap(mask.astype(np.uint8), np.diag([*spacing, 1])) for mask in (prediction, truth)]
    scores = surfaces(MetricInput(maps[0], maps[1], "axial", {}, None, {"whole": None}))[1]
    masks = [mask[..., 0] if axes == 2 else mask for mask in (truth, prediction)]
    expected = surface_library().compute_surface_distances(*masks, spacing[:axes])
    assert scores is not None
    assert set(scores) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(scores[name], values, rtol=0, atol=1e-9)


def test_surfaces_use_the_third_axis_too() -> None:
    truth = np.zeros((12, 12, 12), int)
    truth[3:9, 3:9, 3:6] = 1
    prediction = np.roll(truth, 2, axis=2)
    for step, distance in ((1.0, 2.0), (4.0, 8.0)):
        maps = [LabelMap(labels, np.diag([1, 1, step, 1])) for labels in (prediction, truth)]
        inputs = MetricInput(maps[0], maps[1], "axial", {}, None, {"whole": None})
        assert METRICS["hd95"].measure(inputs)[0].value == pytest.approx(distance)


def test_pictures_agree_with_scikit_image() -> None:
    rng = np.random.default_rng(0)
    truth = Volume(rng.uniform(-20, 120, (18, 20, 3)), np.diag([1, 1, 3, 1]))
    prediction = Volume(truth.voxels + rng.normal(0, 10, truth.shape), truth.affine)
    region = np.zeros(truth.shape, bool)
    region[4:9, 3:11] = True
    inputs = MetricInput(prediction, truth, "axial", {}, Window(0, 100), {"void": region, "whole": None})
    predicted, true = (np.clip(volume.voxels.astype(float) / 100, 0, 1) for volume in (prediction, truth))
    scores = {name: METRICS[name].measure(inputs) for name in ("mae", "psnr", "ssim")}
    assert [one.region for one in scores["mae"]] == ["void", "whole"]
    assert only(scores["mae"], "void").value == pytest.approx(np.abs(predicted - true)[region].mean(), abs=1e-6)
    expected = peak_signal_noise_ratio(true, predicted, data_range=1)
    assert only(scores["psnr"]).value == pytest.approx(expected, abs=1e-4)
    expected = peak_signal_noise_ratio(true[region], predicted[region], data_range=1)
    assert only(scores["psnr"], "void").value == pytest.approx(expected, abs=1e-4)
    maps = [structural_similarity(predicted[..., z], true[..., z], data_range=1, full=True)[1] for z in range(3)]
    assert only(scores["ssim"]).value == pytest.approx(np.mean(maps), abs=1e-5)
    assert only(scores["ssim"], "void").value == pytest.approx(np.stack(maps, -1)[region].mean(), abs=1e-5)


def test_slices_below_the_sliding_window_have_no_ssim() -> None:
    picture = Volume(np.random.default_rng(0).uniform(0, 1, (6, 9, 2)), np.eye(4))
    inputs = MetricInput(picture, picture, "axial", {}, Window(0, 1), {"whole": None})
    assert METRICS["ssim"].measure(inputs) == []


def test_labels_painted_on_slices_that_lack_them_are_counted_apart() -> None:
    metric, truth = METRICS["false_positive_volume"], balls((16, 16, 6))
    prediction = truth.copy()
    empty = int(np.flatnonzero(~(truth == 1).any(axis=(0, 1)))[0])
    prediction[:2, :3, empty] = 1
    scores = metric.measure(inputs_of(metric, prediction, truth))
    assert only(scores).value == 0, "the volume has the label"
    assert only(scores, "slices").value == pytest.approx(6 * 0.8 * 0.8 * 2.5 / 1000)
    assert set(only(scores, "slices").by_label) == {"liver"}


def test_downstream_dice_needs_a_segmentation_and_labels() -> None:
    metric, truth = METRICS["downstream_dice"], balls((16, 16, 4))
    inputs = inputs_of(metric, truth, truth)
    assert metric.measure(replace(inputs, segment=None)) == []
    assert metric.measure(replace(inputs, labels=None)) == []
    blank = replace(inputs, prediction=Volume(np.zeros(truth.shape), AFFINE))
    assert only(metric.measure(blank)).value == 0


def test_distances_of_textures_ignore_where_structures_lie_and_notice_blur() -> None:
    rng, affine = np.random.default_rng(0), np.diag([1.0, 1.0, 3.0, 1.0])
    texture = [ndimage.gaussian_filter(rng.uniform(0, 1, (64, 64, 3)), (1, 1, 0)) * 3 % 1 for _ in range(2)]
    blurred = ndimage.gaussian_filter(texture[0], (1.5, 1.5, 0))

    def distance(predicted: NDArray[Any], true: NDArray[Any]) -> float:
        pictures = (Volume(predicted, affine), Volume(true, affine))
        inputs = MetricInput(*pictures, "axial", {}, Window(0, 1), {"whole": None})
        return only(METRICS["frechet_radiomics"].measure(inputs)).value

    elsewhere = distance(texture[1], texture[0])
    assert distance(texture[0], texture[0]) == 0
    assert elsewhere < 1
    assert distance(blurred, texture[0]) > 3 * elsewhere


def test_the_frechet_distance_is_that_of_two_gaussians() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 20000, 2))
    moved = first * [1, 2] + [3, 0]
    assert frechet_distance(moved, second) == pytest.approx(np.hypot(3, 1), rel=0.03)


@pytest.mark.parametrize("name", ["nsd", "hd95"])
def test_a_missing_library_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "surface_distance", None)
    truth = balls((12, 12, 4))
    with pytest.raises(BenchmarkError, match=r"'\.\[benchmark\]'"):
        METRICS[name].measure(inputs_of(METRICS[name], truth, truth))
