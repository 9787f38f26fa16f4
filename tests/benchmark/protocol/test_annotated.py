"""Requests with a user who annotates slices of the query: what is asked for, and what is scored."""

import numpy as np
import pytest

from mvg.benchmark.protocol.annotated import annotated_request, scored_parts
from mvg.benchmark.protocol.cases import EvalCase
from mvg.benchmark.protocol.method import TrainingData
from mvg.benchmark.rivals import mvg_session
from mvg.data.case import Card, Case
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import Predictor
from mvg.tasks import tasks_for
from tests.prediction.learner import SIZE, Learner

CARD = Card("boxes", "Boxes", "MRI", "", ("T1",), {1: "box", 2: "corner"})


def case_of(first: int = 3, last: int = 11) -> EvalCase:
    labels = np.zeros((SIZE, SIZE, 16), np.int32)
    labels[8:20, 8:20, first : last + 1] = 1
    labels[0:4, 0:4, first] = 2
    affine = np.diag([-1.0, -1.0, 4.0, 1.0])
    image = np.where(labels > 0, 100.0 * labels, 20.0).astype(np.float32)
    (task,) = (task for task in tasks_for(CARD) if task.kind == "segmentation")
    return EvalCase(task, Case("one", "one", ()), Volume(image, affine), LabelMap(labels, affine), (), {"whole": None})


@pytest.mark.parametrize(("count", "expected"), [(1, (7,)), (3, (3, 7, 11)), (5, (3, 5, 7, 9, 11))])
def test_evenly_spaced_slices_reach_from_end_to_end(count: int, expected: tuple[int, ...]) -> None:
    request, _ = annotated_request(case_of(), count)
    assert request.annotator is not None
    assert request.annotator.evenly() == expected


def test_no_more_slices_are_drawn_than_agreed() -> None:
    case = case_of()
    request, annotator = annotated_request(case, 2)
    assert request.annotator is not None
    assert np.array_equal(request.annotator.annotate(3), case.truth.voxels[:, :, 3])
    request.annotator.annotate(3)
    request.annotator.annotate(11)
    with pytest.raises(AssertionError, match="3 slices for an annotator of 2"):
        request.annotator.annotate(5)
    assert annotator.requested >= {3, 11}


def test_scores_leave_out_annotated_slices_and_labels_that_nobody_drew() -> None:
    case = case_of()
    request, annotator = annotated_request(case, 2)
    assert request.annotator is not None
    for index in (5, 9):
        request.annotator.annotate(index)
    assert isinstance(case.truth, LabelMap)
    parts = {name: (prediction, truth) for name, prediction, truth in scored_parts(case.truth, case, annotator)}
    lengths = {name: truth.shape[2] for name, (_, truth) in parts.items()}
    assert lengths == {"open slices": 13 - 2, "between annotated slices": 3, "whole volume": 13}
    assert parts["open slices"][1].values == (1,), "no annotated slice shows the corner"
    assert parts["whole volume"][1].values == (1, 2)
    for prediction, truth in parts.values():
        assert np.array_equal(prediction.voxels, truth.voxels)


@pytest.mark.parametrize("order", ["even", "uncertain"])
def test_a_session_answers_from_the_slices_that_it_has_drawn(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mvg.benchmark.rivals.mvg_session.load", lambda *_: Predictor(Learner()))
    data = TrainingData.__new__(TrainingData)
    object.__setattr__(data, "device", "cpu")
    method = mvg_session.fit(mvg_session.Options(order=order), data)  # type: ignore[arg-type]
    case = case_of()
    request, annotator = annotated_request(case, 3)
    prediction = method(request)
    assert len(annotator.requested) == 3
    for index in annotator.requested:
        assert np.array_equal(prediction.voxels[:, :, index], case.truth.voxels[:, :, index])
    predicted, true = prediction.voxels == 1, case.truth.voxels == 1
    assert 2 * (predicted & true).sum() / (predicted.sum() + true.sum()) > 0.9, "but for pixels that are interpolated"


def test_a_single_annotated_slice_has_nothing_between() -> None:
    case = case_of()
    request, annotator = annotated_request(case, 1)
    assert request.annotator is not None
    request.annotator.annotate(7)
    assert [name for name, _, _ in scored_parts(case.truth, case, annotator)] == ["open slices", "whole volume"]
