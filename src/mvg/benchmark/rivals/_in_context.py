"""How in-context rivals answer: slice by slice, cut, prompted and restored as our predictor does."""

from collections.abc import Callable, Iterator
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
from mvg.prediction.prompts.pairs import PairReader, PromptPairs
from mvg.prediction.prompts.prompt_set import PromptSet, SliceLayout, prepare
from mvg.prediction.selection.retrieval import thumbnails
from mvg.tasks import TaskSpec

_AT_ONCE = 8  # squares that are asked together


Ask = Callable[[Tensor, Tensor, Tensor], Tensor]
"""What a network can be asked: (queries (b, 1, s, s), prompt images (b, n, 1, s, s), their targets (b, n, 1, s, s)) ->
a picture per query (b, 1, s, s); all in [0, 1]. Targets are masks of one class (the answer: its logits), painted
labels, or pictures."""


@dataclass(frozen=True, eq=False)
class InContext:
    """A rival that is ready to answer: a Method.

    size: the picture side; reading: labels are asked class by class, or painted in spaced colors; shown: how prompt
    slices are chosen, one member; device: where the network lies; learnt: on what it stands.
    """

    ask: Ask
    size: int
    reading: Literal["binary", "colors"]
    shown: PredictionOptions
    device: str = "cpu"
    log: TrainingLog = field(default_factory=TrainingLog)

    @property
    def steps(self) -> int:
        """Steps of the optimizer."""
        return self.log.steps

    @property
    def samples(self) -> int:
        """Query slices learnt from."""
        return self.log.samples

    def __call__(self, request: Request) -> Volume | LabelMap:
        """The answer on the query's own grid, cut, prompted and restored as our predictor does."""
        images, targets = [prompt.image for prompt in request.prompts], [prompt.target for prompt in request.prompts]
        asked = request.task.spec
        names = [prompt.case for prompt in request.prompts]
        reader = PairReader(PromptPairs(images, targets, names, request.modality), asked)
        examples = prepare(reader, SliceLayout(self.size))
        cut = QueryVolume.of(request.query, examples, asked, self.size)
        table = smallest_integers(examples.values) if examples.values else np.zeros(1, np.float32)
        answers = np.zeros(cut.shape, table.dtype)
        at_once = max(1, _AT_ONCE // len(cut.frames))
        for start in range(0, len(cut), at_once):
            some = range(start, min(start + at_once, len(cut)))
            slices = [self._slice(cut, at, examples, len(request.prompts)) for at in some]
            for piece, said in zip(slices, self._said(slices), strict=True):
                if examples.values:
                    numbers = decode_labels(cut, _probabilities(piece, said, len(examples.values))).numbers
                    answers[piece.at] = table[numbers]
                else:
                    answers[piece.at] = _picture(cut, piece, said[:, 0].clip(0, 1), examples, asked)
        return request.query.from_pictures(answers, cut.plane)

    def _slice(self, cut: QueryVolume, at: int, examples: PromptSet, most: int) -> "_Slice":
        """A slice and what it is shown: no more prompt slices than the request has prompts, as ours."""
        shown = replace(self.shown, num_prompts=min(most, self.shown.num_prompts))
        squares, painted = cut.squares(at), bool(examples.values) and self.reading == "colors"
        planner = ViewPlanner(examples, examples.retrieval_index, shown, painted)
        described = cut.query_slice(at, squares, lambda square: thumbnails(squares[square : square + 1, 0])[0])
        (view,) = planner.views(described)
        present = np.flatnonzero(examples.classes_in(view.indices)) + 1 if examples.values else np.zeros(0, np.int64)
        numbers = examples.targets[list(view.indices)]
        if not examples.values:
            targets = [examples.picture_batch(view.indices)]
        elif painted:
            targets = [coloring_of(view.colors or ()).paint(numbers)] if len(present) else []
        else:
            targets = [np.asarray(numbers == number, np.float32) for number in present]
        return _Slice(at, squares[:, 0], examples.image_batch(view.indices)[:, 0], targets, present, view)

    @torch.inference_mode()
    def _said(self, slices: "list[_Slice]") -> Iterator[NDArray[np.float32]]:
        """What the network says of each slice: (f, passes, s, s)."""
        passes = [
            (np.broadcast_to(part, (len(piece.squares), *part.shape)) for part in (piece.images, target))
            for piece in slices
            for target in piece.targets
        ]
        said = torch.zeros(0, 1, self.size, self.size)
        if passes:
            images, targets = (np.concatenate(parts) for parts in zip(*passes, strict=True))
            queries = np.concatenate([piece.squares for piece in slices for _ in piece.targets])
            parts = (
                torch.from_numpy(part).to(self.device)
                for part in (queries[:, None], images[:, :, None], targets[:, :, None])
            )
            chunks = zip(*(torch.split(part, _AT_ONCE) for part in parts), strict=True)
            said = torch.cat([self.ask(*chunk).float().cpu() for chunk in chunks])
        counts = [len(piece.targets) * len(piece.squares) for piece in slices]
        for piece, own in zip(slices, torch.split(said, counts), strict=True):
            yield own.reshape(len(piece.targets), len(piece.squares), *own.shape[-2:]).swapaxes(0, 1).numpy()


@dataclass(frozen=True, eq=False)
class _Slice:
    """A query slice: squares (f, s, s), prompt images (n, s, s), targets (n, s, s) once per pass, classes shown."""

    at: int
    squares: NDArray[np.float32]
    images: NDArray[np.float32]
    targets: list[NDArray[np.float32]]
    present: NDArray[np.int64]
    view: PromptView


def _probabilities(piece: _Slice, said: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """Background and all classes (f, K + 1, s, s); a class that no prompt shows has probability 0."""
    found = np.zeros((len(said), classes + 1, *said.shape[-2:]), np.float32)
    if not len(piece.present):
        found[:, 0] = 1
    elif piece.view.colors is not None:
        coloring = coloring_of(piece.view.colors)
        found[:, coloring.labels] = coloring.soft(said[:, 0]).swapaxes(0, 1)
    else:
        scores = torch.from_numpy(np.concatenate([np.zeros_like(said[:, :1]), said], axis=1))
        found[:, [0, *piece.present]] = scores.softmax(dim=1).numpy()
    return found


def _picture(
    cut: QueryVolume, piece: _Slice, said: NDArray[np.float32], examples: PromptSet, asked: TaskSpec
) -> NDArray[np.float32]:
    """A picture answer (rows, cols), raw; restorations change the raw query, also outside of its window."""
    if asked.residual:
        return cut.changed_by(piece.at, piece.squares, said)
    return examples.target_window.invert(cut.restore(said))
