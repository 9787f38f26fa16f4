"""Questions: patients are never shared, tasks are those of the card, and a method is not handed the truth."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from mvg.benchmark.protocol.cases import Size, chosen_tasks, eval_cases
from mvg.benchmark.protocol.pairs import Made, make
from mvg.data import open_folder
from mvg.data.case import split_of
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import tasks_for
from tests.data.folders import described, make_ct, make_mri

NAMES = [f"pat{number}" for number in range(40)]
ASKED = [name for name in NAMES if split_of(name) == "val"][:2]
SHOWN = [name for name in NAMES if split_of(name) == "train"][:3]
KINDS = ["inpainting", "segmentation", "synthesis", "synthesis"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = {f"{name}_{visit}": (100, 104, 4) for name in (*ASKED, *SHOWN) for visit in (1, 2)}
    return make_mri(tmp_path_factory.mktemp("data") / "heads", cases, channels=2)


def test_no_patient_is_on_both_sides_and_first_prompts_differ_in_patient(folder: Path) -> None:
    found = open_folder(folder)
    for task in chosen_tasks(found):
        some = list(eval_cases(found, task, Size(prompts=3), seed=0))
        assert len(some) == 4
        for question in some:
            patients = [prompt.patient for prompt in question.prompts]
            assert question.patient in ASKED
            assert sorted(patients) == sorted(SHOWN)


def test_few_queries_are_of_different_patients(folder: Path) -> None:
    found = open_folder(folder)
    some = eval_cases(found, chosen_tasks(found)[0], Size(cases=2, prompts=1), seed=0)
    assert sorted(question.patient for question in some) == sorted(ASKED)


def test_tasks_are_those_the_card_offers(folder: Path, tmp_path: Path) -> None:
    assert sorted(task.kind for task in chosen_tasks(open_folder(folder))) == KINDS
    assert [task.name for task in chosen_tasks(open_folder(make_ct(tmp_path / "ct")))] == ["denoising:CT@25%"]
    real = open_folder(make_ct(tmp_path / "pairs", target=True))
    assert [task.name for task in chosen_tasks(real)] == ["denoising:CT, low dose"]


def test_what_is_marked_to_be_ignored_is_neither_shown_nor_asked(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "heads")
    about = {"patient": r"pat\d+", "channel_names": {"0": "one", "1": "other"}}
    described(tmp_path / "heads", labels={"background": 0, "organ": 1, "ignore": 2}, **about)
    found = open_folder(tmp_path / "heads")
    for name in ("segmentation:one", "synthesis:one->other"):
        task = next(task for task in tasks_for(found.card) if task.name == name)
        question = next(eval_cases(found, task, Size(prompts=1), seed=0))
        seen = [question.labels] if question.labels else [question.truth, question.prompts[0].target]
        assert [labels.values for labels in seen if isinstance(labels, LabelMap)] == [(1,)] * len(seen)


def test_voids_are_where_the_query_differs_from_the_truth(folder: Path) -> None:
    found = open_folder(folder)
    task = next(task for task in chosen_tasks(found) if task.kind == "inpainting")
    for question in eval_cases(found, task, Size(prompts=1), seed=0):
        void = question.regions["void"]
        assert void is not None
        assert void.any()
        assert isinstance(question.truth, Volume)
        np.testing.assert_array_equal(question.query.voxels[~void], question.truth.voxels[~void])
        assert (question.query.voxels[void] == question.truth.voxels.min()).all()


def test_noise_is_the_same_whoever_asks_and_only_on_the_image(tmp_path: Path) -> None:
    found = open_folder(make_ct(tmp_path / "ct"))
    task = chosen_tasks(found)[0]
    one, other = make(task, found.cases[0], 0), make.__wrapped__(task, found.cases[0], 0)
    np.testing.assert_array_equal(one.image.voxels, other.image.voxels)
    assert 1 < (one.image.voxels - one.target.voxels).std() < 100


@pytest.mark.parametrize("slices", [1, 2])
def test_thinned_slices_stay_where_they_are(folder: Path, slices: int) -> None:
    found = open_folder(folder)
    whole = make(tasks_for(found.card)[-1], found.cases[0], 0)
    part = whole.thinned(slices)
    assert part.image.shape == (100, 104, slices)
    assert part.image.same_grid(part.target)
    for index in range(slices):
        place = part.image.canonical().affine @ (50, 55, index, 1)
        at = np.rint(np.linalg.solve(whole.image.affine, place)).astype(int)[:3]
        assert part.image.canonical().voxels[50, 55, index] == whole.image.voxels[tuple(at)]


@pytest.mark.parametrize("length", [7, 22, 23, 36])
def test_thinned_slices_span_the_whole_volume(length: int) -> None:
    voxels = np.broadcast_to(np.arange(length, dtype=np.float32), (3, 4, length))
    whole = Volume(np.array(voxels), np.diag([1.0, 1, 2, 1]))
    part = Made(whole, whole).thinned(12).image
    shown = part.voxels[0, 0]
    assert len(shown) <= 12
    step = shown[1] - shown[0]
    assert shown[0] < step
    assert length - 1 - shown[-1] < step
    assert part.affine[2, 2] == 2 * step


def test_a_request_holds_the_query_and_its_prompts_but_not_the_truth(folder: Path) -> None:
    found = open_folder(folder)
    question = next(eval_cases(found, chosen_tasks(found)[0], Size(prompts=3), seed=0))
    request = question.request(2)
    assert request.prompts == question.prompts[:2]
    assert all(value is not question.truth for value in vars(request).values())
