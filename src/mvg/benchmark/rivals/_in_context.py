"""How in-context rivals predict: slice by slice, with the framing, the prompts and the restoration of our predictor."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvg.benchmark.protocol.method import Request
from mvg.benchmark.rivals._training import TrainingLog
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.inference.ensemble import ViewPlanner
from mvg.prediction.inference.prompt_cache import PromptView, coloring_of
from mvg.prediction.inference.query_volume import QueryVolume, smallest_integers
from mvg.prediction.inference.slices import decode_labels
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompts.cutting import SliceLayout
from mvg.prediction.prompts.pairs import PairReader, PromptPairs
from mvg.prediction.prompts.prompt_set import PromptSet, prepare
from mvg.prediction.selection.retrieval import thumbnails

_BATCH = 8  # squares of one forward pass

Predict = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(queries (b, 1, s, s), prompt images (b, n, 1, s, s), prompt targets (b, n, 1, s, s)) -> one picture per query
(b, 1, s, s). Pictures are in [0, 1]. Targets are masks of one class, for which the output is logits, painted labels, or
pictures."""


@dataclass(frozen=True, eq=False)
class InContext:
    """A rival that is ready to predict: a Method.

    size: the picture side. label_mode: "binary" for one pass per class, "colors" for all classes as one painted
    picture. options: how prompt slices are chosen, with one ensemble member. device: where the network is.
    """

    predict: Predict
    size: int
    label_mode: Literal["binary", "colors"]
    options: PredictionOptions
    device: str = "cpu"
    log: TrainingLog = field(default_factory=TrainingLog)

    @property
    def steps(self) -> int:
        """The number of training steps."""
        return self.log.steps

    @property
    def samples(self) -> int:
        """The number of query slices in training."""
        return self.log.samples

    def __call__(self, request: Request) -> Volume | LabelMap:
        """The prediction on the query's own grid."""
        spec, given = request.task.spec, request.prompts
        pairs = PromptPairs(
            [p.image for p in given], [p.target for p in given], [p.case for p in given], request.modality
        )
        prompts = prepare(PairReader(pairs, spec), SliceLayout(self.size))
        query = QueryVolume.of(request.query, prompts, spec, self.size)
        values = smallest_integers(prompts.values) if prompts.values else np.zeros(1, np.float32)
        slices = np.zeros(query.shape, values.dtype)
        step = max(1, _BATCH // len(query.frames))
        for start in range(0, len(query), step):
            indices = range(start, min(start + step, len(query)))
            inputs = [self._inputs(query, index, prompts, len(request.prompts)) for index in indices]
            for part, output in zip(inputs, self._outputs(inputs), strict=True):
                if prompts.values:
                    classes = decode_labels(query, _probabilities(part, output, len(prompts.values))).numbers
                    slices[part.index] = values[classes]
                else:
                    picture = output[:, 0].clip(0, 1)
                    slices[part.index] = query.raw_prediction(
                        part.index, part.squares, picture, spec, prompts.target_window
                    )
        return request.query.from_pictures(slices, query.plane)

    def _inputs(self, query: QueryVolume, index: int, prompts: PromptSet, limit: int) -> "_SliceInputs":
        """The inputs of a query slice, with no more prompt slices than `limit`, the number of prompts."""
        options = replace(self.options, num_prompts=min(limit, self.options.num_prompts))
        squares, is_painted = query.squares(index), bool(prompts.values) and self.label_mode == "colors"
        planner = ViewPlanner(prompts, prompts.retrieval_index, options, is_painted)
        query_slice = query.query_slice(index, squares, lambda at: thumbnails(squares[at : at + 1, 0])[0])
        (view,) = planner.views(query_slice)
        present = np.flatnonzero(prompts.classes_in(view.indices)) + 1 if prompts.values else np.zeros(0, np.int64)
        targets = self._targets(prompts, view, present)
        return _SliceInputs(index, squares[:, 0], prompts.image_batch(view.indices)[:, 0], targets, present, view)

    def _targets(self, prompts: PromptSet, view: PromptView, present: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        """The prompt targets (n, s, s) of each pass; present: the classes in them."""
        if not prompts.values:
            return [prompts.picture_batch(view.indices)]
        classes = prompts.targets[list(view.indices)]
        if self.label_mode == "colors":
            return [coloring_of(view.colors or ()).paint(classes)] if len(present) else []
        return [np.asarray(classes == number, np.float32) for number in present]

    @torch.inference_mode()
    def _outputs(self, inputs: "Sequence[_SliceInputs]") -> Iterator[NDArray[np.float32]]:
        """The network's output for each slice: (f, passes, s, s)."""
        passes = [
            (np.broadcast_to(part, (len(one.squares), *part.shape)) for part in (one.images, target))
            for one in inputs
            for target in one.targets
        ]
        output = torch.zeros(0, 1, self.size, self.size)
        if passes:
            images, targets = (np.concatenate(parts) for parts in zip(*passes, strict=True))
            queries = np.concatenate([one.squares for one in inputs for _ in one.targets])
            arrays = (queries[:, None], images[:, :, None], targets[:, :, None])
            tensors = (torch.from_numpy(array).to(self.device) for array in arrays)
            chunks = zip(*(torch.split(tensor, _BATCH) for tensor in tensors), strict=True)
            output = torch.cat([self.predict(*chunk).float().cpu() for chunk in chunks])
        counts = [len(one.targets) * len(one.squares) for one in inputs]
        for one, part in zip(inputs, torch.split(output, counts), strict=True):
            yield part.reshape(len(one.targets), len(one.squares), *part.shape[-2:]).swapaxes(0, 1).numpy()


@dataclass(frozen=True, eq=False)
class _SliceInputs:
    """A query slice: squares (f, s, s), prompt images (n, s, s), targets (n, s, s) of each pass, classes in them."""

    index: int
    squares: NDArray[np.float32]
    images: NDArray[np.float32]
    targets: list[NDArray[np.float32]]
    present: NDArray[np.int64]
    view: PromptView


def _probabilities(inputs: _SliceInputs, output: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """Of background and all classes (f, K + 1, s, s); a class that no prompt shows has probability 0."""
    probabilities = np.zeros((len(output), classes + 1, *output.shape[-2:]), np.float32)
    if not len(inputs.present):
        probabilities[:, 0] = 1
    elif inputs.view.colors is not None:
        coloring = coloring_of(inputs.view.colors)
        probabilities[:, coloring.labels] = coloring.soft(output[:, 0]).swapaxes(0, 1)
    else:
        logits = torch.from_numpy(np.concatenate([np.zeros_like(output[:, :1]), output], axis=1))
        probabilities[:, [0, *inputs.present]] = logits.softmax(dim=1).numpy()
    return probabilities
