"""What is odd about prompts, queries and predictions is said in a line; ordinary ones have none."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import mvg
from mvg.errors import PromptError
from mvg.imaging.formats.nifti import disagreement_of_positions, stored_of
from mvg.imaging.stored_images import volume_of
from mvg.imaging.volume import Header, LabelMap, Volume
from mvg.prediction import held_out_check as held_out_check_module
from mvg.prediction.held_out_check import contradictions, held_out_check, label_contradictions
from mvg.prediction.oddities import answer_oddities, prompt_oddities, query_oddities, report_oddities
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.refinement import rejection
from tests.prediction.bodies import AFFINE, CT, MR, SHAPE, body, changed, predictor, task_of

few = settings(max_examples=8, deadline=None)


def kinds(query: Volume, task: PromptedTask) -> set[str]:
    return {oddity.kind for oddity in query_oddities(query, task.prompts, task.spec)}


@pytest.mark.parametrize("levels", [MR, CT])
@pytest.mark.parametrize("seed", range(3, 8))
def test_an_ordinary_query_has_no_oddity(levels: tuple[float, ...], seed: int) -> None:
    task = task_of(levels)
    assert kinds(body(seed, levels)[0], task) == set()
    assert prompt_oddities(task.prompts, task.spec) == ()


@few
@given(st.integers(3, 2**16), st.integers(-40, 40), st.sampled_from([0, 1000, 1024, 2000]))
def test_ct_on_mr_prompts_and_the_other_way_round(seed: int, shift: int, offset: int) -> None:
    """Also CT of another scanner, by some HU, and CT that is stored with an offset, as far as its file says so."""
    ct = changed(body(seed, CT)[0], lambda voxels: np.where(voxels < -500, voxels, voxels + shift))
    stated = replace(changed(ct, lambda voxels: voxels + offset), header=Header("dicom", b"CT", AFFINE.tobytes()))
    assert "intensities" in kinds(ct, task_of(MR))
    assert "intensities" in kinds(stated, task_of(MR))
    assert kinds(body(seed, MR)[0], task_of(CT)) & {"intensities", "offset"}


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
@given(st.sets(st.integers(0, 9), min_size=1, max_size=8), st.floats(-1000, 1000))
def test_empty_slices_within_a_volume(empty: set[int], value: float) -> None:
    """What lies there cannot be predicted; at the ends they are padding, and nothing is missing."""
    image = body(9)[0].voxels[:, :, [0, 1, 2, 1, 0, 1, 2, 1, 0, 1]].copy()
    image[:, :, sorted(empty)] = value
    visible = [number for number in range(10) if number not in empty]
    lost = [number for number in empty if visible[0] < number < visible[-1]]
    oddities = query_oddities(Volume(image, AFFINE), task_of(MR).prompts, task_of(MR).spec)
    messages = [oddity.message for oddity in oddities if oddity.kind == "empty slices"]
    assert len(messages) == bool(lost)
    assert all(line.startswith(f"{len(lost)} ") and f"slice {min(lost) + 1} of 10" in line for line in messages)


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


@few
@given(st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1), st.integers(1, 2), st.booleans())
def test_a_query_of_a_prompts_patient(patient: str, number: int, is_dummy: bool) -> None:
    """One identifier for all prompts is that of an anonymizer."""

    def of(volume: Volume, name: str) -> Volume:
        return replace(volume, header=Header("dicom", f"MR\n{name}".encode(), volume.affine.tobytes()))

    names = [patient if is_dummy or prompt == number else f"other {prompt}" for prompt in (1, 2)]
    pairs = [body(seed) for seed in (1, 2)]
    images = [of(image, name) for (image, _), name in zip(pairs, names, strict=True)]
    task = predictor().prompt(images, [labels for _, labels in pairs], options=PredictionOptions(zoom="off"))
    oddities = query_oddities(of(body(9)[0], patient), task.prompts, task.spec)
    assert [oddity.kind for oddity in oddities] == ([] if is_dummy else ["patient"])
    assert all(f"the same patient as prompt {number}," in oddity.message for oddity in oddities)
    assert kinds(of(body(9)[0], "somebody"), task) == kinds(body(9)[0], task) == set()


@few
@given(st.integers(8, 300), st.integers(8, 300), st.sampled_from([".png", ".jpg", ".bmp", ".tif"]))
def test_a_photograph_among_scans(rows: int, columns: int, suffix: str) -> None:
    pixels = np.random.default_rng(rows).integers(0, 255, (rows, columns, 3)).astype(np.uint8)
    with TemporaryDirectory() as folder:
        Image.fromarray(pixels).save(Path(folder) / f"photo{suffix}")
        assert "picture" in kinds(mvg.read(Path(folder) / f"photo{suffix}"), task_of(MR))


@few
@given(st.integers(0, SHAPE[2] - 1), st.integers(3, 2**16))
def test_one_slice_of_a_volume(number: int, seed: int) -> None:
    """As one file of a DICOM series, of which no other lies beside it."""
    image, labels = body(seed)
    affine = image.affine.copy()
    affine[2, 3] += AFFINE[2, 2] * number
    slice_alone = Volume(image.voxels[..., number : number + 1], affine)
    assert kinds(slice_alone, task_of(MR)) == {"single slice"}
    mask = LabelMap(labels.voxels[..., number : number + 1], affine)
    task = predictor().prompt([slice_alone], [mask], options=PredictionOptions(zoom="off"))
    assert "single slice" not in kinds(slice_alone, task)


@few
@given(st.floats(1, 60), st.floats(0, 90), st.integers(0, 2))
def test_a_header_that_says_two_positions(shift: float, angle: float, axis: int) -> None:
    other = AFFINE.copy()
    turn = np.eye(3)
    others = [one for one in range(3) if one != axis]
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn[np.ix_(others, others)] = [[cosine, -sine], [sine, cosine]]
    other[:3, :3] = turn @ other[:3, :3]
    other[axis, 3] += 4 * shift
    assert kinds(nifti_query(AFFINE, other), task_of(MR)) == {"position"}


@few
@given(st.floats(0, 0.3))
def test_shear_and_rounding_are_no_second_position(shear: float) -> None:
    sheared = AFFINE @ np.array([[1, shear, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    assert "position" not in kinds(nifti_query(sheared, sheared), task_of(MR))


@pytest.mark.parametrize("value", [np.nan, np.inf, 5.0, 1e30])
def test_a_damaged_qform_says_nothing(value: float) -> None:
    image = nib.Nifti1Image(body(9)[0].voxels, AFFINE)
    image.header.set_sform(AFFINE, 1)
    image.header["qform_code"], image.header["quatern_b"], image.header["qoffset_x"] = 1, value, value
    query = volume_of(stored_of(nib.Nifti1Image.from_bytes(image.to_bytes())), "the query")
    assert disagreement_of_positions(query.header) == 0


def test_a_file_that_does_not_say_where_it_lies() -> None:
    silent = nifti_query(None, None)
    assert "position" in kinds(silent, task_of(MR))
    pairs = [(silent, body(9)[1].voxels)]
    task = predictor().prompt([image for image, _ in pairs], [LabelMap(v, silent.affine) for _, v in pairs])
    assert "position" not in kinds(nifti_query(None, None), task)
    assert "position" in kinds(nifti_query(AFFINE, AFFINE), task)


def nifti_query(sform: NDArray[np.float64] | None, qform: NDArray[np.float64] | None) -> Volume:
    """A query with a NIfTI header that has these positions."""
    image = nib.Nifti1Image(body(9)[0].voxels, sform)
    if sform is None:
        image.header.set_zooms((3, 3, 6))
    else:
        image.header.set_qform(qform, 1, strip_shears=True)
        image.header.set_sform(sform, 1)
    return volume_of(stored_of(nib.Nifti1Image.from_bytes(image.to_bytes())), "the query")


@few
@given(st.integers(1, 12), st.floats(0.1, 300))
def test_a_label_map_among_scans(count: int, step: float) -> None:
    voxels = np.random.default_rng(count).integers(0, count + 1, body(9)[0].shape) * step
    assert "labels" in kinds(Volume(voxels, AFFINE), task_of(MR))


@few
@given(st.integers(1, 60), st.integers(64, 255))
def test_masks_of_several_values(first: int, second: int) -> None:
    (one, labels), (other, more) = body(1), body(2)
    targets = [LabelMap((labels.voxels == 1) * first, AFFINE), LabelMap((more.voxels == 1) * second, AFFINE)]
    task = predictor().prompt([one, other], targets)
    assert "label values" in {oddity.kind for oddity in prompt_oddities(task.prompts, task.spec)}


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


@few
@given(st.sampled_from([1, 7, 100, 255]), st.integers(0, 2**16))
def test_labels_that_are_given_as_pictures(step: int, seed: int) -> None:
    image, labels = body(seed)
    picture = Volume(labels.voxels.astype(np.float32) * step, labels.affine)
    prompted = predictor().prompt([image], [picture], "denoising", PredictionOptions(zoom="off"))
    assert "labels as pictures" in {oddity.kind for oddity in prompt_oddities(prompted.prompts, prompted.spec)}


@pytest.mark.parametrize("kind", ["synthesis", "denoising"])
def test_labels_that_are_given_as_pictures_and_resampled(kind: str) -> None:
    rng = np.random.default_rng(0)
    affine, rows = np.diag([0.5, 0.5, 3, 1]), np.arange(300)
    image = Volume(rng.uniform(20, 200, (300, 300, 2)), affine)
    inside = np.hypot(rows[:, None] - 150, rows[None] - 140) < 60
    labels = np.repeat((inside * 1.0 + (rows[:, None] < 110) * inside)[:, :, None], 2, axis=2)
    soft = 100 * np.exp(-((rows[:, None] - 150.0) ** 2 + (rows[None] - 140.0) ** 2) / 4000)[:, :, None] + 20 * np.ones(
        2
    )

    def kinds(target: NDArray[np.float64]) -> set[str]:
        task = predictor().prompt([image], [Volume(target, affine)], kind, PredictionOptions(zoom="off"))
        return {oddity.kind for oddity in prompt_oddities(task.prompts, task.spec)}

    assert "labels as pictures" in kinds(labels)
    assert "labels as pictures" not in kinds(soft)
    assert "labels as pictures" not in kinds(np.asarray(image.voxels) * 0.5)


@few
@given(st.floats(5, 3000), st.floats(-1000, 1000), st.integers(0, 2**16))
def test_pairs_that_teach_nothing(spread: float, mean: float, seed: int) -> None:
    images = [body(one)[0] for one in (seed, seed + 1)]
    rng = np.random.default_rng(seed)
    noise = [Volume(rng.normal(mean, spread, image.shape), image.affine) for image in images]
    assert held_out_check(predictor().prompt(images, noise, "synthesis", PredictionOptions(zoom="off")))


@few
@given(st.floats(0.1, 10), st.floats(-1000, 1000), st.integers(0, 2**16))
def test_pairs_that_teach_something(slope: float, intercept: float, seed: int) -> None:
    images = [body(one)[0] for one in (seed, seed + 1)]
    scaled = [changed(image, lambda voxels: slope * voxels + intercept) for image in images]
    assert held_out_check(predictor().prompt(images, scaled, "synthesis", PredictionOptions(zoom="off"))) == ()


def test_labels_are_not_checked_as_pictures() -> None:
    assert held_out_check(task_of(MR)) == ()


@pytest.mark.parametrize("fault", ["mirrored", "swapped", "none"])
def test_labels_that_contradict_the_other_prompts(fault: str) -> None:
    pairs = [body(seed) for seed in (1, 2, 3)]
    targets = [labels.voxels for _, labels in pairs]
    targets[1] = {"mirrored": targets[1][::-1, ::-1], "swapped": np.array([0, 2, 1])[targets[1]]}.get(fault, targets[1])
    task = predictor().prompt(
        [image for image, _ in pairs], [LabelMap(voxels, AFFINE) for voxels in targets],
        options=PredictionOptions(zoom="off"),
    )  # fmt: skip
    assert contradictions(task) == (), "nothing was measured yet"
    rejection.thresholds(task.cache, task.options)
    messages = [oddity.message for oddity in contradictions(task)]
    assert len(messages) == (fault != "none")
    assert all("2 (Dice 0." in message for message in messages)


FAULTS: dict[str, tuple[str, Callable[[NDArray[np.integer], int], NDArray[np.integer]]]] = {
    "swapped": ("it has the label", lambda labels, one: np.array([0, 2, 1])[labels]),
    "one of several": ("it has the label", lambda labels, one: np.where(labels == one, 3 - one, 0)),
    "mirrored": ("labels look mirrored", lambda labels, one: np.where(labels[::-1] == one, one, 0)),
    "inverted": ("looks inverted", lambda labels, one: np.where(labels > 0, 0, one)),
}


@few
@given(st.sampled_from(sorted(FAULTS)), st.integers(1, 50), st.sampled_from([1, 2]))
def test_two_prompts_that_contradict_each_other(fault: str, seed: int, label: int) -> None:
    (first, whole), (second, labels) = body(seed), body(seed + 100)
    line, change = FAULTS[fault]
    right = whole.voxels if fault == "swapped" else np.where(whole.voxels == label, label, 0)
    if fault == "inverted":
        right = np.where(whole.voxels > 0, label, 0)
    targets = [LabelMap(one.astype(np.uint8), AFFINE) for one in (right, change(labels.voxels, label))]
    task = predictor().prompt([first, second], targets, options=PredictionOptions(zoom="off"))
    (oddity,) = label_contradictions(task)
    assume("the same image" not in oddity.message)  # bodies of two seeds may look alike, which has a test of its own
    assert line in oddity.message
    good = predictor().prompt([first, second], [whole, labels], options=PredictionOptions(zoom="off"))
    assert label_contradictions(good) == ()


@few
@given(st.integers(1, 50), st.integers(10, 20))
def test_one_image_with_different_labels(seed: int, shift: int) -> None:
    image, labels = body(seed)
    moved = LabelMap(np.roll(labels.voxels, shift, axis=0), AFFINE)
    task = predictor().prompt([image, image], [labels, moved], options=PredictionOptions(zoom="off"))
    assert "the same image with different labels" in label_contradictions(task)[0].message
    same = predictor().prompt([image, image], [labels, labels], options=PredictionOptions(zoom="off"))
    assert label_contradictions(same) == ()


def test_odd_predictions() -> None:
    nothing = LabelMap(np.zeros((3, 3, 3), np.uint8), np.eye(4))
    query = Volume(np.arange(27.0).reshape(3, 3, 3), np.eye(4))

    def kinds(answer: Volume | LabelMap) -> list[str]:
        return [oddity.kind for oddity in answer_oddities(answer, query)]

    assert kinds(nothing) == ["empty"]
    assert kinds(LabelMap(np.eye(3, dtype=np.uint8)[None], np.eye(4))) == []
    assert kinds(Volume(np.ones((3, 3, 3)), np.eye(4))) == ["constant"]
    assert kinds(query) == ["unchanged"]
    assert kinds(Volume(query.voxels + 0.1, np.eye(4))) == []


def test_lines_or_with_strict_an_error(caplog: pytest.LogCaptureFixture) -> None:
    oddities = query_oddities(body(2)[0], task_of(MR).prompts, task_of(MR).spec)
    with caplog.at_level(logging.WARNING, "mvg"):
        report_oddities("a.nii", oddities, strict=False)
    assert "a.nii: the same image as prompt 2" in caplog.text
    with pytest.raises(PromptError, match="expected nothing odd"):
        report_oddities("a.nii", oddities, strict=True)


def test_labels_that_lie_elsewhere_and_have_other_values_are_not_mirrored() -> None:
    predicted, truth = np.zeros((2, 12, 12), np.uint8)
    predicted[1:4, 1:4], truth[8:11, 1:4] = 1, 2
    assert held_out_check_module._fault(predicted, truth) is None
    truth[8:11, 1:4] = 1
    fault = held_out_check_module._fault(predicted, truth)
    assert fault is not None
    assert fault.kind == "mirrored"
