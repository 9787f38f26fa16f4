"""How devices share the work changes neither the losses nor what is learned."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mvg.errors import RecipeError
from mvg.model.generalist import Generalist
from mvg.model.recomputation import recompute_blocks
from mvg.training import train as training
from mvg.training.launch import RunLocation
from mvg.training.train import train
from tests.training.conftest import Make, clean_environment, run

PICTURES = {"episodes": {"batch": 4, "label_fraction": 0.0}, "objectives": {"image": {"autoregressive": 1.0}}}


def test_parts_of_a_batch_have_its_loss(make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(make_recipe(schedule={"steps": 3}, **PICTURES), tmp_path / "whole")
    sizes: list[int] = []
    original = training.loss_of
    monkeypatch.setattr(training, "loss_of", lambda *given: sizes.append(len(given[2].images)) or original(*given))
    recipe = make_recipe(schedule={"steps": 3}, devices={"gradient_accumulation": 2}, **PICTURES)
    assert run(recipe, tmp_path / "parts") == pytest.approx(whole, rel=1e-4)
    assert sizes == [2] * 6


def saved_bytes(model: Generalist) -> tuple[int, Tensor]:
    """The bytes that one forward pass keeps for the backward pass, and the gradient that results."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(0)
    images, targets = torch.rand(2, 3, 1, 32, 32), (torch.rand(2, 3, 1, 32, 32) > 0.5).float()
    visible = torch.ones(2, 3, 4, 4, dtype=torch.bool)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(images, targets, visible, "causal", 1)
    output.pictures.square().mean().backward()
    return sum(sizes.values()), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("form", ["matching", "merged"])
def test_recomputed_activations_save_memory_and_change_nothing(make_recipe: Make, form: str) -> None:
    torch.manual_seed(1)
    model = Generalist(make_recipe(form, model={"drop_path": 0.3, "depth": 4}).model)
    kept, gradient = saved_bytes(model)
    model.zero_grad()
    recompute_blocks(model)
    fewer, same = saved_bytes(model)
    assert torch.equal(gradient, same), "and the same paths are left out"
    assert fewer < 0.8 * kept


@pytest.mark.parametrize("form", ["matching", "merged"])
def test_a_recipe_can_ask_for_recomputation(make_recipe: Make, tmp_path: Path, form: str) -> None:
    whole = run(make_recipe(form, schedule={"steps": 3}), tmp_path / "whole")
    devices = {"activation_checkpointing": True}
    assert run(make_recipe(form, schedule={"steps": 3}, devices=devices), tmp_path / "recomputed") == whole


COMPILED = """
import json, sys
from pathlib import Path
from mvg.training.launch import RunLocation
from mvg.training.recipe import recipe_from
from mvg.training.train import train
recipe = recipe_from(json.loads(sys.argv[1]))
train(recipe, RunLocation(Path(sys.argv[2]), "cpu"), None, lambda progress, result, share: print(result.loss))
"""


def test_a_run_goes_on_where_nothing_can_be_compiled(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from torch._dynamo.exc import TorchDynamoException

    whole = run(make_recipe(schedule={"steps": 3}), tmp_path / "whole")
    recipe = make_recipe(schedule={"steps": 3}, devices={"compile": "aot_eager"})
    prepared: list[Generalist] = []
    original = training.loss_of

    def failing(*given: object) -> Tensor:
        if prepared[0]._compiled_call_impl is not None:
            raise TorchDynamoException("no compiler\nis installed")
        return original(*given)

    def mark(network: Generalist, _settings: object) -> None:
        network._compiled_call_impl = network._call_impl
        prepared.append(network)

    monkeypatch.setattr(training, "prepare_network", mark)
    monkeypatch.setattr(training, "loss_of", failing)
    assert run(recipe, tmp_path / "compiled") == whole
    assert [record.getMessage() for record in caplog.records if "compiled" in record.getMessage()] == [
        "the network is not compiled, so it trains more slowly (TorchDynamoException: no compiler)"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["matching", "merged"])
def test_a_compiled_network_learns_the_same(make_recipe: Make, tmp_path: Path, form: str) -> None:
    settings = {"schedule": {"steps": 2}, "episodes": {"panels": [2, 2]}}
    whole = run(make_recipe(form, **settings), tmp_path / "whole")
    compiled = make_recipe(form, devices={"compile": "aot_eager"}, **settings)
    # in a process of its own, where no signature is checked: the checks cannot be compiled
    words = [sys.executable, "-c", COMPILED, json.dumps(compiled.as_dict()), str(tmp_path / "compiled")]
    done = subprocess.run(words, capture_output=True, text=True, env=clean_environment(), timeout=300, check=True)
    assert [float(line) for line in done.stdout.split()] == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"devices": {"gradient_accumulation": 3}},
            "gradient_accumulation = 3; expected a divisor of episodes.batch = 2",
        ),
        ({"devices": {"gradient_accumulation": 0}}, "gradient_accumulation = 0; expected a divisor"),
        ({"devices": {"sharding": "full"}, "optimizer": {"name": "muon"}}, "'muon'; expected 'adamw'"),
        ({"devices": {"compile": "gcc"}}, "devices.compile = 'gcc'; expected 'off', 'inductor' or 'aot_eager'"),
    ],
)
def test_impossible_settings_are_errors(make_recipe: Make, settings: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_recipe(**settings)


def test_one_process_cannot_be_sharded(make_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'full' in one process; expected several processes"):
        train(make_recipe(devices={"sharding": "full"}), RunLocation(tmp_path, "cpu"))


def test_nodes_need_a_launcher_that_starts_as_many(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecipeError, match=r"--nodes 2 without torchrun.*--nnodes 2 --nproc-per-node 3"):
        train(make_recipe(), RunLocation(tmp_path, "cpu", 3, 2))
    started = {"TORCHELASTIC_RUN_ID": "a", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RecipeError, match="torchrun started 2 processes here and 4 in all; expected 1 and 1"):
        train(make_recipe(), RunLocation(tmp_path, "cpu"))
