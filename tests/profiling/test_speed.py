"""The speed benchmarks in small: they run, and their ratios are of the things they name."""

import time

import numpy as np
import pytest
import torch

from mvg.benchmark.provenance import provenance
from mvg.model.config import GeneralistConfig, MatchingConfig, MergedConfig
from profiling.speed.operations import _rate
from profiling.speed.prompts import prompts_kept, prompts_recomputed
from profiling.speed.training import _counter, training
from profiling.speed.turns import Turns, in_turn

MATCHING = MatchingConfig(
    size=32, width=24, depth=2, heads=2, fine=8,
    target_width=32, target_depth=1, decoder_width=32, decoder_depth=1,
)  # fmt: skip
MERGED = MergedConfig(size=32, width=24, depth=2, heads=2, levels=(1, 2), stem="linear",
                      head="paper", merge_after=1)  # fmt: skip


def test_things_take_turns() -> None:
    order: list[str] = []
    seconds = in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3, "one round to warm up, then two"
    assert [len(values.wall) for values in seconds.values()] == [2, 2]


def test_a_ratio_survives_a_busy_moment() -> None:
    one, other = Turns((2, 20, 2), (3, 3, 3)), Turns((1, 10, 1), (1, 1, 1))
    assert one.over(other) == {"wall": 2, "cpu": 3}


def test_times_are_in_milliseconds() -> None:
    seconds = in_turn({"nap": lambda: time.sleep(0.01)}, rounds=3)["nap"]
    found = seconds.summed_up()
    assert 10 <= found["wall_least_ms"] <= found["wall_median_ms"]
    assert found["cpu_least_ms"] < 5, "asleep"


@pytest.mark.parametrize("config", [MATCHING, MERGED], ids=["matching", "merged"])
def test_prompts_kept(config: GeneralistConfig) -> None:
    found = prompts_kept(config, rounds=1, seed=0, classes=2, counts=(1, 2))
    assert set(found["ratios"]) == {"model, 2 / 1 prompts", "volume of 16 slices, 2 / 1 prompts"}
    assert len(found["times"]) == 4


def test_prompts_recomputed() -> None:
    found = prompts_recomputed(rounds=1, seed=0, config=MERGED, counts=(1, 2))
    kinds = ("fp32", "bf16", "int8")
    assert set(found["ratios"]) == {f"{n} prompts, canvas in fp32 / kept in {kind}" for n in (1, 2) for kind in kinds}
    assert 0 < found["int8_error"] < 0.2, "rounded, and still the same answer"


def test_attention_is_counted() -> None:
    q = torch.rand(1, 2, 16, 8, requires_grad=True)
    with _counter() as counter:
        torch.nn.functional.scaled_dot_product_attention(q, q, q).sum().backward()
    forward = 2 * 2 * 2 * 16 * 16 * 8  # two products, two heads
    assert counter.get_total_flops() == pytest.approx(forward * 3.5), "backward recomputes one of five products"


def test_rates_are_of_work_done() -> None:
    def slow(x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.01)
        return 2 * x

    x = torch.ones(1, requires_grad=True)
    rate = _rate(lambda: slow(x), 1e9)  # a GFLOP there and two on the way back, in 10 ms and a little
    assert 150 < rate < 300


@pytest.mark.slow
def test_training_adds_up() -> None:
    found = training(steps=2, seed=0)
    steps_per_second = found["samples_per_second"] / found["batch"]
    assert found["gflops"] == pytest.approx(found["gflop_per_step"] * steps_per_second, rel=0.02)
    assert 0 <= found["waiting_share"] < 1
    assert 0 < found["share_of_peak"] < 1


def test_results_say_where_they_come_from() -> None:
    about = provenance("python -m profiling.speed", 0)
    assert {"command", "commit", "cpu", "cores", "seed", "torch", "date"} <= set(about)
    assert np.isfinite(about["load"])
