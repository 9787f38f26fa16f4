"""Stacks of thick slices are cut along their slices, however oblique they are and whatever their plane is called."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import mvg
from mvg.imaging.pose import Pose
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.batch import plan, predict_files
from mvg.prediction.corrections import read_corrections
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompted_task import PromptedTask
from tests.prediction.bodies import AFFINE, body, dice, labels_of, predictor


def turned(degrees: float, axis: int = 0) -> NDArray[np.float64]:
    """The affine of the bodies, turned about an axis of the patient."""
    others = [one for one in range(3) if one != axis]
    rotation, angle = np.eye(4), np.radians(degrees)
    rotation[np.ix_(others, others)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return rotation @ AFFINE


def task_at(affine: NDArray[np.float64]) -> PromptedTask:
    images, labels = zip(*(body(seed, affine=affine) for seed in (1, 2)), strict=True)
    return predictor().prompt(images, labels, options=PredictionOptions(zoom="off"))


@settings(max_examples=6, deadline=None)
@given(st.floats(0, 90), st.floats(-30, 30), st.integers(0, 1))
def test_a_query_at_another_angle_is_cut_along_its_slices(angle: float, difference: float, axis: int) -> None:
    task, query = task_at(turned(angle, axis)), body(9, affine=turned(angle + difference, axis))
    alike = body(9, affine=turned(angle, axis))
    assert dice(labels_of(task, query[0]), labels_of(task, alike[0])) >= 0.98
    assert dice(labels_of(task, query[0]), query[1].voxels) > 0.9


def test_the_answer_lies_on_the_grid_of_the_query() -> None:
    query, _ = body(9, affine=turned(47))
    answer = task_at(turned(43))(query).volume
    assert np.array_equal(answer.affine, query.affine)
    assert isinstance(answer, LabelMap)


@settings(max_examples=10, deadline=None)
@given(st.floats(30, 60), st.floats(-1, 1), st.integers(0, 1))
def test_a_prediction_and_its_query_have_the_same_pictures(angle: float, shear: float, axis: int) -> None:
    """Also where slices were cut along other axes than the names of the query's own say, and for sheared axes."""
    sheared = turned(angle, axis)
    sheared[:3, 1] += shear * sheared[:3, 0]
    query, task = body(9, affine=sheared)[0], task_at(turned(90 - angle, axis))
    with_all = task.with_options(replace(task.options, uncertainty=True, probabilities=True))
    for given_query in (query, task.prompts.posed(query)):
        answer = with_all(given_query)
        assert answer.uncertainty is not None
        assert answer.probabilities is not None
        for volume in (answer.volume, answer.uncertainty, answer.probabilities.of(0)):
            assert np.array_equal(volume.axes, given_query.axes)
            assert volume.pictures("axial").shape == given_query.pictures("axial").shape
    most_likely = np.argmax([answer.probabilities.of(value).voxels for value in (0, 1, 2)], axis=0)
    assert (most_likely == answer.volume.voxels).mean() > 0.95, "in the same order of voxels"


def test_the_pose_is_kept_in_the_task_file(tmp_path: Path) -> None:
    task, (query, truth) = task_at(turned(43)), body(9, affine=turned(47))
    task.save(tmp_path / "heart.mvgtask")
    assert dice(labels_of(predictor().load_task(tmp_path / "heart.mvgtask"), query), truth.voxels) > 0.9


def test_corrections_follow_the_same_slices() -> None:
    query, truth = body(9, affine=turned(47))
    session = task_at(turned(43)).open(query)
    assert dice(np.asarray(session.predict().volume.voxels), truth.voxels) > 0.9


@pytest.mark.parametrize("shape", [(20, 20, 20), (20, 20, 1), (20, 20, 4)])
def test_scans_along_the_axes_of_the_body_keep_their_planes(shape: tuple[int, int, int]) -> None:
    reference = Volume(np.zeros((20, 20, 5)), np.diag([-1.0, -1, 4, 1]))
    for angle in (0, 10, 25):
        volume = Volume(np.zeros(shape), turned(angle))
        assert Pose.of(reference).apply(volume) is volume


def test_a_batch_with_its_report_and_corrections(tmp_path: Path) -> None:
    """All that is written beside the labels follows the same slices."""
    task, (query, truth) = task_at(turned(43)), body(9, affine=turned(47))
    mvg.write(query, tmp_path / "q.nii.gz")
    options = replace(task.options, uncertainty=True, probabilities=True)
    jobs = plan([tmp_path / "q.nii.gz"], tmp_path / "out", "labels", extras=("uncertainty", "probabilities"))
    (tmp_path / "out").mkdir()
    (outcome,) = predict_files(task.with_options(options), jobs)
    assert outcome.error is None
    assert dice(mvg.read_labels(tmp_path / "out" / "q.nii.gz").voxels, truth.voxels) > 0.9
    assert mvg.read(tmp_path / "out" / "q_uncertainty.nii.gz").same_grid(query)
    posed = task.prompts.posed(query)
    corrections = read_corrections(truth, posed, 255)
    assert {one.plane for one in corrections.slices} <= {task.prompts.plane}
