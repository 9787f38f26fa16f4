"""The optimization core: budgets, schedule, cadence, clipping and averaged weights."""

from collections.abc import Iterator
from itertools import count

import pytest
import torch
from torch import Tensor, nn

from mvg.training.optimization import (
    Budget,
    Clock,
    Every,
    OptimizerSettings,
    Progress,
    StepResult,
    Updater,
    averaged_copy,
    train_loop,
)


def ticking() -> Clock:
    """A clock that goes on by a second whenever it is read."""
    ticks = count()
    return Clock(lambda: float(next(ticks)))


def updater(ema: float | None = None, clip: float = 1.0) -> Updater:
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    average = None if ema is None else averaged_copy(network, ema)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    return Updater(
        network,
        [optimizer],
        OptimizerSettings(learning_rate=0.5, warmup_fraction=0.0, decay_fraction=0.5, clip_norm=clip),
        average,
    )


def loss_of(network: nn.Module, scale: float = 1.0) -> Tensor:
    loss: Tensor = scale * network(torch.ones(1, 3)).sum()
    return loss


@pytest.mark.parametrize(
    ("budget", "steps"), [(Budget(steps=4), 4), (Budget(samples=9), 5), (Budget(seconds=6.0), 3), (Budget(), 0)]
)
def test_a_run_takes_the_steps_of_its_budget(budget: Budget, steps: int) -> None:
    progress, shares = Progress(), []

    def step(batch: int, progress: Progress, share: float) -> StepResult:
        assert batch == progress.step
        shares.append(share)
        return StepResult(0.0, samples=2)

    train_loop(step, count(), progress, budget, clock=ticking())
    assert (progress.step, progress.samples) == (steps, 2 * steps)
    assert progress.seconds == 2 * steps, "one second to draw the batch, one for the step"
    assert progress.waited == steps
    assert shares == sorted(shares)
    assert all(0 <= share < 1 for share in shares)


def test_a_run_that_is_over_draws_no_batch() -> None:
    def batches() -> Iterator[int]:
        pytest.fail("a batch was drawn")
        yield 0

    train_loop(lambda *_: StepResult(0.0), batches(), Progress(step=4), Budget(steps=4))


def test_no_step_begins_after_the_deadline() -> None:
    progress, ticks = Progress(), ticking().now
    clock = Clock(ticks, lambda seconds: seconds, deadline=9.5)
    train_loop(lambda *_: StepResult(0.0), count(), progress, Budget(steps=100), clock=clock)
    assert progress.step == 3, "the clock is read once before a step and three times in it: at 0, 4, 8 and 12 seconds"


def test_all_processes_go_by_the_seconds_that_they_agree_on() -> None:
    progress = Progress()
    clock = Clock(ticking().now, lambda seconds: seconds + 10)
    train_loop(lambda *_: StepResult(0.0), count(), progress, Budget(seconds=30.0), clock=clock)
    assert (progress.step, progress.seconds) == (3, 36.0)


def test_what_happens_at_intervals_happens_after_the_step_that_completes_one() -> None:
    calls: list[tuple[str, int]] = []
    every = Every(3.0, lambda progress: calls.append(("every", progress.step)), since=0.0)
    resumed = Every(3.0, lambda progress: calls.append(("resumed", progress.step)), since=-3.0)
    train_loop(lambda *_: StepResult(0.0), count(), Progress(), Budget(steps=5), [every, resumed], ticking())
    assert calls == [("resumed", 1), ("every", 2), ("resumed", 3), ("every", 4), ("resumed", 5)]


def test_every_step_is_reported_with_its_result() -> None:
    reports: list[tuple[int, float, float]] = []
    train_loop(
        lambda batch, *_: StepResult(float(batch)), count(), Progress(), Budget(steps=2),
        [lambda progress, result, share: reports.append((progress.step, result.loss, share))],
    )  # fmt: skip
    assert reports == [(1, 0.0, 0.5), (2, 1.0, 1.0)]


@pytest.mark.parametrize(("share", "rate"), [(0.0, 0.5), (1.0, 0.005)])
def test_an_update_goes_down_the_gradient_at_the_rate_of_the_schedule(share: float, rate: float) -> None:
    one = updater(clip=100.0)
    before = one.network.weight.detach().clone()
    one.update(loss_of(one.network), share)
    torch.testing.assert_close(before - one.network.weight, torch.full((1, 3), rate))
    assert all(p.grad is None for p in one.network.parameters())


def test_long_gradients_are_clipped() -> None:
    one = updater(clip=0.1)
    before = torch.cat([p.detach().flatten() for p in one.network.parameters()])
    one.update(loss_of(one.network), 0.0)
    after = torch.cat([p.detach().flatten() for p in one.network.parameters()])
    assert float((after - before).norm()) == pytest.approx(0.5 * 0.1, rel=1e-4)


def test_a_gradient_that_is_not_finite_is_skipped() -> None:
    one = updater()
    before = one.network.weight.detach().clone()
    one.update(loss_of(one.network, torch.inf), 0.0)
    assert torch.equal(one.network.weight, before)
    one.update(loss_of(one.network), 0.0)
    assert not torch.equal(one.network.weight, before)


def test_gradients_of_another_loss_are_not_used() -> None:
    alone, critic = updater(), updater()
    loss_of(critic.network, 7.0).backward()
    for one in (alone, critic):
        one.update(loss_of(one.network), 0.0)
    assert torch.equal(alone.network.weight, critic.network.weight)


def test_averaged_weights_follow_slowly_and_the_first_are_soon_forgotten() -> None:
    one = updater(ema=0.3)
    assert one.average is not None
    assert not one.average.training
    expected = one.network.weight.detach().clone()
    for step in range(6):
        one.update(loss_of(one.network), 0.0)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * one.network.weight.detach()
        torch.testing.assert_close(one.average.module.weight.detach(), expected)


def test_an_average_goes_on_from_its_step() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = averaged_copy(network, 0.9, step=8)
    before = network.weight.detach().clone()
    nn.init.constant_(network.weight, 3.0)
    average.update_parameters(network)
    torch.testing.assert_close(average.module.weight, before.lerp(torch.full((1, 1), 3.0), 0.5))
