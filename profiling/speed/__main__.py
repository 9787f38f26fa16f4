"""Measures speed and memory, and writes one JSON file.

python -m profiling.speed [--only prompts recomputed training memory operations] [--rounds N] [--output FILE]
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mvg.benchmark.provenance import provenance
from mvg.model.config import SIZES
from profiling.speed.memory import memory
from profiling.speed.operations import operations
from profiling.speed.prompts import prompts_kept, prompts_recomputed
from profiling.speed.training import training

_PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "prompts": lambda asked: {
        f"{classes} classes": prompts_kept(SIZES["tiny"], asked.rounds, asked.seed, classes) for classes in (1, 3)
    },
    "recomputed": lambda asked: prompts_recomputed(max(1, asked.rounds // 4), asked.seed),
    "training": lambda asked: training(asked.steps, asked.seed),
    "memory": lambda asked: memory((16, 64, 256)),
    "operations": lambda asked: operations(asked.seed),
}


def main() -> None:
    """Run the parts that are asked for; parts that are not keep what the file says of them."""
    parser = argparse.ArgumentParser(prog="python -m profiling.speed", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(_PARTS), default=list(_PARTS))
    parser.add_argument("--rounds", type=int, default=15, help="turns that are timed (a quarter at the paper's size)")
    parser.add_argument("--steps", type=int, default=60, help="training steps that are timed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("profiling/results/speed.json"))
    asked = parser.parse_args()
    command = " ".join(["python -m profiling.speed", *sys.argv[1:]])
    known = json.loads(asked.output.read_text(encoding="utf-8")) if asked.output.exists() else {}
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    for part in asked.only:
        print(f"{part} ...", flush=True)
        about = provenance(command, asked.seed)
        known[part] = {"provenance": about, **_PARTS[part](asked)}
        asked.output.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        print(_told(known[part]), flush=True)
    print(asked.output)


def _told(result: dict[str, Any]) -> str:
    shown = {key: value for key, value in result.items() if key not in ("provenance", "config")}
    return json.dumps(shown, indent=2)


if __name__ == "__main__":
    main()
