"""Runs on two nodes, which are two groups of processes on loopback: killed, resumed, copied and sharded."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mvg.training.checkpoint import averaged
from mvg.training.recipe import Recipe
from tests.training.conftest import Make, clean_environment

SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from mvg.errors import MvgError
from mvg.training.launch import RunLocation
from mvg.training.optimization import Budget
from mvg.training.recipe import recipe_from
from mvg.training.train import train

victim, last = os.environ.get("VICTIM"), int(os.environ.get("LAST", "0"))
share, folder = Budget.share, Path(sys.argv[2])

def killing_share(budget, progress):
    if victim == os.environ["RANK"] and progress.step == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return share(budget, progress)

def on_step(progress, result, share):
    with (folder.parent / f"{folder.name}.losses").open("a") as file:
        file.write(f"{result.loss!r}\\n")

Budget.share = killing_share
try:
    train(recipe_from(json.loads(sys.argv[1])), RunLocation(folder, "cpu", 1, 2), None, on_step)
except MvgError as error:
    sys.exit(str(error))
"""
SETTINGS = {"schedule": {"steps": 6, "checkpoint_minutes": 0.0}}
MANY_SECONDS = 400


def run_nodes(
    recipe: Recipe, folder: Path, launcher: str = "as torchrun does", **environment: str
) -> list[tuple[int, str]]:
    """The exit codes and last words of both nodes."""
    script = folder.parent / "script.py"
    script.write_text(SCRIPT)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    words = [str(script), json.dumps(recipe.as_dict()), str(folder)]
    common = {**clean_environment(), **environment}
    processes = []
    for node in ("0", "1"):
        if launcher == "torchrun":
            options = ["--nnodes", "2", "--nproc-per-node", "1", "--node-rank", node, "--master-port", port]
            command, variables = [sys.executable, "-m", "torch.distributed.run", *options, *words], common
        else:
            command = [sys.executable, *words]
            variables = common | {
                "TORCHELASTIC_RUN_ID": "test", "RANK": node, "WORLD_SIZE": "2", "LOCAL_RANK": "0",
                "LOCAL_WORLD_SIZE": "1", "GROUP_RANK": node, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
            }  # fmt: skip
        processes.append(
            subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        )
    ends = [process.communicate(timeout=MANY_SECONDS)[1] for process in processes]
    return [(process.returncode, end.strip()[-400:]) for process, end in zip(processes, ends, strict=True)]


def losses_of(folder: Path) -> list[float]:
    return [float(line) for line in (folder.parent / f"{folder.name}.losses").read_text().split()]


@pytest.mark.slow
def test_a_killed_run_on_two_nodes_ends_on_both_and_goes_on_exactly(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(**SETTINGS)
    assert [code for code, _ in run_nodes(recipe, tmp_path / "whole", "torchrun")] == [0, 0]
    whole = losses_of(tmp_path / "whole")
    assert len(whole) == 6
    (first, line), (second, _) = run_nodes(recipe, tmp_path / "killed", VICTIM="1", LAST="4")
    assert (first, second) == (1, -9)
    assert "another process of the run has ended" in line.splitlines()[-1]
    before = len(losses_of(tmp_path / "killed"))
    assert before < 6
    assert [code for code, _ in run_nodes(recipe, tmp_path / "killed")] == [0, 0]
    assert losses_of(tmp_path / "killed") == whole
    one, two = (averaged(tmp_path / name / "checkpoint.pt")[0].state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_a_sharded_run_learns_what_a_copied_one_learns_also_after_a_kill(make_recipe: Make, tmp_path: Path) -> None:
    copied = make_recipe("merged", **SETTINGS)
    assert [code for code, _ in run_nodes(copied, tmp_path / "copied")] == [0, 0]
    sharded = make_recipe("merged", devices={"sharding": "full", "gradient_accumulation": 1}, **SETTINGS)
    ends = run_nodes(sharded, tmp_path / "sharded", VICTIM="0", LAST="4")
    assert [code for code, _ in ends] == [-9, 1]
    assert [code for code, _ in run_nodes(sharded, tmp_path / "sharded")] == [0, 0]
    assert losses_of(tmp_path / "sharded") == pytest.approx(losses_of(tmp_path / "copied"), rel=1e-5)
    folders = [path.name for path in (tmp_path / "sharded/checkpoint_shards").iterdir()]
    assert folders == ["step-6"], "those of earlier steps are gone"
    assert len(list((tmp_path / "sharded/checkpoint_shards/step-6").glob("*.distcp"))) == 2
    (one, about), (two, _) = (averaged(tmp_path / name / "checkpoint.pt") for name in ("sharded", "copied"))
    assert about["step"] == 6
    torch.testing.assert_close(one.state_dict(), two.state_dict(), rtol=1e-4, atol=1e-6)
