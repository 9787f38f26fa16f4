"""Training on a machine that has PyTorch and little else, from a packed store, for a limited time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mvg.app import bare
from mvg.data import Store
from mvg.data.packed import pack_store
from mvg.model.weights import load_weights, save_weights
from mvg.training.checkpoint import CHECKPOINT, averaged
from tests.training.conftest import Make, clean_environment

MISSING = (
    "nibabel", "pydicom", "pydantic", "platformdirs", "lightning_fabric", "lightning", "typer", "rich", "PIL",
    "skimage", "SimpleITK", "pylibjpeg", "highdicom", "monai", "matplotlib",
)  # fmt: skip
WITHOUT = f"""
import sys
sys.modules.update(dict.fromkeys({MISSING!r}))  # importing any of them fails, as where it is not installed
from mvg.app.bare import main
sys.exit(main())
"""
RECIPE = """
name = "bare"
precision = "bf16-mixed"
[model]
size = 32
patch = 8
width = 32
depth = 1
heads = 2
fine = 8
target_width = 32
decoder_width = 32
decoder_depth = 1
[data]
workers = 1
[episodes]
batch = 2
panels = [3, 3]
same_volume_fraction = 0.3
[optimizer]
name = "muon"
[schedule]
steps = {steps}
log_steps = 1
checkpoint_state = "averaged"
"""


@pytest.fixture
def packed(store: Store, tmp_path: Path) -> Path:
    pack_store(Path(str(store.folder)), tmp_path / "packed.zip", 10**7, 32)
    return tmp_path / "packed.zip"


def write_recipe(folder: Path, steps: int, more: str = "") -> Path:
    (folder / "recipe.toml").write_text(RECIPE.format(steps=steps) + more)
    return folder / "recipe.toml"


def words(recipe: Path, packed: Path, *more: str) -> list[str]:
    return [str(recipe), "--packed", str(packed), "--output", str(packed.parent / "run"), "--device", "cpu", *more]


def steps_of(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "curves.jsonl").read_text().splitlines()]


def test_it_trains_distils_and_resumes_where_little_is_installed(packed: Path, tmp_path: Path) -> None:
    """In a process where no package can be imported that a plain PyTorch lacks."""

    def run_without(*given: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WITHOUT, *given]
        return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)

    first = run_without(*words(write_recipe(tmp_path, 2), packed))
    assert first.returncode == 0, first.stderr
    assert "requests/s" in first.stdout
    save_weights(averaged(tmp_path / "run" / CHECKPOINT)[0], tmp_path / "teacher", "a card")
    recipe = write_recipe(tmp_path, 3, "[devices]\ncompile = 'aot_eager'\n")
    second = run_without(*words(recipe, packed, "--resume", "--teacher", str(tmp_path / "teacher")))
    assert second.returncode == 0, second.stderr
    assert steps_of(tmp_path / "run") == [1, 2, 3]
    refused = run_without(*words(write_recipe(tmp_path, 3, "[loss]\nlabels = 1.0\n"), packed, "--resume"))
    assert refused.returncode == 2
    assert "unknown key 'loss.labels'; expected one of" in refused.stderr


def test_a_run_ends_at_its_deadline_with_a_checkpoint(packed: Path, tmp_path: Path) -> None:
    assert bare.main(words(write_recipe(tmp_path, 10**6), packed, "--wall-minutes", "0.1")) == 0
    model, about = averaged(tmp_path / "run" / CHECKPOINT)
    assert 0 < about["step"] < 10**6
    assert model.config.size == 32
    assert about["recipe"]["data"]["store"] == str(tmp_path / "packed_unpacked")


@pytest.mark.parametrize(("more", "line"), [(["--resume"], "holds no run"), (["--device", "cuda:9"], "no device here")])
def test_what_cannot_be_done_is_a_line(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], line: str
) -> None:
    assert bare.main(words(write_recipe(tmp_path, 1), packed, *more)) == 2
    assert line in capsys.readouterr().err


def test_fewer_workers_where_shared_memory_is_short(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = make_recipe(data={"workers": 8}, episodes={"batch": 2, "panels": [3, 3], "classes": [2, 2], "sizes": [32]})
    one = 5 * 2 * 3 * (1 + 2 * 2) * 32**2 * 4
    for room, workers in ((9 * one, 8), (3 * one, 3), (one - 1, 0)):
        free = type("Usage", (), {"free": room})
        monkeypatch.setattr(bare.shutil, "disk_usage", lambda _path, free=free: free)
        assert bare.affordable_workers(recipe) == workers
    assert "3 workers instead of 8" in caplog.text


def test_weights_of_a_run_are_those_of_its_parts(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mvg.app.training import weights_of_run
    from mvg.training import averaged_checkpoint

    monkeypatch.setattr(averaged_checkpoint, "PART_BYTES", 20_000)
    assert bare.main(words(write_recipe(tmp_path, 1), packed)) == 0
    parts = list((tmp_path / "run").glob("averaged-1-*.safetensors"))
    assert len(parts) > 1
    folder = weights_of_run(tmp_path / "run", tmp_path / "weights")
    one, two = load_weights(folder).state_dict(), averaged(tmp_path / "run" / CHECKPOINT)[0].state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
