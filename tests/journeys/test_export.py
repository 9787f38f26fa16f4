"""`mvg export`: graphs that predict without PyTorch what mvg predicts."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from mvg.app.onnx_example import Model, predict
from mvg.model.generalist import Generalist
from mvg.model.weights import load_weights, save_weights
from tests.journeys.conftest import Run
from tests.prediction.learner import SIZE, random_model

_ALONE = "import runpy, sys; sys.modules.update(torch=None, mvg=None); runpy.run_path('run.py', run_name='__main__')"

Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(random_model(), tmp_path_factory.mktemp("weights") / "toy", "# toy\n").folder


@pytest.fixture(scope="module")
def exported(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "new" / "graphs"
    command = [sys.executable, "-m", "mvg.app.cli", "export", str(folder), "--weights", str(toy)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == (f"{folder}\n", "")
    return folder


def squares(count: int, seed: int) -> tuple[Array, NDArray[np.uint8]]:
    """Bodies with a void, and labels 0, 2 and 5 in them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    images, labels = np.zeros((count, SIZE, SIZE), np.float32), np.zeros((count, SIZE, SIZE), np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = rng.integers(10, 20, 2)
        label[(x - column) ** 2 + (y - row) ** 2 < 16] = 2
        label[(x - column - 6) ** 2 + (y - row) ** 2 < 9] = 5
        image[2:-2, 2:-2] = 0.3 + 0.1 * label[2:-2, 2:-2] + rng.normal(0, 0.02, (SIZE - 4, SIZE - 4))
        image[24:29, 8:16] = 0
    return images.clip(0, 1), labels


def answer(model: Generalist, images: Array, targets: Array, queries: Array, kind: str) -> Array:
    """What mvg predicts; targets (n, c, s, s)."""
    with torch.no_grad():
        features = model.embed(torch.from_numpy(images[:, None]))
        prompts = model.encode(features, torch.from_numpy(targets[None]), kind)  # type: ignore[arg-type]
        return model.answer(model.embed(torch.from_numpy(queries[:, None])), prompts, kind).numpy()  # type: ignore[arg-type]


@pytest.mark.parametrize(("prompts", "queries", "values"), [(1, 1, (2,)), (3, 5, (2, 5))])
def test_labels_are_those_of_mvg(
    prompts: int, queries: int, values: tuple[int, ...], exported: Path, toy: Path
) -> None:
    (images, labels), (unseen, _) = squares(prompts, 0), squares(queries, 1)
    labels = np.where(np.isin(labels, values), labels, 0).astype(np.uint8)
    classes = np.stack([labels == value for value in values], axis=1).astype(np.float32)
    logits = answer(load_weights(toy), images, classes, unseen, "labels")
    expected = np.array([0, *values])[np.insert(logits, 0, 0, axis=1).argmax(1)]
    predicted = predict(Model(exported), images, labels, unseen)
    assert predicted.dtype == labels.dtype
    assert set(np.unique(expected)) == {0, *values}
    assert np.mean(predicted == expected) > 0.9999


@pytest.mark.parametrize(("prompts", "queries"), [(1, 1), (4, 3)])
def test_pictures_are_those_of_mvg(prompts: int, queries: int, exported: Path, toy: Path) -> None:
    (images, labels), (unseen, _) = squares(prompts, 2), squares(queries, 3)
    targets = (0.5 * images + 0.1 * labels).astype(np.float32).clip(0, 1)
    expected = answer(load_weights(toy), images, targets[:, None], unseen, "image")[:, 0].clip(0, 1)
    assert np.ptp(expected) > 0.3
    assert np.abs(predict(Model(exported), images, targets, unseen) - expected).max() < 1e-3


def test_the_example_runs_without_pytorch_and_mvg(exported: Path, tmp_path: Path) -> None:
    images, labels = squares(2, 4)
    np.savez(tmp_path / "prompts.npz", images=images, targets=labels)
    np.save(tmp_path / "queries.npy", images[:1])
    arguments = [str(tmp_path / name) for name in ("prompts.npz", "queries.npy", "answers.npy")]
    subprocess.run([sys.executable, "-c", _ALONE, *arguments], cwd=exported, check=True)
    assert (np.load(tmp_path / "answers.npy") == predict(Model(exported), images, labels, images[:1])).all()


def test_prompts_are_joined_as_the_description_says(exported: Path) -> None:
    model, (images, labels) = Model(exported), squares(3, 5)
    features, targets = model.embed(images), (labels == 2)[:, None].astype(np.float32)
    together = model.run("encode_labels", {**features, "targets": targets})
    parts = [
        model.run("encode_labels", {**{name: array[one] for name, array in features.items()}, "targets": targets[one]})
        for one in (slice(0, 1), slice(1, 3))
    ]
    for name, array in together.items():
        same = [part[name] for part in parts]
        joined = np.concatenate(same, axis=2) if name.startswith(("keys", "values")) else np.add(*same)
        np.testing.assert_allclose(joined, array, rtol=1e-4, atol=1e-4)


def test_the_description_has_the_shapes_of_the_graphs(exported: Path) -> None:
    about = json.loads((exported / "model.json").read_text(encoding="utf-8"))
    assert (about["side"], about["inputs"], about["weights"]["id"]) == (SIZE, 1, "toy")
    assert {path.name for path in exported.iterdir()} == {*about["graphs"], "model.json", "run.py", "card.md"}
    for file, parts in about["graphs"].items():
        session = onnxruntime.InferenceSession(str(exported / file))
        for part, ports in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
            assert list(parts[part]) == [one.name for one in ports]
            for one in ports:
                pairs = zip(parts[part][one.name], one.shape, strict=True)
                assert all(stated == length or {type(stated), type(length)} == {str} for stated, length in pairs), file


def test_a_folder_with_files_is_refused(run: Run, weights: Path, exported: Path) -> None:
    before = (exported / "model.json").read_bytes()
    result = run("export", exported, "--weights", weights)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "not an empty folder" in result.err
    assert (exported / "model.json").read_bytes() == before


@pytest.mark.parametrize("form", ["merged", "painting"])
def test_weights_that_paint_labels_are_refused(form: str, run: Run, tmp_path: Path) -> None:
    folder = save_weights(random_model(form), tmp_path / form, "").folder
    result = run("export", tmp_path / "graphs", "--weights", folder)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "paint labels" in result.err
    assert not (tmp_path / "graphs").exists()


def test_a_missing_package_is_named(run: Run, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mvg.app.onnx_export.find_spec", lambda _name: None)
    result = run("export", tmp_path / "graphs", "--weights", weights)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "mvg[export]" in result.err
