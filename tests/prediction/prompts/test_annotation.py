"""Labels on a part of the slices: the others are unknown, and never taught as background."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mvg
from mvg.data.case_labels import with_ignored
from mvg.errors import PromptError
from mvg.imaging.volume import IGNORED, LabelMap
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompts.annotation import AnnotatedLabels, filling_values, is_sparse, unknown_values
from mvg.prediction.prompts.folder import open_prompts
from tests.prediction.bodies import AFFINE, MR, body, dice, labels_of, predictor, task_of

few = settings(max_examples=5, deadline=None)
PAIRS = [body(seed) for seed in (1, 2)]
LONG = AFFINE @ np.diag([1, 1, 0.5, 1])


def ball(depth: int, radius: float, thickness: float = 3.0, center: float | None = None) -> LabelMap:
    """A ball of that radius in mm, in slices of 1 mm pixels."""
    x, y, z = np.meshgrid(np.arange(48), np.arange(48), np.arange(depth) * thickness, indexing="ij")
    middle = depth * thickness / 2 if center is None else center
    inside = (x - 24) ** 2 + (y - 24) ** 2 + (z - middle) ** 2 < radius**2
    return LabelMap(inside.astype(np.uint8), np.diag([-1.0, -1, thickness, 1]))


def kept(labels: LabelMap, slices: list[int]) -> LabelMap:
    """The labels of some slices alone; the others are 0."""
    voxels = np.zeros_like(labels.voxels)
    voxels[:, :, slices] = labels.voxels[:, :, slices]
    return LabelMap(voxels, labels.affine)


@settings(deadline=None)
@given(st.floats(2, 20), st.sampled_from([1.0, 3.0, 6.0]), st.floats(0, 60))
def test_whole_structures_are_no_sparse_annotation(radius: float, thickness: float, center: float) -> None:
    labels = ball(20, radius, thickness, center)
    assert not labels.values or radius < thickness or not is_sparse(labels)


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(0, 5))
def test_every_nth_slice_is_a_sparse_annotation(step: int, first: int) -> None:
    assert is_sparse(kept(ball(40, 20), list(range(first + 13, 27, step))))


def test_one_slice_in_the_middle_is_a_sparse_annotation() -> None:
    assert is_sparse(kept(ball(30, 20), [15]))
    assert not is_sparse(LabelMap(ball(30, 20).voxels[:, :, 15:16], np.eye(4)))


def test_values_and_slices_that_are_unknown() -> None:
    labels = LabelMap(np.arange(24).reshape(2, 3, 4) % 4, np.diag([1.0, 1, 5, 1]))
    marked = with_ignored(labels, (3,), (0, 3))
    assert np.array_equal(marked.voxels == IGNORED, (labels.voxels == 3) | (np.arange(4) % 3 > 0))
    assert marked.values == ()
    assert AnnotatedLabels.of(marked).slices("axial").tolist() == [0]
    assert AnnotatedLabels.of(labels).slices("axial").tolist() == [0, 1, 2, 3]
    assert with_ignored(labels, (9,)) is labels


@few
@given(st.sets(st.integers(0, 2), min_size=1, max_size=2), st.booleans())
def test_unlabeled_slices_do_not_teach_background(slices: set[int], are_marked: bool) -> None:
    """Fewer slices teach less: .9 of what all of them would give, and .85 of the truth. So a line is demanded too."""
    pairs = [body(seed) for seed in (1, 2)]
    targets = [kept(labels, sorted(slices)) for _, labels in pairs]
    if are_marked:
        targets = [with_ignored(labels, (), sorted(slices)) for _, labels in pairs]
    elif slices in ({0}, {2}, {0, 1}, {1, 2}):
        return  # as of a structure that goes on beyond the scan
    messages = list[str]()
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("mvg").addHandler(handler)
    task = predictor().prompt([image for image, _ in pairs], targets, options=PredictionOptions(zoom="off"))
    logging.getLogger("mvg").removeHandler(handler)
    assert any("annotated in part" in message for message in messages), "never another answer without a word"
    query, truth = body(9)
    whole = labels_of(task_of((0.0, 420.0, 900.0, 180.0)), query)
    assert dice(labels_of(task, query), truth.voxels) > 0.85
    assert dice(labels_of(task, query), whole) > 0.9


@few
@given(st.sampled_from([-1, -100, 255]), st.sets(st.integers(0, 2), min_size=1, max_size=2))
def test_values_that_mark_slices_teach_nothing(value: int, marked: set[int]) -> None:
    """Slices that hold a negative value, or 255 from corner to corner, were not annotated."""
    pairs = [body(seed) for seed in (1, 2)]
    targets = []
    for _, labels in pairs:
        voxels = labels.voxels.astype(np.int16)
        voxels[:, :, sorted(marked)] = value
        targets.append(LabelMap(voxels, labels.affine))
    task = predictor().prompt([image for image, _ in pairs], targets, options=PredictionOptions(zoom="off"))
    assert task.prompts.values == (1, 2)
    query, _ = body(9)
    assert dice(labels_of(task, query), labels_of(task_of((0.0, 420.0, 900.0, 180.0)), query)) >= 0.98


def test_lines_about_values_that_may_mark_slices(caplog: pytest.LogCaptureFixture) -> None:
    image, labels = body(1)
    for value, line in ((255, "the value 255, which no label has"), (7, "the label 7 of prompt 1 fills whole slices")):
        voxels = labels.voxels.copy()
        voxels[:, :, 0] = value
        with caplog.at_level(logging.WARNING, "mvg"):
            predictor().prompt([image], [LabelMap(voxels, labels.affine)], options=PredictionOptions(zoom="off"))
        assert line in caplog.text
    assert unknown_values(LabelMap((labels.voxels == 1) * 255, labels.affine)) == ()
    assert filling_values(LabelMap(np.ones((4, 4, 2), int), labels.affine)) == ()


@few
@given(st.integers(-9000, -2).filter(lambda value: value != -100), st.sampled_from([1, 2]))
def test_negative_labels_are_labels(value: int, negative: int) -> None:
    """A structure has any number; only what fills slices, or -1 and -100, is no structure."""
    targets = [np.where(labels.voxels == negative, value, labels.voxels.astype(np.int32)) for _, labels in PAIRS]
    task = predictor().prompt(
        [image for image, _ in PAIRS], [LabelMap(one, AFFINE) for one in targets], options=PredictionOptions(zoom="off")
    )
    predicted = labels_of(task, body(9)[0])
    clean = labels_of(task_of(MR), body(9)[0])
    assert task.prompts.values == (value, 3 - negative)
    assert dice(np.where(predicted == value, negative, predicted), clean) >= 0.98


def test_a_line_names_negative_labels(caplog: pytest.LogCaptureFixture) -> None:
    image, labels = PAIRS[0]
    target = LabelMap(np.where(labels.voxels == 1, -7, labels.voxels.astype(np.int16)), AFFINE)
    with caplog.at_level(logging.WARNING, "mvg"):
        predictor().prompt([image], [target], options=PredictionOptions(zoom="off"))
    assert "prompt 1 has the negative label -7" in caplog.text


def test_a_line_says_which_slices_are_used(caplog: pytest.LogCaptureFixture) -> None:
    image, labels = body(1)
    with caplog.at_level(logging.WARNING, "mvg"):
        predictor().prompt([image], [kept(labels, [1])])
    assert "1 of 1 prompts were annotated in part" in caplog.text
    assert "1 of 3 slices" in caplog.text


def test_scribbles_are_completed(caplog: pytest.LogCaptureFixture) -> None:
    image, labels = body(1)
    rng = np.random.default_rng(0)
    scribbled = np.where(rng.random(labels.shape) < 0.4, labels.voxels.astype(np.int64), IGNORED)
    task = predictor().prompt([image], [LabelMap(scribbled, labels.affine)], options=PredictionOptions(zoom="off"))
    query, truth = body(9)
    assert dice(labels_of(task, query), truth.voxels) > 0.85
    assert "annotated in part" in caplog.text


def test_slices_of_another_plane(caplog: pytest.LogCaptureFixture) -> None:
    """Annotated coronal slices of an axial stack: prompts are cut along the plane that has annotated slices."""
    image, labels = body(1)
    marked = np.full(labels.shape, IGNORED, np.int64)
    marked[:, 20:30] = labels.voxels[:, 20:30]
    prompts = predictor().prompt([image], [LabelMap(marked, labels.affine)]).prompts
    assert prompts.plane == "coronal"
    assert sorted(set(prompts.index.tolist())) == sorted(range(48 - 30, 48 - 20))


def test_nothing_annotated_is_refused() -> None:
    image, labels = body(1)
    nothing = LabelMap(np.full(labels.shape, IGNORED, np.int64), labels.affine)
    with pytest.raises(PromptError, match="no prompt with a slice that was annotated"):
        predictor().prompt([image], [nothing])


def test_folders_name_ignored_values_and_annotated_slices(tmp_path: Path) -> None:
    for number in (1, 2):
        image, labels = body(number)
        for path, volume in (("imagesTr/p{}_0000.nii.gz", image), ("labelsTr/p{}.nii.gz", labels)):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            mvg.write(volume, tmp_path / path.format(number))
    about = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "organ": 1, "ignore": 2},
        "annotated_slices": {"p2": [1]},
    }
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    first, second = (open_prompts(tmp_path).targets[number] for number in (0, 1))
    assert first.values == second.values == (1,)
    assert np.array_equal(first.voxels == IGNORED, body(1)[1].voxels == 2)
    assert (second.voxels[:, :, [0, 2]] == IGNORED).all()
