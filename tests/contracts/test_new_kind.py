"""A new kind of task is one file: it is offered, trained, predicted, evaluated and listed without another change."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mvg.app.cli import app
from mvg.benchmark.run import RunSettings, run_suite
from mvg.benchmark.suite import suite_from
from mvg.data import Card, Store
from mvg.imaging.volume import Volume
from mvg.model.generalist import Generalist
from mvg.model.weights import save_weights
from mvg.prediction.predictor import Predictor
from mvg.tasks import Task, kind_names, kinds, spec_of, tasks_for
from tests.prediction.learner import Learner, tiny_config
from tests.prediction.scans import scan
from tests.training.conftest import Make, run

SHARPENING = '''
"""Sharpening: a picture without its fine detail -> the picture."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.data.case import Card
from mvg.data.store import StoredSlice
from mvg.tasks.task import Task, TaskSpec, windowed

SPEC = TaskSpec("sharpening", residual=True)


@dataclass(frozen=True)
class Sharpening(Task):
    """Blurred -> sharp of one channel."""

    spec: ClassVar[TaskSpec] = SPEC

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        picture = windowed(stored, self.channel)
        return ndimage.uniform_filter(picture, 3)[None], picture


def offered_by(card: Card) -> list[Task]:
    """One task for each channel."""
    return [Sharpening(f"sharpening:{name}", card, number) for number, name in enumerate(card.channels)]
'''

FUSION = '''
"""Fusion: two contrasts -> their mean."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Card
from mvg.data.store import StoredSlice
from mvg.tasks.task import Task, TaskSpec, windowed

SPEC = TaskSpec("fusion", inputs=2)


@dataclass(frozen=True)
class Fusion(Task):
    """The first two channels -> their mean."""

    spec: ClassVar[TaskSpec] = SPEC

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        images = np.stack([windowed(stored, 0), windowed(stored, 1)])
        return images, images.mean(axis=0)


def offered_by(card: Card) -> list[Task]:
    """One task, where there are two channels."""
    return [Fusion("fusion:mean", card)] if len(card.channels) == 2 else []
'''


def add_kind(name: str, source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with one more kind, until the test ends."""
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(folder)])
    yield
    sys.modules.pop(f"mvg.tasks.kinds.{name}", None)
    if hasattr(kinds, name):
        delattr(kinds, name)


@pytest.fixture
def sharpening(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from add_kind("sharpening", SHARPENING, tmp_path_factory.mktemp("kinds"), monkeypatch)


@pytest.fixture
def fusion(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from add_kind("fusion", FUSION, tmp_path_factory.mktemp("kinds"), monkeypatch)


def offered(store: Store, kind: str) -> list[Task]:
    return [task for data in store.sets.values() for task in tasks_for(data.card) if task.kind == kind]


def scores(kind: str, weights: str, output: Path) -> dict[str, list[float]]:
    """Method -> its PSNR for every case of a small suite."""
    table: dict[str, Any] = {
        "synthetic": True, "tasks": [kind], "prompts": [2], "cases": 1, "slices": 2, "metrics": ["psnr"],
        "methods": [
            {"rival": "mvg", "weights": weights}, {"rival": "copy_prompt"}, {"rival": "identity"},
        ],
    }  # fmt: skip
    run_suite(suite_from(table, "new"), RunSettings(output, None, "cpu", 1, "mvg benchmark"))
    lines = [json.loads(line) for line in (output / "results.jsonl").read_text(encoding="utf-8").splitlines()[1:]]
    assert {line["task"].split(":")[0] for line in lines} <= {kind}
    methods = {line["method"] for line in lines}
    return {method: [line["value"] for line in lines if line["method"] == method] for method in methods}


@pytest.mark.usefixtures("sharpening")
class TestSharpening:
    def test_it_is_offered_and_listed(self, store: Store) -> None:
        assert "sharpening" in kind_names()
        assert spec_of("sharpening").residual
        names = {task.name for task in offered(store, "sharpening")}
        assert names == {"sharpening:contrast 0", "sharpening:contrast 1", "sharpening:CT"}
        assert tasks_for(Card("x", "x", "ultrasound", "", ("B-mode",)))
        result = CliRunner().invoke(app, ["tasks"])
        assert result.exit_code == 0
        assert "sharpening" in result.output

    def test_it_is_trained(self, make_recipe: Make, tmp_path: Path) -> None:
        recipe = make_recipe(data={"tasks": ["sharpening"]}, schedule={"steps": 2})
        losses = run(recipe, tmp_path)
        assert len(losses) == 2
        assert np.isfinite(losses).all()

    def test_it_is_predicted(self) -> None:
        image, _ = scan()
        query, _ = scan(seed=9)
        target = Volume(image.voxels + 10, image.affine)
        prediction = Predictor(Learner()).prompt([image], [target], task="sharpening")(query).volume
        assert isinstance(prediction, Volume)
        assert np.abs(prediction.voxels - query.voxels - 10).mean() < 3, "a residual of the raw query"

    def test_it_is_evaluated(self, tmp_path: Path) -> None:
        results = scores("sharpening", "tiny", tmp_path)
        assert set(results) == {"mvg", "copy_prompt", "identity"}
        assert all(np.isfinite(values).all() for values in results.values())
        assert np.mean(results["mvg"]) > np.mean(results["copy_prompt"])


def two_images() -> Generalist:
    """A network with random weights that takes two images."""
    torch.manual_seed(0)
    model = Generalist(replace(tiny_config(), inputs=2))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return model.eval()


@pytest.mark.usefixtures("fusion")
class TestTwoInputImages:
    def test_it_is_trained(self, make_recipe: Make, tmp_path: Path) -> None:
        recipe = make_recipe(data={"tasks": ["fusion"]}, schedule={"steps": 2}, model={"inputs": 2})
        losses = run(recipe, tmp_path)
        assert len(losses) == 2
        assert np.isfinite(losses).all()

    def test_it_is_predicted_from_both_images(self) -> None:
        image, _ = scan()
        other = np.random.default_rng(0).uniform(0, 255, image.shape).astype(np.float32)
        pair = Volume(np.stack([image.voxels, other], axis=-1), image.affine)
        target = Volume((image.voxels + other) / 2, image.affine)
        task = Predictor(two_images()).prompt([pair], [target], task="fusion")
        assert task.prompts.images.shape[1] == 2
        prediction = task(pair).volume
        assert isinstance(prediction, Volume)
        assert prediction.shape == image.shape
        swapped = task(Volume(pair.voxels[..., ::-1].copy(), image.affine)).volume
        assert not np.array_equal(prediction.voxels, swapped.voxels)

    def test_it_is_evaluated(self, tmp_path: Path) -> None:
        save_weights(two_images(), tmp_path / "weights", "Random weights.")
        results = scores("fusion", str(tmp_path / "weights"), tmp_path / "output")
        assert "mvg" in results
        assert all(np.isfinite(values).all() for values in results.values())
