"""Where a run happens: on devices that are there, in one process or several."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mvg.errors import RecipeError, UnknownNameError
from mvg.training import train as loop
from mvg.training.checkpoint import averaged
from mvg.training.launch import RunLocation
from mvg.training.train import train
from tests.training.conftest import Make


@pytest.mark.parametrize("device", ["cuda", "cuda:x", "gpuu", "cuda:3"])
def test_a_missing_device_is_an_error(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UnknownNameError, match=f"'{device}'; expected one of auto, cpu"):
        train(make_recipe(), RunLocation(tmp_path, device))


@pytest.mark.parametrize(("device", "most"), [("cuda:1", 1), ("cuda", 2), ("auto", 2)])
def test_no_more_processes_than_devices(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, most: int
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(RecipeError, match=f"4 processes on '{device}'; expected at most {most}"):
        train(make_recipe(), RunLocation(tmp_path, device, 4))


@pytest.mark.parametrize(("package", "processes"), [("lightning_fabric", 2), ("tensorboard", 1)])
def test_a_missing_package_is_an_error(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, processes: int
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RecipeError, match=rf"no package '{package}'.*\[train\]"):
        train(make_recipe(), RunLocation(tmp_path, "cpu", processes))


SCRIPT = """
import json, os, sys, time
from pathlib import Path
from mvg.training.launch import RunLocation
from mvg.training.optimization import Budget
from mvg.training.train import train
from mvg.training.recipe import recipe_from

def slow(model, folder, step):
    time.sleep(0.5)  # in one process alone: its clock must not run apart from the other's
    return {"iou": 0.0}

steps, watched, folder, rank, share = [], [], Path(sys.argv[2]), os.environ.get("LOCAL_RANK", "0"), Budget.share
Budget.share = lambda budget, progress: steps.append((progress.step, progress.seconds)) or share(budget, progress)
try:
    train(recipe_from(json.loads(sys.argv[1])), RunLocation(folder, "cpu", 2), slow, lambda *_: watched.append(1))
    (folder / f"returned-{rank}").touch()
finally:
    (folder / f"steps-{rank}.json").write_text(json.dumps(sorted(set(steps))))
    (folder / f"watched-{rank}").write_text(str(len(watched)))
"""


@pytest.mark.slow
def test_two_processes_train_together_and_stop_together(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(episodes={"batch": 1}, schedule={"minutes": 0.02, "validation_minutes": 0.005})
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), json.dumps(recipe.as_dict()), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=_clean(), check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    zero, one = (json.loads((tmp_path / f"run/steps-{rank}.json").read_text()) for rank in (0, 1))
    assert zero == one
    assert len(zero) > 1
    assert averaged(tmp_path / "run/checkpoint.pt")[1]["step"] == len(zero) - 1
    assert [(tmp_path / f"run/watched-{rank}").read_text() for rank in (0, 1)] == [str(len(zero) - 1), "0"]
    assert [path.name for path in (tmp_path / "run").glob("returned-*")] == ["returned-0"]


def _clean() -> dict[str, Any]:
    source = str(Path(loop.__file__).parents[2])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": source}
