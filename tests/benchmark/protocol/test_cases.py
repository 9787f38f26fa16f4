"""Evaluation cases: patients are never shared, tasks choose themselves, and a method is not handed the truth."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from mvg.benchmark.protocol.cases import EvalSize, eval_cases
from mvg.benchmark.protocol.pairs import case_pair
from mvg.data import open_folder
from mvg.data.case import split_of
from mvg.imaging.files import read_labels
from mvg.imaging.volume import IGNORED, LabelMap, Volume
from mvg.tasks import CasePair, evaluated_tasks, tasks_for
from tests.data.folders import apart, make_ct, make_mri, write_description

NAMES = [f"pat{number}" for number in range(40)]
QUERIES = [name for name in NAMES if split_of(name) == "val"][:2]
PROMPTS = [name for name in NAMES if split_of(name) == "train"][:3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = {f"{name}_{visit}": (100, 104, 4) for name in (*QUERIES, *PROMPTS) for visit in (1, 2)}
    return make_mri(tmp_path_factory.mktemp("data") / "heads", cases, channels=2, shifts=apart(cases))


def test_no_patient_is_on_both_sides_and_first_prompts_differ_in_patient(folder: Path) -> None:
    data = open_folder(folder)
    for task in evaluated_tasks(data):
        cases = list(eval_cases(data, task, EvalSize(prompts=3), seed=0))
        assert len(cases) == 4
        for case in cases:
            assert case.case.patient in QUERIES
            assert sorted(prompt.patient for prompt in case.prompts) == sorted(PROMPTS)


def test_few_queries_are_of_different_patients(folder: Path) -> None:
    data = open_folder(folder)
    cases = eval_cases(data, evaluated_tasks(data)[0], EvalSize(cases=2, prompts=1), seed=0)
    assert sorted(case.case.patient for case in cases) == sorted(QUERIES)


def test_queries_that_show_a_patient_of_the_prompts_are_left_out(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "heads")
    for part, ending in (("imagesTr", "_0000.nii.gz"), ("imagesTr", "_0001.nii.gz"), ("labelsTr", ".nii.gz")):
        prompt = tmp_path / "heads" / part / f"{PROMPTS[0]}_1{ending}"
        shutil.copy(prompt, tmp_path / "heads" / part / f"{QUERIES[0]}_2{ending}")
    data = open_folder(tmp_path / "heads")
    size = EvalSize(prompts=3, left_out=(f"{QUERIES[1]}_1",))
    for task in evaluated_tasks(data):
        names = {case.case.name for case in eval_cases(data, task, size, seed=0)}
        assert names == {f"{QUERIES[0]}_1", f"{QUERIES[1]}_2"}


def test_the_first_prompt_differs_from_query_to_query(folder: Path) -> None:
    data = open_folder(folder)
    cases = list(eval_cases(data, evaluated_tasks(data)[0], EvalSize(prompts=6), seed=0))
    assert len({case.prompts[0].case for case in cases}) > 1
    assert len({frozenset(prompt.case for prompt in case.prompts) for case in cases}) == 1, "drawn once for the set"


def test_ignored_labels_are_neither_in_prompts_nor_in_the_truth(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "heads")
    facts = {"patient": r"pat\d+", "channel_names": {"0": "one", "1": "other"}}
    write_description(tmp_path / "heads", labels={"background": 0, "organ": 1, "ignore": 2}, **facts)
    data = open_folder(tmp_path / "heads")
    for name in ("segmentation:one", "synthesis:one->other"):
        task = next(task for task in tasks_for(data.card) if task.name == name)
        case = next(eval_cases(data, task, EvalSize(prompts=1), seed=0))
        label_maps = [case.labels] if case.labels else [case.truth, case.prompts[0].target]
        if case.known is not None:
            everywhere = LabelMap(np.ones(case.query.shape, np.uint8), case.query.affine)
            assert np.array_equal(case.scored(everywhere).voxels == 0, ~case.known), "nothing counts there"
            (truth,) = (one for one in data.cases if one.name == case.case.name)
            assert isinstance(truth.labels, Path)
            assert np.array_equal(read_labels(truth.labels).voxels == 2, ~case.known)
            assert isinstance(case.prompts[0].target, LabelMap)
            assert (case.prompts[0].target.voxels == IGNORED).any(), "prompts know what they do not know"
        assert (case.known is None) == (task.kind != "segmentation")
        assert [labels.values for labels in label_maps if isinstance(labels, LabelMap)] == [(1,)] * len(label_maps)


def test_voids_are_where_the_query_differs_from_the_truth(folder: Path) -> None:
    data = open_folder(folder)
    task = next(task for task in evaluated_tasks(data) if task.kind == "inpainting")
    for case in eval_cases(data, task, EvalSize(prompts=1), seed=0):
        assert list(case.regions) == ["void", "whole"]
        void = case.regions["void"]
        assert void is not None
        assert void.any()
        assert isinstance(case.truth, Volume)
        np.testing.assert_array_equal(case.query.voxels[~void], case.truth.voxels[~void])
        assert (case.query.voxels[void] == case.truth.voxels.min()).all()


def test_pictures_are_measured_in_the_body_first(folder: Path) -> None:
    data = open_folder(folder)
    task = next(task for task in evaluated_tasks(data) if task.kind == "synthesis")
    case = next(eval_cases(data, task, EvalSize(prompts=1), seed=0))
    assert list(case.regions) == ["body", "whole"]
    body = case.regions["body"]
    assert body is not None
    assert 0.2 < body.mean() < 0.9
    assert (case.truth.voxels[~body] < case.truth.voxels.max() / 8).all()
    assert "percentiles of the truth" in case.range


def test_noise_is_the_same_for_query_and_prompt_and_only_on_the_image(tmp_path: Path) -> None:
    data = open_folder(make_ct(tmp_path / "ct"))
    task = evaluated_tasks(data)[0]
    first, again = case_pair(task, data.cases[0], 0), case_pair.__wrapped__(task, data.cases[0], 0)
    np.testing.assert_array_equal(first.image.voxels, again.image.voxels)
    assert (case_pair(task, data.cases[0], 1).image.voxels != first.image.voxels).any()
    assert 1 < (first.image.voxels - first.target.voxels).std() < 100


@pytest.mark.parametrize("slices", [1, 2])
def test_thinned_slices_keep_their_position(folder: Path, slices: int) -> None:
    data = open_folder(folder)
    whole = case_pair(tasks_for(data.card)[-1], data.cases[0], 0)
    thinned = whole.thinned(slices)
    assert thinned.image.shape == (100, 104, slices)
    assert thinned.image.same_grid(thinned.target)
    for index in range(slices):
        position = thinned.image.canonical().affine @ (50, 55, index, 1)
        voxel = np.rint(np.linalg.solve(whole.image.affine, position)).astype(int)[:3]
        assert thinned.image.canonical().voxels[50, 55, index] == whole.image.voxels[tuple(voxel)]


@pytest.mark.parametrize("length", [7, 22, 23, 36])
def test_thinned_slices_span_the_whole_volume(length: int) -> None:
    voxels = np.broadcast_to(np.arange(length, dtype=np.float32), (3, 4, length))
    whole = Volume(np.array(voxels), np.diag([1.0, 1, 2, 1]))
    thinned = CasePair(whole, whole, {"top": voxels > length / 2}).thinned(12)
    numbers = thinned.image.voxels[0, 0]
    assert len(numbers) <= 12
    step = numbers[1] - numbers[0]
    assert numbers[0] < step
    assert length - 1 - numbers[-1] < step
    assert thinned.image.affine[2, 2] == 2 * step
    np.testing.assert_array_equal(thinned.regions["top"], thinned.image.voxels > length / 2)


def test_a_request_holds_the_query_and_its_prompts_but_not_the_truth(folder: Path) -> None:
    data = open_folder(folder)
    case = next(eval_cases(data, evaluated_tasks(data)[0], EvalSize(prompts=3), seed=0))
    request = case.request(2)
    assert request.prompts == case.prompts[:2]
    assert all(value is not case.truth for value in vars(request).values())
