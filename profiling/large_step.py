"""One real step of `large` on the CPU beside the memory and operations that a dry run computes for it.

python -m profiling.large_step            # 6 GB of memory and some minutes -> profiling/results/large-step.json
"""

import json
import resource
import time
from pathlib import Path

import torch

from mvg.model.generalist import Generalist
from mvg.model.recomputation import recompute_blocks
from mvg.training import step_cost
from mvg.training.recipe import recipe_from

RESULTS = Path(__file__).parent / "results" / "large-step.json"
RECIPE = {
    "model": {"name": "large"},
    "episodes": {"batch": 1, "panels": [2, 2], "label_fraction": 0.0},
    "objectives": {"image": {"autoregressive": 1.0}},
    "devices": {"activation_checkpointing": True},
}


def main() -> None:
    """Compute the cost of a step, take one, and write both."""
    recipe = recipe_from(RECIPE)
    cost = step_cost.step_cost(recipe, "bf16-mixed", 1)
    network = Generalist(recipe.model).train()
    recompute_blocks(network)
    before = _most_bytes()
    started = time.monotonic()
    loss = float(step_cost.one_step(network, recipe, "bf16-mixed", "image", "autoregressive"))
    seconds = time.monotonic() - started
    measured = _most_bytes() - before
    weights = sum(parameter.numel() for parameter in network.parameters()) * 4
    result = {
        "what": "forward and backward pass of `large`, one request of two pairs at 448 pixels, activations recomputed",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "loss": loss,
        "parameters": cost.parameters,
        "weights_bytes": weights,
        "computed_working_bytes": cost.working_bytes,
        "measured_working_bytes": measured,
        "computed_tflop": cost.flops / 1e12,
        "seconds": seconds,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def _most_bytes() -> int:
    """The most memory that this process has held so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
