"""Speed measurements in small: they run, and a ratio is that of the functions that it names."""

import time

import numpy as np
import pytest
import torch

from mvg.benchmark.provenance import provenance
from mvg.model.config import GeneralistConfig, MatchingConfig, MergedConfig
from profiling.speed.operations import rate
from profiling.speed.prompts import encoded_prompts
from profiling.speed.recomputed import recomputed_prompts
from profiling.speed.timing import Timing, time_in_turn
from profiling.speed.training import flop_counter, training

MATCHING = MatchingConfig(
    size=32, width=24, depth=2, heads=2, fine=8,
    target_width=32, target_depth=1, decoder_width=32, decoder_depth=1,
)  # fmt: skip
MERGED = MergedConfig(size=32, width=24, depth=2, heads=2, levels=(1, 2), stem="linear",
                      head="paper", merge_after=1)  # fmt: skip


def test_functions_run_in_turn() -> None:
    order: list[str] = []
    timings = time_in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3, "one round to warm up, then two"
    assert [len(timing.wall) for timing in timings.values()] == [2, 2]


def test_a_ratio_survives_a_busy_moment() -> None:
    slow, fast = Timing((2, 20, 2), (3, 3, 3)), Timing((1, 10, 1), (1, 1, 1))
    assert slow.ratio_to(fast) == {"wall": 2, "cpu": 3}


def test_times_are_in_milliseconds() -> None:
    summary = time_in_turn({"sleep": lambda: time.sleep(0.01)}, rounds=3)["sleep"].summary()
    assert 10 <= summary["wall_least_ms"] <= summary["wall_median_ms"]
    assert summary["cpu_least_ms"] < 5, "a process that sleeps takes no processor time"


@pytest.mark.parametrize("config", [MATCHING, MERGED], ids=["matching", "merged"])
def test_encoded_prompts(config: GeneralistConfig) -> None:
    result = encoded_prompts(config, rounds=1, seed=0, classes=2, counts=(1, 2))
    assert set(result["ratios"]) == {"model, 2 / 1 prompts", "volume of 16 slices, 2 / 1 prompts"}
    assert len(result["times"]) == 4


def test_recomputed_prompts() -> None:
    result = recomputed_prompts(rounds=1, seed=0, config=MERGED, counts=(1, 2))
    precisions = ("fp32", "bf16", "int8")
    assert set(result["ratios"]) == {
        f"{n} prompts, canvas in fp32 / kept in {name}" for n in (1, 2) for name in precisions
    }
    assert 0 < result["int8_error"] < 0.2, "rounded, and still about the same prediction"


def test_flop_of_attention_are_counted() -> None:
    q = torch.rand(1, 2, 16, 8, requires_grad=True)
    with flop_counter() as counter:
        torch.nn.functional.scaled_dot_product_attention(q, q, q).sum().backward()
    forward = 2 * 2 * 2 * 16 * 16 * 8  # two products, two heads
    assert counter.get_total_flops() == pytest.approx(forward * 3.5), "backward recomputes one of five products"


def test_a_rate_is_flop_by_seconds() -> None:
    def slow(x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.01)
        return 2 * x

    x = torch.ones(1, requires_grad=True)
    gflops = rate(lambda: slow(x), 1e9)  # one GFLOP forward and two backward, in a little more than 10 ms
    assert 150 < gflops < 300


@pytest.mark.slow
def test_figures_of_training_agree() -> None:
    result = training(steps=2, seed=0)
    steps_per_second = result["samples_per_second"] / result["batch"]
    assert result["gflops"] == pytest.approx(result["gflop_per_step"] * steps_per_second, rel=0.02)
    assert 0 <= result["waiting_share"] < 1
    assert 0 < result["share_of_peak"] < 1


def test_results_have_their_provenance() -> None:
    about = provenance("python -m profiling.speed", 0)
    assert {"command", "commit", "cpu", "cores", "seed", "torch", "date"} <= set(about)
    assert np.isfinite(about["load"])
