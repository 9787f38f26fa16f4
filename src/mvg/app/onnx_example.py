"""Predicts by example with numpy and onnxruntime alone. `mvg export` copies this file as run.py beside the graphs.

    python run.py PROMPTS.npz QUERIES.npy ANSWERS.npy

PROMPTS.npz: `images` (n, side, side) in [0, 1], `targets` of the same shape: whole numbers are labels, 0 background;
other numbers are intensities in [0, 1]. QUERIES.npy: images (q, side, side) in [0, 1]. Images are (n, inputs, side,
side) where model.json has several `inputs`. ANSWERS.npy: the targets of the queries, of the same kind.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = dict[str, Array]
_TOGETHER = 4  # pictures at a time: the maps of more leave a core's cache


class Model:
    """The graphs of a folder; each is loaded when it is first needed. threads: of each operation."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self._folder, self._sessions = folder, dict[str, Any]()
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads

    def run(self, name: str, values: Mapping[str, Array]) -> Arrays:
        """The outputs of a graph; `values` may hold more than its inputs."""
        if name not in self._sessions:
            self._sessions[name] = onnxruntime.InferenceSession(str(self._folder / f"{name}.onnx"), self._options)
        session = self._sessions[name]
        inputs = {one.name: np.asarray(values[one.name], np.float32) for one in session.get_inputs()}
        return dict(zip((one.name for one in session.get_outputs()), session.run(None, inputs), strict=True))

    def embed(self, images: Array) -> Arrays:
        """The features of images, which are among them; to be computed once per image."""
        side, inputs = self.about["side"], self.about["inputs"]
        images = np.asarray(images, np.float32).reshape(len(images), inputs, side, side)
        parts = [self.run("embed", {"images": images[i : i + _TOGETHER]}) for i in range(0, len(images), _TOGETHER)]
        return {"images": images, **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}}

    def prompt(self, features: Arrays, targets: Array, kind: str) -> Arrays:
        """Examples, ready for any number of queries. targets: (n, channels, side, side); kind: labels or image."""
        encoded = self.run(f"encode_{kind}", {**features, "targets": targets})
        return encoded | self.run(f"solve_{kind}", encoded)

    def answer(self, features: Arrays, prompts: Arrays, kind: str) -> Array:
        """Logits or pictures (q, channels, side, side) of queries."""
        known = {name: prompts[name] for name in prompts if name not in features}
        parts = list[Array]()
        for i in range(0, len(features["images"]), _TOGETHER):
            query = {name: array[i : i + _TOGETHER] for name, array in features.items()}
            parts += self.run(f"answer_{kind}", {**known, **query}).values()
        return np.concatenate(parts)


def predict(model: Model, images: Array, targets: Array, queries: Array) -> Array:
    """The targets of queries: labels where those of the examples are whole numbers, else pictures in [0, 1]."""
    prompt_features, query_features = model.embed(images), model.embed(queries)
    if targets.dtype.kind not in "biu":
        pictures = model.answer(query_features, model.prompt(prompt_features, targets[:, None], "image"), "image")
        clipped: Array = pictures[:, 0].clip(0, 1)
        return clipped
    values = np.unique(targets[targets > 0])
    if not len(values):
        return np.zeros((len(queries), *targets.shape[1:]), targets.dtype)
    classes = np.stack([targets == value for value in values], axis=1)
    logits = model.answer(query_features, model.prompt(prompt_features, classes, "labels"), "labels")
    best = np.concatenate([np.zeros_like(logits[:, :1]), logits], axis=1).argmax(axis=1)  # the background's logit is 0
    numbers: Array = np.concatenate([np.zeros_like(values[:1]), values])
    chosen: Array = np.take(numbers, best)
    return chosen


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    prompt_file, query_file, answer_file = sys.argv[1:]
    prompts = np.load(prompt_file)
    predicted = predict(
        Model(Path(__file__).resolve().parent), prompts["images"], prompts["targets"], np.load(query_file)
    )
    np.save(answer_file, predicted)
