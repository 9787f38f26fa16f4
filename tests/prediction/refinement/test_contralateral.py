"""Voids are filled smoothly, and like the other side of the body where both sides correlate."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from mvg.imaging.volume import Volume
from mvg.prediction.predictor import Predictor
from mvg.prediction.refinement import contralateral
from mvg.prediction.refinement.contralateral import contralateral_evidence, filled_smooth
from tests.prediction.learner import Filler

ROWS, COLS = np.mgrid[-80:80, -64:64].astype(np.float32)


def body(turn: float = 0.0, shift: float = 0.0, symmetric: bool = True, seed: int = 0) -> NDArray[np.float32]:
    """An ellipse of structures in [0.3, 1], symmetric about a line or not; black around it."""
    rng = np.random.default_rng(seed)
    structure = ndimage.gaussian_filter(rng.normal(size=ROWS.shape), 5)
    structure = 0.65 + 0.1 * structure / structure.std()
    if symmetric:
        structure = (structure + structure[:, ::-1]) / 2
        structure = 0.65 + (structure - structure.mean()) * 1.4
    inside = np.hypot(ROWS / 70, COLS / 48) < 1
    picture = np.where(inside, structure.clip(0.3, 1), 0)
    turned = ndimage.rotate(picture, turn, reshape=False, order=1)
    return np.asarray(ndimage.shift(turned, (0, shift), order=1).clip(0, 1), np.float32)


def hole_at(row: float, col: float, radius: float) -> NDArray[np.bool_]:
    return np.asarray(np.hypot(ROWS - row, COLS - col) < radius)


@pytest.mark.parametrize(("turn", "shift"), [(0.0, 0.0), (0.0, 4.5), (5.0, -3.0), (-7.0, 2.0)])
def test_the_other_side_shows_the_detail_of_a_void(turn: float, shift: float) -> None:
    whole, hole = body(turn, shift), hole_at(-15, 22, 13)
    picture = np.where(hole, 0, whole).astype(np.float32)
    filled, other = filled_smooth(picture, hole), contralateral_evidence(picture, hole)
    assert other.share == 1
    assert other.body[hole].all()
    assert not other.detail[~hole].any()
    with_detail, without = (np.square(one - whole)[hole].mean() for one in (filled + other.detail, filled))
    assert with_detail < 0.4 * without


def test_sides_that_do_not_correlate_give_no_evidence() -> None:
    whole, hole = body(symmetric=False), hole_at(-15, 22, 13)
    other = contralateral_evidence(np.where(hole, 0, whole).astype(np.float32), hole)
    assert other.share == 0
    assert not other.detail.any()
    assert not other.body.any()
    assert not other.outside.any()


def test_outside_of_the_body_nothing_is_filled() -> None:
    whole = body()
    hole = (hole_at(0, 44, 14) & (whole > 0)) | (hole_at(0, 54, 9) & (whole == 0))
    other = contralateral_evidence(np.where(hole, 0, whole).astype(np.float32), hole)
    assert other.share == 1
    assert other.outside[hole_at(0, 59, 2)].all()
    assert not other.outside[whole > 0].any()
    assert not other.outside[~hole].any()


def test_a_hole_on_both_sides_has_no_evidence() -> None:
    whole, hole = body(), hole_at(-15, 22, 13) | hole_at(-15, -23, 13)
    other = contralateral_evidence(np.where(hole, 0, whole).astype(np.float32), hole)
    assert np.abs(other.detail).max() < 0.02
    assert other.body.mean() < 0.02


@pytest.mark.parametrize("shape", [(160, 128), (3, 200), (1, 1)])
def test_pictures_without_a_body_give_no_evidence(shape: tuple[int, int]) -> None:
    hole = np.zeros(shape, np.bool_)
    hole[0, 0] = True
    assert contralateral_evidence(np.zeros(shape, np.float32), hole).share == 0


def test_a_notch_is_filled_if_the_other_side_shows_body() -> None:
    """Although the model predicts that it is dark."""
    whole = 100 * np.repeat(body().T[..., None], 2, axis=2)
    notch = hole_at(0, 44, 14).T & (whole[..., 0] > 0)
    holed = np.where(notch[..., None], 0, whole).astype(np.float32)
    query, target = (Volume(voxels, np.diag([0.7, 0.7, 3, 1])) for voxels in (holed, whole))
    prediction = Predictor(Filler(0.2)).prompt([query], [target], "inpainting")(query).volume.voxels
    error = np.abs(prediction - whole)[notch].mean()
    assert error < 12, "and not about 45, as the model predicted"


def test_a_gap_of_the_body_stays_as_the_model_predicts() -> None:
    whole = 100 * np.repeat(body().T[..., None], 2, axis=2)
    whole[54:74, 50:110] = 0
    query = Volume(whole.astype(np.float32), np.diag([0.7, 0.7, 3, 1]))
    prediction = Predictor(Filler(0.2)).prompt([query], [query], "inpainting")(query).volume.voxels
    assert prediction[56:72, 55:105].max() < 25, "and not about 65, like its edges"


def test_the_mirror_image_is_shifted_to_fit_the_surroundings_of_a_void() -> None:
    """One half of the body lies two pixels lower than the other."""
    whole, hole = body(), hole_at(-15, 22, 13)
    whole[:, :64] = ndimage.shift(whole[:, :64], (2, 0), order=0)
    picture = np.where(hole, 0, whole).astype(np.float32)
    smooth, other = filled_smooth(picture, hole), contralateral_evidence(picture, hole)
    assert other.share == 1
    with_detail, without = (np.square(one - whole)[hole].mean() for one in (smooth + other.detail, smooth))
    assert with_detail < 0.4 * without


def evidence_of(
    correlations: tuple[float, float], detail: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> contralateral.ContralateralEvidence:
    """The evidence for a void in a gray body, where both sides have these correlations and `detail` is beyond gray."""
    gray, hole = np.full(ROWS.shape, 0.5, np.float32), hole_at(0, 0, 40)
    places = np.indices(ROWS.shape, dtype=np.float32)
    monkeypatch.setattr(contralateral, "_mirror_line", lambda *_: (correlations[0], tuple(places)))
    monkeypatch.setattr(contralateral, "_shifted_to_fit", lambda *_: (gray + hole * detail, correlations[1]))
    monkeypatch.setattr(ndimage, "map_coordinates", lambda array, *_, **__: np.zeros_like(array))
    return contralateral_evidence(np.where(hole, 0, gray).astype(np.float32), hole)


@pytest.mark.parametrize(
    ("correlations", "share"),
    [
        ((0.6, 1.0), 0.0), ((0.66, 1.0), 0.5), ((0.72, 1.0), 1.0),
        ((1.0, 0.2), 0.0), ((1.0, 0.35), 0.5), ((1.0, 0.5), 1.0), ((0.66, 0.35), 0.25),
    ],
)  # fmt: skip
def test_the_share_of_the_evidence_grows_with_both_correlations(
    correlations: tuple[float, float], share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The correlation of the whole picture, and the one around the void."""
    evidence = evidence_of(correlations, np.full(ROWS.shape, 0.1, np.float32), monkeypatch)
    assert evidence.share == pytest.approx(share)
    assert evidence.detail[80, 64] == pytest.approx(0.7 * 0.1 * share, abs=1e-3)


def test_more_is_used_of_coarse_detail_than_of_fine_detail(monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = np.full(ROWS.shape, 0.1, np.float32)
    fine = np.where((ROWS + COLS) % 2 == 0, 0.1, -0.1).astype(np.float32)
    inside = hole_at(0, 0, 20)
    evidence = evidence_of((1.0, 1.0), coarse, monkeypatch)
    assert evidence.detail[inside] == pytest.approx(0.7 * coarse[inside], abs=1e-3)
    evidence = evidence_of((1.0, 1.0), fine, monkeypatch)
    assert evidence.detail[inside] == pytest.approx(0.3 * fine[inside], abs=1e-3)
