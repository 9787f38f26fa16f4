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
from profiling.speed.prompts import encoded_prompts
from profiling.speed.recomputed import recomputed_prompts
from profiling.speed.training import training

_PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "prompts": lambda arguments: {
        f"{classes} classes": encoded_prompts(SIZES["tiny"], arguments.rounds, arguments.seed, classes)
        for classes in (1, 3)
    },
    "recomputed": lambda arguments: recomputed_prompts(max(1, arguments.rounds // 4), arguments.seed),
    "training": lambda arguments: training(arguments.steps, arguments.seed),
    "memory": lambda arguments: memory((16, 64, 256)),
    "operations": lambda arguments: operations(arguments.seed),
}


def main() -> None:
    """Run the chosen parts; the other parts of the file stay as they are."""
    arguments = _parser().parse_args()
    command = " ".join(["python -m profiling.speed", *sys.argv[1:]])
    output: Path = arguments.output
    results = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    output.parent.mkdir(parents=True, exist_ok=True)
    for part in arguments.only:
        print(f"{part} ...", flush=True)
        about = provenance(command, arguments.seed)
        results[part] = {"provenance": about, **_PARTS[part](arguments)}
        output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        print(_figures(results[part]), flush=True)
    print(output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m profiling.speed", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(_PARTS), default=list(_PARTS))
    parser.add_argument("--rounds", type=int, default=15, help="rounds that are timed (a quarter at the paper's size)")
    parser.add_argument("--steps", type=int, default=60, help="training steps that are timed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("profiling/results/speed.json"))
    return parser


def _figures(result: dict[str, Any]) -> str:
    figures = {key: value for key, value in result.items() if key not in ("provenance", "config")}
    return json.dumps(figures, indent=2)


if __name__ == "__main__":
    main()
