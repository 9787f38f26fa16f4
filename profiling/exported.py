"""Exported graphs, run by onnxruntime on one thread, beside mvg in 32 and in 16 bits: processor time and answers.

    mvg export GRAPHS; python -m profiling.exported GRAPHS --store STORE [--sets SET ...] [--rounds N]
                                                           # -> profiling/results/exported.json

Eight slices of training patients prompt eight slices of others, for each set of a prepared store: labels, and the same
images with noise as denoising. Each part (embed, encode, answer) is timed by itself, in turn with the others.
"""

import argparse
import copy
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from mvg.app.onnx_example import Model
from mvg.benchmark.provenance import provenance
from mvg.data.store import Store, StoredSet
from mvg.imaging.resizing import resized
from mvg.model.generalist import Generalist
from mvg.model.layers import reduce_precision
from mvg.model.weights import load_weights
from profiling.speed.timing import time_in_turn

_SLICES, _MOST_CLASSES, _NOISE = 8, 13, 0.05
Array = NDArray[np.float32]
Parts = Mapping[str, Callable[[], Any]]


def main() -> None:
    """Measure each set, print its figures, and write the file."""
    parser = argparse.ArgumentParser(prog="python -m profiling.exported", description=__doc__.splitlines()[0])
    parser.add_argument("graphs", type=Path, help="what `mvg export` wrote for --weights")
    parser.add_argument("--store", type=Path, required=True, help="what `mvg prepare` wrote")
    parser.add_argument("--sets", nargs="+", default=["acdc", "btcv", "hippocampus", "chaos_mr"])
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path("profiling/results/exported.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    wide, graphs = load_weights(arguments.weights), Model(arguments.graphs)
    reduced = copy.deepcopy(wide)
    reduce_precision(reduced)
    about = provenance(" ".join(["python -m profiling.exported", *sys.argv[1:]]), 0)
    result: dict[str, Any] = {"provenance": about | {"onnxruntime": onnxruntime.__version__}}
    sets = Store.open(arguments.store).sets
    for name in arguments.sets:
        images, labels = pictures(sets[name], graphs.about["side"], np.random.default_rng(0))
        noisy = images + np.random.default_rng(1).normal(0, _NOISE, images.shape).astype(np.float32)
        requests = {"labels": (images, labels), "image": (noisy.clip(0, 1), images)}
        for kind, (inputs, targets) in requests.items():
            row = compared(wide, reduced, graphs, (kind, inputs, targets), arguments.rounds)
            result[f"{name}, {kind}"] = row
            print(name, kind, json.dumps(row), flush=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def pictures(stored: StoredSet, side: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Slices (n, 1, side, side) with labels, prompts before queries of other patients, and their channels."""
    labeled = [row for row in stored.rows if row.split == "train" and row.label_values]
    patients = rng.permutation(sorted({row.patient for row in labeled})).tolist()
    parts = (set(patients[: len(patients) // 2]), set(patients[len(patients) // 2 :]))
    rows = [rng.permutation([row.number for row in labeled if row.patient in part])[:_SLICES] for part in parts]
    slices = [stored[number] for number in np.concatenate(rows).tolist()]
    values = sorted({value for one in slices for value in one.row.label_values})[:_MOST_CLASSES]
    images = np.stack([resized(one.picture(0)[None], side, side) for one in slices])
    masks = [np.stack([one.labels == value for value in values]).astype(np.float32) for one in slices]
    return images, np.stack([resized(mask, side, side) > 0.5 for mask in masks]).astype(np.float32)


def compared(
    wide: Generalist, reduced: Generalist, graphs: Model, request: tuple[str, Array, Array], rounds: int
) -> dict[str, Any]:
    """Milliseconds of each part in each way, ratios to the graphs, and how far answers are from those in 32 bits."""
    kind, images, targets = request
    prompts, queries = (images[:_SLICES], targets[:_SLICES]), images[_SLICES:]
    ways = {
        "mvg, 32 bits": of_network(wide, kind, prompts, queries),
        "mvg, 16 bits": of_network(reduced, kind, prompts, queries),
        "onnxruntime": of_graphs(graphs, kind, prompts, queries),
    }
    row: dict[str, Any] = {"classes": targets.shape[1], "load": round(os.getloadavg()[0], 1)}
    for part in ("embed", "encode", "answer"):
        timings = time_in_turn({way: parts[part] for way, parts in ways.items()}, rounds)
        row[part] = {way: timing.summary()["cpu_median_ms"] for way, timing in timings.items()}
        row[part] |= {
            f"{way} by onnxruntime": timings[way].ratio_to(timings["onnxruntime"])["cpu"] for way in list(ways)[:2]
        }
    expected = np.asarray(ways["mvg, 32 bits"]["answer"]())
    for way in list(ways)[1:]:
        row[f"{way}, agreement"] = agreement(expected, np.asarray(ways[way]["answer"]()), kind)
    return row


def of_network(model: Generalist, kind: Any, prompts: tuple[Array, Array], queries: Array) -> Parts:
    """The parts as mvg computes them, four images at a time; `encode` solves the regression too."""

    def embed(images: Array) -> Any:
        parts = [model.embed(torch.from_numpy(images[i : i + 4])) for i in range(0, len(images), 4)]
        return type(parts[0]).concatenate(parts)

    def encode() -> Any:
        state = model.encode(features, torch.from_numpy(prompts[1])[None], kind)
        state.solution(kind, model.form.ridge.solve)  # type: ignore[union-attr]
        return state

    with torch.inference_mode():
        features, unseen = embed(prompts[0]), embed(queries)
        state = encode()
    parts: dict[str, Callable[[], Any]] = {
        "embed": lambda: embed(queries),
        "encode": encode,
        "answer": lambda: torch.cat([model.answer(unseen[i : i + 4], state, kind) for i in (0, 4)]).numpy(),
    }
    return {name: torch.inference_mode()(part) for name, part in parts.items()}


def of_graphs(graphs: Model, kind: str, prompts: tuple[Array, Array], queries: Array) -> Parts:
    """The same parts by the graphs."""
    features, unseen = graphs.embed(prompts[0]), graphs.embed(queries)
    state = graphs.prompt(features, prompts[1], kind)
    return {
        "embed": lambda: graphs.embed(queries),
        "encode": lambda: graphs.prompt(features, prompts[1], kind),
        "answer": lambda: graphs.answer(unseen, state, kind),
    }


def agreement(expected: Array, answer: Array, kind: str) -> dict[str, float]:
    """Dice over all classes of the labels, or the largest difference of pictures."""
    if kind == "image":
        return {"largest difference": float(np.abs(expected - answer).max())}
    first, second = (np.insert(logits, 0, 0, axis=1).argmax(1) for logits in (expected, answer))
    both = np.sum((first == second) & (first > 0))
    return {"Dice": round(float(2 * both / max(1, np.sum(first > 0) + np.sum(second > 0))), 6)}


if __name__ == "__main__":
    main()
