"""Quality: patients are never shared, rivals do what they say, and a result file says where it comes from."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.quality import main
from benchmarks.rivals import copied, mean_filled
from benchmarks.unet import Specialist, UNet
from mvg.benchmark.pairs import make
from mvg.benchmark.questions import Prompt, Question, Size, chosen_tasks, questions
from mvg.data import Store, open_folder, prepare
from mvg.data.case import Card, side_of
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window
from mvg.model.weights import save_weights
from mvg.tasks import tasks_for
from mvg.tasks.kinds.segmentation import Segmentation
from tests.data.folders import AXIAL, make_ct, make_mri
from tests.prediction.learner import random_model

NAMES = [f"pat{number}" for number in range(40)]
ASKED = [name for name in NAMES if side_of(name) == "val"][:2]
SHOWN = [name for name in NAMES if side_of(name) == "train"][:3]
CARD = Card("made", "made", "MRI", "", ("T1",), {1: "thing"})
KINDS = ["inpainting", "segmentation", "synthesis", "synthesis"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = {f"{name}_{visit}": (100, 104, 4) for name in (*ASKED, *SHOWN) for visit in (1, 2)}
    return make_mri(tmp_path_factory.mktemp("data") / "heads", cases, channels=2)


def ramp(values: list[int], shape: tuple[int, int] = (4, 4)) -> LabelMap:
    """A volume whose slices are constant."""
    return LabelMap(np.broadcast_to(np.array(values), (*shape, len(values))), AXIAL)


def as_image(labels: LabelMap) -> Volume:
    return Volume(labels.voxels.astype(np.float32), labels.affine)


def asked(query: Volume, *prompts: Prompt, **more: Any) -> Question:
    task = Segmentation("segmentation:T1", CARD)
    facts = {"regions": {"whole": None}, "window": None, "range": ""} | more
    return Question("made", task, CARD, "case", "patient", query, query, prompts, **facts)


def test_no_patient_is_on_both_sides_and_first_prompts_differ_in_patient(folder: Path) -> None:
    found = open_folder(folder)
    for task in chosen_tasks(found):
        some = list(questions(found, task, Size(prompts=3), seed=0))
        assert len(some) == 4
        for question in some:
            patients = [prompt.patient for prompt in question.prompts]
            assert question.patient in ASKED
            assert sorted(patients) == sorted(SHOWN)


def test_few_queries_are_of_different_patients(folder: Path) -> None:
    found = open_folder(folder)
    some = questions(found, chosen_tasks(found)[0], Size(cases=2, prompts=1), seed=0)
    assert sorted(question.patient for question in some) == sorted(ASKED)


def test_tasks_are_those_the_card_offers(folder: Path, tmp_path: Path) -> None:
    assert sorted(task.kind for task in chosen_tasks(open_folder(folder))) == KINDS
    assert [task.name for task in chosen_tasks(open_folder(make_ct(tmp_path / "ct")))] == ["denoising:CT@25%"]
    real = open_folder(make_ct(tmp_path / "pairs", target=True))
    assert [task.name for task in chosen_tasks(real)] == ["denoising:CT, low dose"]


def test_voids_are_where_the_query_differs_from_the_truth(folder: Path) -> None:
    found = open_folder(folder)
    task = next(task for task in chosen_tasks(found) if task.kind == "inpainting")
    for question in questions(found, task, Size(prompts=1), seed=0):
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


def test_copy_takes_the_slice_at_the_same_relative_position() -> None:
    labels = ramp([1, 2, 3, 4], (2, 3))
    prompt = Prompt("a", "p", as_image(labels), labels)
    query = Volume(np.zeros((6, 5, 2)), AXIAL)
    answer = copied(asked(query, prompt), 1)
    assert isinstance(answer, LabelMap)
    np.testing.assert_array_equal(answer.affine, query.affine)
    np.testing.assert_array_equal(answer.voxels, ramp([2, 4], (6, 5)).voxels)


def test_copy_stretches_and_keeps_sides() -> None:
    half = LabelMap(np.repeat([1, 0], 2)[:, None, None] * np.ones((1, 4, 1), int), AXIAL)
    answer = copied(asked(Volume(np.zeros((8, 4, 1)), AXIAL), Prompt("a", "p", as_image(half), half)), 1)
    np.testing.assert_array_equal(answer.voxels[:, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0])


def test_copy_chooses_the_prompt_that_looks_alike() -> None:
    rng = np.random.default_rng(0)
    looks = [rng.uniform(0, 1, (20, 20, 1)) for _ in range(3)]
    prompts = [
        Prompt(str(n), str(n), Volume(look, AXIAL), LabelMap(np.full(look.shape, n + 1), AXIAL))
        for n, look in enumerate(looks)
    ]
    query = Volume(looks[1] * 50 + rng.uniform(0, 1, (20, 20, 1)), AXIAL)
    assert set(copied(asked(query, *prompts), 3).voxels.flat) == {2}
    assert set(copied(asked(query, *prompts), 1).voxels.flat) == {1}


def test_mean_fill_takes_the_mean_of_the_body_in_each_slice() -> None:
    voxels = np.zeros((6, 6, 2))
    voxels[1:5, 1:5, 0], voxels[1:5, 1:5, 1] = 40, 80
    void = np.zeros(voxels.shape, bool)
    void[2:4, 2:4] = True
    query = Volume(np.where(void, 0, voxels), AXIAL)
    filled = mean_filled(asked(query, regions={"void": void, "whole": None}, window=Window(0, 100)))
    np.testing.assert_allclose(filled.voxels, voxels)


def test_a_run_writes_where_it_comes_from_and_every_method(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = save_weights(random_model(), tmp_path / "made", "- recipe: made.toml")
    results = tmp_path / "new" / "quality.jsonl"
    command = [str(folder), "--weights", str(tmp_path / "made"), "--prompts", "1", "2", "--cases", "1"]
    assert main([*command, "--output", str(results), "--pictures", str(tmp_path / "sheets")]) == 0
    header, *lines = map(json.loads, results.read_text().splitlines())
    header = header["header"]
    assert header["sha256"] == info.sha256
    assert header["recipe"] == "recipe: made.toml"
    assert {"command", "commit", "cpu", "cores", "date", "seed", "weights"} <= set(header)
    keys = {"set", "case", "patient", "task", "prompts", "method", "metric", "value", "region", "range"}
    assert all(keys <= set(line) for line in lines)
    methods = {(line["task"].split(":")[0], line["method"], line["prompts"]) for line in lines}
    for kind in set(KINDS):
        assert {(kind, name, count) for name in ("mvg", "copy") for count in (1, 2)} <= methods
    assert ("inpainting", "mean fill", 0) in methods
    assert ("segmentation", "identity", 0) not in methods
    assert (tmp_path / "sheets" / "quality.png").is_file()
    assert main([*command, "--output", str(tmp_path / "again.jsonl")]) == 0
    assert (tmp_path / "again.jsonl").read_text().splitlines()[1:] == results.read_text().splitlines()[1:]
    capsys.readouterr()
    assert main(["--table", str(results)]) == 0
    shown = capsys.readouterr().out
    assert "| Mean IoU |" in shown
    assert "| PSNR (dB), inpainting, void |" in shown


def test_unknown_weights_are_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--weights", "nobody", "--output", str(tmp_path / "x.jsonl")]) == 2
    assert "nobody" in capsys.readouterr().err
    assert not (tmp_path / "x.jsonl").exists()


def test_the_unet_is_small_and_learns_where_things_lie(folder: Path, tmp_path: Path) -> None:
    ticks = count()
    assert 1e6 < sum(parameter.numel() for parameter in UNet(3).parameters()) < 2e6
    prepare([folder], tmp_path)
    found, stored = open_folder(folder), Store.open(tmp_path).sets["heads"]
    task = next(task for task in chosen_tasks(found) if task.kind == "segmentation")
    specialist = Specialist(task, stored, 0.25, seed=0, clock=lambda: next(ticks))
    question = next(questions(found, task, Size(prompts=1), seed=0))
    answer = specialist(question)
    assert specialist.steps == 14
    assert answer.shape == question.query.shape
    right = question.truth.voxels > 0
    assert (answer.voxels[right] > 0).mean() > (answer.voxels[~right] > 0).mean() + 0.3
