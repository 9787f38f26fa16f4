"""Optimizers: each weight belongs to one of them; Muon steps equally far in all directions of a matrix."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim import Muon as TorchMuon

from mvg.model.config import MatchingConfig
from mvg.model.generalist import Generalist
from mvg.training.optimization import OptimizerName, OptimizerSettings
from mvg.training.optimizers import Muon, optimizers_for
from tests.model.small import SHAPES


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(8, 16, 3), nn.GroupNorm(1, 16), nn.Flatten(), nn.Linear(16, 2), nn.Linear(2, 8))


@pytest.mark.parametrize(("name", "matrices"), [("adamw", 0), ("muon", 1)])
def test_every_weight_takes_a_step_of_the_rate(name: OptimizerName, matrices: int) -> None:
    model = net()
    optimizers = optimizers_for(model, OptimizerSettings(name, 1e-2, 0.0))
    before = [p.detach().clone() for p in model.parameters()]
    model(torch.randn(4, 8, 3, 3)).square().sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    for old, new in zip(before, model.parameters(), strict=True):
        moved = (new.detach() - old).square().mean().sqrt()
        assert 5e-4 < moved < 2.1e-2, new.shape
    assert sum(len(o.param_groups[0]["params"]) for o in optimizers[:-1]) == matrices


def test_a_matrix_goes_equally_far_in_all_directions() -> None:
    model = net()
    optimizers = optimizers_for(model, OptimizerSettings("muon", 1e-2, 0.0))
    weight = next(model.parameters())
    before = weight.detach().clone()
    model(torch.randn(4, 8, 3, 3)).square().sum().backward()
    assert weight.grad is not None
    steep = torch.linalg.svdvals(weight.grad.flatten(1))
    optimizers[0].step()
    far = torch.linalg.svdvals((weight.detach() - before).flatten(1))
    assert steep[0] > 3 * steep[3]  # some directions matter more to the loss
    assert far[0] < 2 * far[3]


@pytest.mark.parametrize(("products", "off"), [(torch.bfloat16, 0.0), (torch.float32, 1e-3)])
@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (40, 2, 3, 3)])
def test_matrices_take_the_steps_of_pytorchs_muon(products: torch.dtype, off: float, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    mine, other = (nn.Parameter(part) for part in torch.randn(shape).expand(2, *shape).clone())
    ours = Muon([mine], 1e-2, 0.1, products)
    other = nn.Parameter(other.detach().flatten(1))
    theirs = TorchMuon([other], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        mine.grad = torch.randn(shape)
        other.grad = mine.grad.flatten(1).clone()
        ours.step()
        theirs.step()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(mine.flatten(1), other, atol=off, rtol=0)


def test_gradients_are_forgotten() -> None:
    model = net()
    optimizers = optimizers_for(model, OptimizerSettings("muon", 1e-2, 0.0))
    model(torch.randn(4, 8, 3, 3)).square().sum().backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    before = [p.detach().clone() for p in model.parameters()]
    optimizers[0].step()
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_matrices_decay_and_biases_do_not(name: OptimizerName) -> None:
    model = net()
    optimizers = optimizers_for(model, OptimizerSettings(name, 1e-2, 0.5))
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    before = [p.detach().clone() for p in model.parameters()]
    for optimizer in optimizers:
        optimizer.step()
    for old, new in zip(before, model.parameters(), strict=True):
        assert torch.allclose(new, old * (1 - 1e-2 * 0.5 if old.ndim >= 2 else 1), atol=1e-6)


@pytest.mark.parametrize("shape", ["matching", "merged"])
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_parameters_outside_of_layers_do_not_decay(name: OptimizerName, shape: str) -> None:
    config = SHAPES[shape]
    if isinstance(config, MatchingConfig):
        config = replace(config, target_width=128)  # four heads: null keys are large enough for Muon
    model = Generalist(config)
    for p in model.parameters():
        nn.init.normal_(p)
        p.grad = torch.zeros_like(p)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for optimizer in optimizers_for(model, OptimizerSettings(name, 1e-2, 0.5)):
        optimizer.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name, p in before.items() if name.endswith(".weight") and p.ndim >= 2}
