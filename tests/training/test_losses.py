"""What answers cost."""

import pytest
import torch
from torch import Tensor

from mvg.canvas import Canvas, Pairs, image_patches
from mvg.model.outputs import ModelOutput
from mvg.tasks import TargetType
from mvg.training.batch import TrainingBatch
from mvg.training.losses import LossSettings, loss_of

PATCH, SIDE = 4, 16
SETTINGS = LossSettings()


def truth(kind: TargetType = "labels", channels: int = 2, used: int | None = None) -> Pairs:
    """Two requests of three pairs: disjoint squares as classes, or a random picture."""
    images = torch.rand(2, 3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    targets = torch.zeros(2, 3, channels, SIDE, SIDE)
    if kind == "image":
        targets = images.flip(-1)
    else:
        for channel in range(channels if used is None else used):
            targets[:, :, channel, 2:8, 1 + 5 * channel : 5 + 5 * channel] = 1
    marks = torch.arange(targets.shape[2]).expand(2, -1) < (targets.shape[2] if used is None else used)
    colors = torch.linspace(0.3, 1, targets.shape[2]).expand(2, -1) * marks
    return Pairs(images, targets, marks, colors, (("a", "b", "c"), ("d", "e", "f")), kind)


def batch_of(pairs: Pairs, scored: Tensor | None = None) -> TrainingBatch:
    visible = torch.ones(2, 3, 4, 4, dtype=torch.bool)
    weight = torch.ones(2, 3, 4, 4) if scored is None else scored
    return TrainingBatch(
        Canvas(pairs.images, pairs.targets, visible, None, pairs.target_type), "causal", 0, weight, None
    )


def cost(pairs: Pairs, logits: Tensor | None, painted: Tensor, scored: Tensor | None = None) -> float:
    return loss_of(ModelOutput(logits, painted, None), batch_of(pairs, scored), pairs, PATCH, SETTINGS).item()


def confident_logits(targets: Tensor) -> Tensor:
    """Logits that are sure of these targets."""
    return 20 * (2 * targets - 1)


def test_perfect_classes_cost_nothing_and_worse_ones_more() -> None:
    pairs = truth()
    moved = [cost(pairs, confident_logits(pairs.targets.roll(by, -1)), pairs.targets) for by in (0, 1, 2, 4)]
    assert moved[0] < 1e-3
    assert moved == sorted(moved)
    assert moved[1] > 0.1


def test_perfect_pictures_cost_nothing_and_worse_ones_more() -> None:
    pairs = truth("image")
    errors = [cost(pairs, None, pairs.targets + by) for by in (0.0, 0.005, 0.01, 0.1, 0.3)]
    assert errors[0] == 0
    assert errors == sorted(errors)
    assert errors[4] == pytest.approx(0.3 - SETTINGS.smooth_l1_beta / 2, rel=1e-4), "linear beyond beta"


def test_perfect_paintings_cost_little_and_worse_ones_more() -> None:
    pairs = truth()
    perfect = pairs.painted().targets
    moved = [cost(pairs, None, perfect.roll(by, -1)) for by in (0, 1, 2, 4)]
    assert moved[0] < 1e-2
    assert moved == sorted(moved)
    swapped = torch.where(perfect == perfect.max(), 0.3, torch.where(perfect > 0, 1.0, 0.0))
    assert cost(pairs, None, swapped) > 1, "the right places in wrong colors"


@pytest.mark.parametrize("painted", [False, True])
def test_channels_that_are_not_used_take_no_part(painted: bool) -> None:
    narrow, wide = truth(channels=2), truth(channels=3, used=2)
    wide = Pairs(wide.images, wide.targets, wide.used, torch.cat([narrow.colors, torch.zeros(2, 1)], 1),
                 wide.patients, wide.target_type)  # fmt: skip
    picture = narrow.painted().targets + 0.05
    logits = torch.randn(2, 3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)).requires_grad_()
    given = (None, None) if painted else (logits[:, :, :2], logits)
    one, two = cost(narrow, given[0], picture), cost(wide, given[1], picture)
    assert two == pytest.approx(one, rel=1e-5)
    if not painted:
        loss_of(ModelOutput(logits, picture, None), batch_of(wide), wide, PATCH, SETTINGS).backward()
        assert logits.grad is not None
        assert logits.grad[:, :, 2].abs().max() == 0
        assert logits.grad[:, :, :2].abs().max() > 0


def test_where_a_class_is_absent_false_positives_cost() -> None:
    pairs = truth(used=0)
    pairs = Pairs(pairs.images, pairs.targets, torch.ones(2, 2, dtype=torch.bool), torch.full((2, 2), 0.5),
                  pairs.patients, pairs.target_type)  # fmt: skip
    costs = []
    for side in (0, 1, 3, 8):
        predicted = torch.zeros_like(pairs.targets)
        predicted[..., :side, :side] = 1
        predicted[:, :, 1] = 0
        costs.append(cost(pairs, confident_logits(predicted), pairs.targets[:, :, :1]))
    assert costs[0] < 1e-3
    assert costs == sorted(costs)
    assert costs[2] > 0.4


@pytest.mark.parametrize("kind", ["labels", "image"])
def test_what_is_not_scored_costs_nothing(kind: TargetType) -> None:
    pairs = truth(kind)
    scored = torch.ones(2, 3, 4, 4)
    scored[..., 2:, :] = 0
    predicted = pairs.targets.clone()
    predicted[..., 8:, :] = 1 - predicted[..., 8:, :]
    logits = confident_logits(predicted) if kind == "labels" else None
    assert cost(pairs, logits, predicted if kind == "image" else predicted[:, :, :1], scored) < 1e-3
    assert cost(pairs, logits, predicted if kind == "image" else predicted[:, :, :1]) > 0.1


@pytest.mark.parametrize("kind", ["labels", "image"])
def test_half_a_weight_is_half_the_cost(kind: TargetType) -> None:
    pairs = truth(kind)
    scored = torch.ones(2, 3, 4, 4)
    scored[:, 0] = 0.5
    costs = []
    for panel in (0, 1):
        predicted = pairs.targets.clone()
        predicted[:, panel] = predicted[:, panel].roll(3, -1)
        costs.append(
            cost(pairs, confident_logits(predicted) if kind == "labels" else None, predicted[:, :, :1], scored)
        )
    if kind == "labels":
        assert costs[0] == pytest.approx(costs[1] / 2, rel=0.02)
    else:
        assert 0.3 * costs[1] < costs[0] < 0.7 * costs[1]


def test_hidden_image_patches_cost_where_they_were_hidden_alone() -> None:
    pairs = truth("image")
    hidden = torch.zeros(2, 3, 4, 4, dtype=torch.bool)
    hidden[:, 1, 2, 3] = True
    exact = image_patches(pairs.images, PATCH)
    batch = TrainingBatch(batch_of(pairs).canvas, "images", 0, None, hidden)
    wrong = exact.clone()
    wrong[:, 1, 11] += 0.5
    elsewhere = exact.clone()
    elsewhere[:, 1, 10] += 0.5
    costs = [
        loss_of(ModelOutput(None, None, predicted), batch, pairs, PATCH, SETTINGS)
        for predicted in (exact, elsewhere, wrong)
    ]
    assert costs[0] == costs[1] == 0
    assert float(costs[2]) == pytest.approx(SETTINGS.image_patches * (0.5 - SETTINGS.smooth_l1_beta / 2), rel=1e-4)


def test_own_scale_makes_a_small_void_cost_as_much_as_a_large_one() -> None:
    def unchanged(side: int) -> float:
        whole = truth("image")
        pairs = Pairs(whole.images, whole.images.clone(), whole.used, whole.colors, whole.patients, "image")
        pairs.images[..., :side, :side] = 0
        answer = ModelOutput(None, pairs.images.clone(), None)
        settings = LossSettings(relative_floor=1e-6)
        return loss_of(answer, batch_of(pairs), pairs, PATCH, settings).item()

    assert unchanged(2) == pytest.approx(1, abs=1e-3)
    assert unchanged(8) == pytest.approx(1, abs=1e-3)


def test_own_scale_forgives_noise_below_its_floor() -> None:
    pairs = truth("image")
    pairs = Pairs(pairs.targets + 1e-6, pairs.targets, pairs.used, pairs.colors, pairs.patients, "image")
    predicted = ModelOutput(None, pairs.images.clone(), None)
    assert loss_of(predicted, batch_of(pairs), pairs, PATCH, LossSettings(relative_floor=0.01)).item() < 0.01
