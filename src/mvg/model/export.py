"""The network as ONNX graphs, which other programs run without PyTorch.

    embed          images -> features
    encode_KIND    features and targets of prompts -> keys, values, sums
    solve_KIND     sums -> the solution of the regression
    answer_KIND    features of queries, keys, values, solution -> logits or pictures

KIND is labels or image. The numbers of pictures, prompts and channels are free; the side of pictures is the network's.
Keys and values of further prompts are concatenated, their sums are added. Graphs compute in 32 bits, and the linear
system of the regression in 64.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import onnxscript
import torch
from torch import Tensor, nn

from mvg.model.matching import MatchingForm
from mvg.model.outputs import ImageFeatures, PromptState, RidgeSolution, RidgeStatistics

OPSET = 18
op: Any = onnxscript.opset18  # its annotations of types are those of scripts alone
FREE_AXES: dict[str, dict[int, str]] = {
    name: axes
    for names, axes in (
        (("images", "levels", "fine", "filling"), {0: "pictures"}),
        (("targets", "logits", "pictures"), {0: "pictures", 1: "channels"}),
        (("keys_0", "keys_1"), {2: "keys"}),
        (("values_0", "values_1"), {2: "keys", 3: "channels"}),
        (("cross", "softness"), {1: "channels"}),
        (("weights", "inside", "outside"), {2: "columns"}),
    )
    for name in names
}
"""The axes of inputs and outputs whose lengths are free: keys are patches of prompts, columns are 16 per channel."""
_FEATURES = ("images", "levels", "fine", "filling")
_KEYS_VALUES = ("keys_0", "keys_1", "values_0", "values_1")
_SUMS, _SOLUTION = ("gram", "cross", "softness"), ("weights", "inside", "outside")
_PROMPTS, _CHANNELS = 2, 3  # of the example that is traced

Kind = Literal["labels", "image"]
_OUTPUTS: dict[Kind, str] = {"labels": "logits", "image": "pictures"}
Compute = Callable[..., tuple[Tensor, ...]]
Shapes = dict[str, list[int | str]]
"""By name: lengths of axes, and names of those whose length is free."""


@dataclass(frozen=True)
class Graph:
    """A part of the network: what it computes from which inputs, and what it gives."""

    name: str
    compute: Compute
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def graphs() -> list[Graph]:
    """All parts, each after those whose outputs it takes."""
    every = [Graph("embed", _embed, _FEATURES[:1], _FEATURES[1:])]
    for kind, output in _OUTPUTS.items():
        encoded, known = (*_KEYS_VALUES, *_SUMS), (*_FEATURES, *_KEYS_VALUES, *_SOLUTION)
        every += [
            Graph(f"encode_{kind}", partial(_encode, kind), (*_FEATURES, "targets"), encoded),
            Graph(f"solve_{kind}", partial(_solve, kind), _SUMS, _SOLUTION),
            Graph(f"answer_{kind}", partial(_answer, kind), known, (output,)),
        ]
    return every


def write_graphs(form: MatchingForm, folder: Path) -> dict[str, dict[str, Shapes]]:
    """Write each graph as NAME.onnx; returns the shapes of the inputs and outputs of each file."""
    side, shapes = form.config.size, dict[str, dict[str, Shapes]]()
    known = {
        "images": torch.rand(_PROMPTS, form.config.inputs, side, side),
        "targets": torch.rand(_PROMPTS, _CHANNELS, side, side),
    }
    for graph in graphs():
        traced, inputs = _Traced(form, graph.compute).eval(), tuple(known[name] for name in graph.inputs)
        with torch.no_grad():
            known |= zip(graph.outputs, traced(*inputs), strict=True)
        file = f"{graph.name}.onnx"
        _write(traced, graph, inputs, folder / file)
        shapes[file] = {"inputs": _shapes(graph.inputs, known), "outputs": _shapes(graph.outputs, known)}
    return shapes


def _shapes(names: Iterable[str], known: Mapping[str, Tensor]) -> Shapes:
    return {name: [FREE_AXES.get(name, {}).get(axis, n) for axis, n in enumerate(known[name].shape)] for name in names}


class _Traced(nn.Module):
    """A part with the layers that it uses."""

    def __init__(self, form: MatchingForm, compute: Compute) -> None:
        super().__init__()
        self.form, self.compute = form, compute

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return self.compute(self.form, *tensors)


def _embed(form: MatchingForm, images: Tensor) -> tuple[Tensor, ...]:
    features = form.embed(images)
    return _present(features.levels, features.fine, features.filling)


def _encode(kind: Kind, form: MatchingForm, *tensors: Tensor) -> tuple[Tensor, ...]:
    *features, targets = tensors
    state = form.encode_each(ImageFeatures(*features), targets[None], kind)
    return (*state.keys, *state.values, *state.sums)


def _solve(kind: Kind, form: MatchingForm, *sums: Tensor) -> tuple[Tensor, ...]:
    return tuple(form.ridge.solve(RidgeStatistics(*sums), kind))


def _answer(kind: Kind, form: MatchingForm, *tensors: Tensor) -> tuple[Tensor, ...]:
    features, keys, values, solution = tensors[:4], tensors[4:6], tensors[6:8], tensors[8:]
    prompts = PromptState(keys, values)
    output = form.answer_solved(ImageFeatures(*features), prompts, RidgeSolution(*solution), kind)
    return _present(output.logits, output.pictures)


def _present(*tensors: Tensor | None) -> tuple[Tensor, ...]:
    return tuple(tensor for tensor in tensors if tensor is not None)


def _write(traced: nn.Module, graph: Graph, inputs: tuple[Tensor, ...], file: Path) -> None:
    free = tuple(FREE_AXES.get(name) or {} for name in graph.inputs)
    program = torch.onnx.export(
        traced, inputs, dynamo=True, verbose=False, opset_version=OPSET, external_data=False,
        input_names=graph.inputs, output_names=graph.outputs, dynamic_shapes=(free,),
        custom_translation_table=_TRANSLATIONS,
    )  # fmt: skip
    assert program is not None
    program.save(file)


# ONNX has no factorization of matrices. What PyTorch takes for the factor is the matrix itself here, and its system is
# solved by elimination, in 64 bits. Without an exchange of rows this is stable for positive definite matrices.


def _unfactored(matrix: Any, upper: int = 0, check_errors: int = 0) -> Any:
    return op.Identity(matrix), op.Cast(op.ReduceSum(matrix, op.Constant(value_ints=[1, 2]), keepdims=0) * 0.0, to=6)


@onnxscript.script()
def _eliminated(right: onnxscript.FLOAT, matrix: onnxscript.FLOAT, upper: int = 0) -> onnxscript.FLOAT:
    """matrix: (1, d, d); right: (1, d, q)."""
    size = op.Gather(op.Shape(matrix), op.Constant(value_int=1))
    both = op.Cast(op.Squeeze(op.Concat(matrix, right, axis=2), op.Constant(value_ints=[0])), to=11)
    rows = op.Range(0, size, 1)
    for row in range(size):
        line = op.Gather(both, row, axis=0)
        unit = op.Cast(op.Equal(rows, row), to=11)
        column = op.Gather(both, row, axis=1) - unit
        both = both - op.Unsqueeze(column, [1]) * op.Unsqueeze(line / op.Gather(line, row), [0])
    solved = op.Slice(both, op.Unsqueeze(size, [0]), [9223372036854775807], [1])
    return op.CastLike(op.Unsqueeze(solved, [0]), right)  # type: ignore[no-any-return]


_TRANSLATIONS: dict[Callable[..., Any], Any] = {
    torch.ops.aten.linalg_cholesky_ex.default: _unfactored,
    torch.ops.aten.cholesky_solve.default: _eliminated,
}
