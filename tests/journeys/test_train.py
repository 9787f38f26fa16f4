"""`mvg prepare` and `mvg train`: from a folder of images to weights that predict."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mvg.imaging.files import read_labels
from mvg.model.weights import describe_weights, save_weights
from tests.data.folders import make_mri
from tests.journeys.conftest import Run
from tests.prediction.learner import random_model

RECIPE = """
name = "toy"
precision = "32-true"
[model]
size = 32
width = 24
depth = 2
heads = 2
fine = 8
levels = [1, 2]
target_width = 32
target_depth = 1
decoder_width = 32
decoder_depth = 1
[data]
store = "{store}"
workers = 0
[episodes]
batch = 1
panels = [2, 2]
[schedule]
steps = {steps}
log_steps = 1
"""


@pytest.fixture
def store(run: Run, tmp_path: Path) -> Path:
    """A prepared set of seven patients, one of them for validation."""
    make_mri(tmp_path / "heads", {f"pat{number}": (32, 32, 3) for number in range(6, 13)})
    result = run("prepare", tmp_path / "heads", "--output", tmp_path / "store")
    assert (result.code, result.err) == (0, "")
    return tmp_path / "store"


def test_from_a_folder_to_a_prediction(store: Path, run: Run, tmp_path: Path) -> None:
    recipe, output = tmp_path / "toy.toml", tmp_path / "run"
    recipe.write_text(RECIPE.format(store=store, steps=3))
    result = run("train", recipe, "--output", output, "--device", "cpu")
    assert result.code == 0, result.err
    assert result.out.strip().splitlines()[-1] == str(output / "weights")
    assert "not a medical device" in run("weights", "show", output / "weights").out
    assert list((output / "pictures").glob("*.png"))

    again = run("train", recipe, "--output", output, "--device", "cpu")
    assert again.code == 2
    assert "--resume" in again.err
    recipe.write_text(RECIPE.format(store=store, steps=4))
    assert run("train", recipe, "--output", output, "--device", "cpu", "--resume", "-q").code == 0
    points = [json.loads(line) for line in (output / "curves.jsonl").read_text().splitlines()]
    assert [point["step"] for point in points if "rate" in point] == [1, 2, 3, 4]

    heads = tmp_path / "heads"
    query = heads / "imagesTr" / "pat6_0000.nii.gz"
    common = ("--prompts", heads, "--output", tmp_path / "out", "--weights", output / "weights")
    assert run("predict", query, *common).code == 0
    assert read_labels(tmp_path / "out" / query.name).shape == (32, 32, 3)


def test_a_run_takes_the_network_that_it_starts_from(store: Path, run: Run, tmp_path: Path) -> None:
    recipe, output, start = tmp_path / "toy.toml", tmp_path / "run", tmp_path / "start"
    save_weights(random_model(size=48), start, "# start")
    recipe.write_text(f'start = "{start}"\n' + RECIPE.format(store=store, steps=1))
    result = run("train", recipe, "--output", output, "--device", "cpu", "-q")
    assert (result.code, result.err) == (0, "")
    info = describe_weights(output / "weights")
    assert info.config.size == 48
    assert "pictures of 48 pixels" in info.card
    with Image.open(next((output / "pictures").glob("*.png"))) as picture:
        assert picture.width == 5 * 48


def test_validation_uses_the_sets_and_kinds_that_are_trained(store: Path, run: Run, tmp_path: Path) -> None:
    make_mri(tmp_path / "hands", {f"pat{number}": (32, 32, 3) for number in range(6, 13)})
    assert run("prepare", tmp_path / "hands", "--output", store).code == 0
    recipe, output = tmp_path / "toy.toml", tmp_path / "run"
    chosen = '[data]\nsets = ["heads"]\ntasks = ["segmentation"]'
    recipe.write_text(RECIPE.format(store=store, steps=1).replace("[data]", chosen))
    assert run("train", recipe, "--output", output, "--device", "cpu", "-q").code == 0
    points = [json.loads(line) for line in (output / "curves.jsonl").read_text().splitlines()]
    assert set(points[-1]) - {"step", "minutes"} == {"iou", "iou/heads"}


@pytest.mark.slow
def test_of_two_processes_one_writes_and_prints(store: Path, tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(RECIPE.format(store=store, steps=2))
    words = ["train", "toy.toml", "--output", "run", "--device", "cpu", "--processes", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "mvg.app.cli", *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [str(tmp_path / "run" / "weights")]
    assert len(list((tmp_path / "run" / "pictures").iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--device", "gpuu"), "no device here is called 'gpuu'"),
        (("--device", "cuda:x"), "no device here is called 'cuda:x'"),
        (("--minutes", 0), "--minutes 0; expected more than 0"),
        (("--minutes", "inf"), "--minutes inf; expected more than 0"),
    ],
)
def test_an_impossible_option_is_an_error_of_one_line(
    words: tuple[object, ...], message: str, store: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "toy.toml").write_text(RECIPE.format(store=store, steps=1))
    result = run("train", tmp_path / "toy.toml", "--output", tmp_path / "run", *words)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [("nonsense = 1\n", "nonsense"), ("[schedule]\nstepz = 1\n", "stepz"), ("not toml", "TOML"), (None, "toy.toml")],
)
def test_broken_recipes(text: str | None, message: str, run: Run, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "toy.toml").write_text(text)
    result = run("train", tmp_path / "toy.toml", "--output", tmp_path / "run")
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_store_that_is_not_prepared(run: Run, tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(RECIPE.format(store=tmp_path / "nowhere", steps=1))
    result = run("train", tmp_path / "toy.toml", "--output", tmp_path / "run")
    assert result.code == 2
    assert "mvg prepare" in result.err


def test_a_folder_that_is_no_data_set(run: Run, tmp_path: Path) -> None:
    result = run("prepare", tmp_path, "--output", tmp_path / "store")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert not (tmp_path / "store").exists()
