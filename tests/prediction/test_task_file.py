"""Task files: what was encoded once is shared as a file, without pickle, and damaged files are told."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from mvg.errors import FileError, WeightsError
from mvg.prediction.predictor import Predictor
from mvg.prediction.task_file import weights_of
from tests.prediction.learner import Learner, random_model
from tests.prediction.scans import scan


@pytest.mark.parametrize("form", ["matching", "painting", "merged"])
def test_a_loaded_task_answers_alike_and_encodes_nothing(form: str, tmp_path: Path) -> None:
    (image, labels), (query, _) = scan(seed=0), scan(seed=9)
    model = random_model(form)
    task = Predictor(model, "mine").prompt([image], [labels], num_prompts=3, strategy="most_similar")
    answer = task(query).volume
    task.save(tmp_path / "boxes.mvgtask")

    def refuse(*_: object) -> None:
        raise AssertionError("encoded again")

    model.encode = refuse  # type: ignore[method-assign]
    loaded = Predictor(model).load_task(tmp_path / "boxes.mvgtask")
    assert loaded.options == task.options
    assert np.array_equal(loaded(query).volume.voxels, answer.voxels)
    assert weights_of(tmp_path / "boxes.mvgtask") == "mine"


def test_other_weights_encode_the_prompts_again(tmp_path: Path) -> None:
    (image, labels), (query, truth) = scan(seed=0), scan(seed=9)
    Predictor(random_model()).prompt([image], [labels]).save(tmp_path / "boxes.mvgtask")
    learner = Learner()
    with torch.no_grad():
        next(learner.parameters()).add_(1)
    loaded = Predictor(learner).load_task(tmp_path / "boxes.mvgtask")
    assert np.array_equal(loaded(query).volume.voxels, truth.voxels)
    assert learner.encoded > 0


def test_a_model_of_another_size_is_refused(tmp_path: Path) -> None:
    image, labels = scan()
    Predictor(random_model()).prompt([image], [labels]).save(tmp_path / "boxes.mvgtask")
    with pytest.raises(WeightsError, match="32 pixels"):
        Predictor(random_model(size=64)).load_task(tmp_path / "boxes.mvgtask")


def test_safetensors_with_json_inside(tmp_path: Path) -> None:
    image, labels = scan()
    Predictor(random_model()).prompt([image], [labels]).save(tmp_path / "boxes.mvgtask")
    with safe_open(tmp_path / "boxes.mvgtask", framework="np") as file:
        assert '"segmentation"' in file.metadata()["mvg"]
        assert {"images", "targets"} <= set(file.keys())


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "foreign"])
def test_damaged_files(damage: str, tmp_path: Path) -> None:
    image, labels = scan()
    path = tmp_path / "boxes.mvgtask"
    Predictor(random_model()).prompt([image], [labels]).save(path)
    whole = path.read_bytes()
    broken = {
        "empty": b"",
        "text": b"prompts",
        "cut": whole[: len(whole) // 2],
        "foreign": whole.replace(b'"format', b'"farmot'),
    }
    broken["foreign"] = whole.replace(b'\\"format\\": 2', b'\\"format\\": 9')
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(broken[damage])
    with pytest.raises(FileError, match=r"boxes\.mvgtask"):
        Predictor(random_model()).load_task(path)


def test_nothing_is_left_where_a_task_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, labels = scan()
    task = Predictor(random_model()).prompt([image], [labels])

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mvg.prediction.task_file.save_file", full)
    with pytest.raises(FileError, match="No space left"):
        task.save(tmp_path / "boxes.mvgtask")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileError, match=r"ends in \.mvgtask"):
        task.save(tmp_path / "boxes.pt")
    with pytest.raises(FileError, match="could not be written"):
        task.save(tmp_path / "nowhere" / "boxes.mvgtask")
