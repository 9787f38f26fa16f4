"""What is odd about prompts, queries and predictions is said in a line; ordinary ones have none."""

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mvg
from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.held_out_check import held_out_check
from mvg.prediction.oddities import answer_oddities, prompt_oddities, query_oddities, report_oddities
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompted_task import PromptedTask
from tests.prediction.bodies import AFFINE, CT, MR, body, changed, predictor, task_of

few = settings(max_examples=8, deadline=None)


def kinds(query: Volume, task: PromptedTask) -> set[str]:
    return {oddity.kind for oddity in query_oddities(query, task.prompts, task.spec)}


@pytest.mark.parametrize("levels", [MR, CT])
@pytest.mark.parametrize("seed", range(3, 8))
def test_an_ordinary_query_has_no_oddity(levels: tuple[float, ...], seed: int) -> None:
    task = task_of(levels)
    assert kinds(body(seed, levels)[0], task) == set()
    assert prompt_oddities(task.prompts, task.spec) == ()


def test_ct_on_mr_prompts_and_the_other_way_round() -> None:
    assert "intensities" in kinds(body(9, CT)[0], task_of(MR))
    assert kinds(body(9, MR)[0], task_of(CT)) & {"intensities", "offset"}


@few
@given(st.integers(1000, 3000))
def test_ct_with_an_offset(offset: int) -> None:
    query = changed(body(9, CT)[0], lambda voxels: np.maximum(voxels + offset, 0))
    assert kinds(query, task_of(CT)) == {"offset"}


@few
@given(st.floats(-1000, 1000))
def test_a_volume_of_one_intensity(value: float) -> None:
    assert kinds(Volume(np.full((20, 20, 3), value), AFFINE), task_of(MR)) == {"constant"}


@few
@given(st.floats(35, 90), st.integers(0, 1))
def test_other_planes(angle: float, axis: int) -> None:
    others = [one for one in range(3) if one != axis]
    turn = np.eye(4)
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn[np.ix_(others, others)] = [[cosine, -sine], [sine, cosine]]
    assert "plane" in kinds(body(9, affine=turn @ AFFINE)[0], task_of(MR))


@few
@given(st.one_of(st.floats(0.1, 0.45), st.floats(2.2, 10)))
def test_other_fields_of_view(scale: float) -> None:
    assert "field of view" in kinds(body(9, affine=np.diag([scale, scale, 1, 1]) @ AFFINE)[0], task_of(MR))


def test_a_copy_of_a_prompt() -> None:
    assert kinds(body(2)[0], task_of(MR)) == {"duplicate"}
    assert "duplicate" in kinds(changed(body(1)[0], lambda voxels: 2 * voxels + 7), task_of(MR))


def test_a_photograph_among_scans(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (120, 90)).astype(np.float32)
    mvg.write(Volume(pixels[:, :, None], np.diag([-1.0, -1, 1, 1])), tmp_path / "photo.png")
    assert "picture" in kinds(mvg.read(tmp_path / "photo.png"), task_of(MR))


def test_odd_prompts() -> None:
    (first, labels), (second, _) = body(1), body(2)
    rng = np.random.default_rng(0)
    grays = LabelMap(rng.integers(0, 40, labels.shape), labels.affine)
    empty = LabelMap(np.zeros_like(labels.voxels), labels.affine)
    far = Volume(second.voxels, np.diag([5.0, 5, 5, 1]) @ AFFINE)
    expected = {
        "gray labels": predictor().prompt([first], [grays], "segmentation"),
        "empty labels": predictor().prompt([first, second], [labels, empty]),
        "labels as pictures": predictor().prompt([first], [Volume(labels.voxels, labels.affine)], "denoising"),
        "field of view": predictor().prompt([first, far], [labels, LabelMap(labels.voxels, far.affine)]),
    }
    for kind, task in expected.items():
        assert kind in {oddity.kind for oddity in prompt_oddities(task.prompts, task.spec)}


def test_pairs_that_teach_nothing() -> None:
    images = [body(seed)[0] for seed in (1, 2)]
    rng = np.random.default_rng(0)
    noise = [Volume(rng.normal(100, 30, image.shape), image.affine) for image in images]
    bright = [changed(image, lambda voxels: 3 * voxels + 5) for image in images]
    options = PredictionOptions(zoom="off")
    assert held_out_check(predictor().prompt(images, noise, "synthesis", options))
    assert held_out_check(predictor().prompt(images, bright, "synthesis", options)) == ()
    assert held_out_check(task_of(MR)) == ()


def test_odd_predictions() -> None:
    nothing = LabelMap(np.zeros((3, 3, 3), np.uint8), np.eye(4))
    assert [oddity.kind for oddity in answer_oddities(nothing)] == ["empty"]
    assert answer_oddities(LabelMap(np.eye(3, dtype=np.uint8)[None], np.eye(4))) == ()
    assert [oddity.kind for oddity in answer_oddities(Volume(np.ones((3, 3, 3)), np.eye(4)))] == ["constant"]


def test_lines_or_with_strict_an_error(caplog: pytest.LogCaptureFixture) -> None:
    oddities = query_oddities(body(2)[0], task_of(MR).prompts, task_of(MR).spec)
    with caplog.at_level(logging.WARNING, "mvg"):
        report_oddities("a.nii", oddities, strict=False)
    assert "a.nii: the same image as prompt 2" in caplog.text
    with pytest.raises(PromptError, match="expected nothing odd"):
        report_oddities("a.nii", oddities, strict=True)
