"""The predictor: shown example pairs, it does the same to new images."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mvg.errors import GeometryProblem, UnknownName
from mvg.imaging.frame import Spacing
from mvg.imaging.volume import LabelMap, Volume
from mvg.model.generalist import Generalist
from mvg.model.weights import load_weights
from mvg.prediction.asked import Asked, Volumes, asked_for
from mvg.prediction.closely import Close, found_place, joined, look_closely
from mvg.prediction.encoding import PromptCache, View
from mvg.prediction.ensemble import Said, Settings, answer, views
from mvg.prediction.examples import Examples, prepare
from mvg.prediction.query import Query, smallest_integers

Progress = Callable[[int, int], None]
"""Called with the number of slices done and of all slices."""

_SQUARES_AT_ONCE = 8  # query squares that go through the model together


@dataclass(frozen=True)
class Answer:
    """What was asked for, on the query's own grid (affine bit for bit): a LabelMap or a Volume in raw intensities.

    uncertainty: a Volume in [0, 1] on the same grid where an ensemble answered, else None. Labels: entropy of the mean
    class probabilities over the largest possible. Pictures: twice the standard deviation of the members, 1 being the
    whole window.
    """

    volume: LabelMap | Volume
    uncertainty: Volume | None


class Predictor:
    """A model ready to be shown prompts; it holds nothing else."""

    def __init__(self, model: Generalist, name: str = "") -> None:
        """`model` on the device that it shall run on; `name` is the id or path of its weights, noted in task files."""
        self.model, self.name = model.eval(), name

    def prompt(
        self,
        images: Volumes[Volume],
        targets: Volumes[Volume | LabelMap],
        task: str | None = None,
        *,
        strategy: str = "nearest_slice",
        num_prompts: int = 8,
        members: int = 1,
        seed: int = 0,
        look: str = "close",
        modality: str | None = None,
        names: Sequence[str] = (),
    ) -> "PromptedTask":
        """Show example pairs; what comes back does the same to any query.

        images, targets: one target per image, on the same grid; lazy sequences are read pair by pair. task:
        "segmentation", "synthesis", "inpainting" or "denoising"; None where all targets are LabelMaps. modality: "CT"
        if intensities are HU; None guesses. names: of the pairs, for messages.
        The rest: see `Settings`. Raises PromptProblem for pairs that cannot
        serve, GeometryProblem for a pair on two grids, UnknownName for names.
        """
        settings = Settings(strategy, num_prompts, members, seed, look)
        asked, size = asked_for(task, targets), self.model.config.size
        examples = prepare(images, targets, asked, size, modality, names)
        close = look_closely(images, targets, asked, size, modality, examples) if look == "close" else None
        return PromptedTask(self, asked, examples, settings, close)

    def load_task(self, path: str | Path) -> "PromptedTask":
        """A saved task for this model. Raises FileProblem, or WeightsProblem for another picture size."""
        from mvg.prediction.taskfile import load

        return load(self, Path(path))


class PromptedTask:
    """Prompts and the model that was shown them: call it with a query volume.

    Prompts are encoded on first use and kept within a fixed memory. Tasks made by `using` share what was encoded.
    """

    def __init__(
        self, predictor: Predictor, asked: Asked, examples: Examples, settings: Settings, close: Close | None = None
    ) -> None:
        """See `Predictor.prompt`, which makes one."""
        self.predictor, self.asked, self.examples, self.settings, self.close = (
            predictor, asked, examples, settings, close,
        )  # fmt: skip
        self.cache = PromptCache(predictor.model, examples)
        pieces = () if close is None else close.pieces
        self.close_caches = [PromptCache(predictor.model, p.examples, 2**30 // len(pieces)) for p in pieces]

    def __call__(self, query: Volume, progress: Progress | None = None) -> Answer:
        """The answer to a query volume, slice by slice: memory grows by the answer alone.

        Raises GeometryProblem for a query with NaN or infinite voxels.
        """
        if not np.isfinite([query.voxels.min(), query.voxels.max()]).all():  # NaN is both
            raise GeometryProblem(
                "a query with NaN or infinite voxels", "finite intensities", "replace them, for example by 0"
            )
        cut = Query.of(query, self.examples, self.asked, self.predictor.model.config.size)
        looks = 1 if self.close is None or self.settings.look == "whole" else 1 + len(self.close.pieces)

        def told(look: int) -> Callable[[int], None]:
            return lambda done: None if progress is None else progress(look * len(cut) + done, looks * len(cut))

        answers, doubts, _ = self._answered(cut, self.examples, self.cache, told(0))
        if self.close is not None and looks > 1:
            self._look_closely(self.close, cut, answers, doubts, query.pixel_spacing(cut.plane), told)
        answers.flags.writeable = False  # what nobody can write to is not copied
        if doubts is not None:
            doubts.flags.writeable = False
        uncertainty = None if doubts is None else query.from_pictures(doubts, cut.plane)
        assert not isinstance(uncertainty, LabelMap)
        return Answer(query.from_pictures(answers, cut.plane), uncertainty)

    def using(
        self,
        *,
        strategy: str | None = None,
        num_prompts: int | None = None,
        members: int | None = None,
        seed: int | None = None,
        look: str | None = None,
    ) -> "PromptedTask":
        """The same prompts, used differently: what is not None replaces the settings (see `Settings`)."""
        old = self.settings
        settings = Settings(
            strategy or old.strategy,
            old.num_prompts if num_prompts is None else num_prompts,
            old.members if members is None else members,
            old.seed if seed is None else seed,
            look or old.look,
        )
        used = copy.copy(self)
        used.settings = settings
        return used

    def save(self, path: str | Path) -> None:
        """Write prompts and their encodings as one task file, whole or not at all. Raises FileProblem."""
        from mvg.prediction.taskfile import save

        save(self, Path(path))

    def _answered(
        self, cut: Query, examples: Examples, cache: PromptCache, told: Callable[[int], None]
    ) -> tuple[NDArray[Any], NDArray[np.float32] | None, NDArray[np.bool_]]:
        """Label values or raw intensities of all slices; their uncertainty where an ensemble answers; which classes
        each slice's prompts showed (n, K).
        """
        table = smallest_integers(examples.values) if examples.values else np.zeros(1, np.float32)
        answers = np.zeros(cut.pictures.shape, table.dtype)
        doubts = np.zeros(cut.pictures.shape, np.float32) if self.settings.members > 1 else None
        known = np.zeros((len(cut), len(examples.values)), np.bool_)
        for at, squares, said, shown in self._said(cut, examples, cache):
            if examples.values:
                known[at] = examples.shows(tuple({one for view in shown for one in view.chosen}))
                numbers, doubt = cut.labels(said.mean.numpy())
                answers[at] = table[numbers]
            else:
                answers[at] = self._picture(cut, at, squares, said)
                doubt = np.clip(2 * cut.restore(said.spread[:, 0].numpy()), 0, 1)
            if doubts is not None:
                doubts[at] = doubt
            told(at + 1)
        return answers, doubts, known

    def _look_closely(
        self,
        close: Close,
        cut: Query,
        answers: NDArray[Any],
        doubts: NDArray[np.float32] | None,
        spacing: Spacing,
        told: Callable[[int], Callable[[int], None]],
    ) -> None:
        """Replace the labels that were answered by those of a close look, but for classes that its prompts lack."""
        shape = answers.shape[1:]
        frames = close.frames(found_place(answers, spacing), shape, spacing)
        if not frames:
            told(len(close.pieces))(len(cut))
            return
        chosen = joined(frames, shape)
        for number, (frame, piece, cache) in enumerate(zip(frames, close.pieces, self.close_caches, strict=True)):
            again, doubts_again, known = self._answered(cut.seen((frame,)), piece.examples, cache, told(number + 1))
            for at in range(len(cut)):
                lacking = np.array(piece.examples.values)[~known[at]]
                own = (chosen == number) & ~(np.isin(answers[at], lacking) & (again[at] == 0))
                answers[at, own] = again[at, own]
                if doubts is not None and doubts_again is not None:
                    doubts[at, own] = doubts_again[at, own]

    def _said(
        self, cut: Query, examples: Examples, cache: PromptCache
    ) -> Iterator[tuple[int, NDArray[np.float32], Said, tuple[View, ...]]]:
        """Number, squares (f, s, s), answer and views of every slice; neighbours shown the same prompts go together."""
        at_once = max(1, _SQUARES_AT_ONCE // len(cut.frames))
        for shown, group in groupby(self._shown(cut, examples), key=lambda item: item[2]):
            waiting: list[tuple[int, NDArray[np.float32]]] = []
            for at, squares, _ in group:
                waiting.append((at, squares))
                if len(waiting) == at_once:
                    yield from self._asked(waiting, shown, examples, cache)
                    waiting = []
            if waiting:
                yield from self._asked(waiting, shown, examples, cache)

    def _shown(self, cut: Query, examples: Examples) -> Iterator[tuple[int, NDArray[np.float32], tuple[View, ...]]]:
        painted = bool(examples.values) and self.predictor.model.config.form == "merged"
        for at in range(len(cut)):
            squares = cut.squares(at)
            shown = views(cut.described(at, squares), examples, self.settings, painted)
            if self.predictor.model.config.form == "matching":
                # Its prompts do not look at one another: in one order, more neighbouring slices go together.
                shown = tuple(replace(view, chosen=tuple(sorted(view.chosen))) for view in shown)
            yield at, squares, shown

    def _asked(
        self,
        waiting: list[tuple[int, NDArray[np.float32]]],
        shown: tuple[View, ...],
        examples: Examples,
        cache: PromptCache,
    ) -> Iterator[tuple[int, NDArray[np.float32], Said, tuple[View, ...]]]:
        frames = len(waiting[0][1])
        squares = torch.from_numpy(np.concatenate([squares for _, squares in waiting]))[:, None]
        parts = [
            answer(self.predictor.model, cache, examples, squares[start : start + _SQUARES_AT_ONCE], shown)
            for start in range(0, len(squares), _SQUARES_AT_ONCE)
        ]
        mean, spread = torch.cat([part.mean for part in parts]), torch.cat([part.spread for part in parts])
        for place, (at, own) in enumerate(waiting):
            mine = slice(place * frames, (place + 1) * frames)
            yield at, own, Said(mean[mine], spread[mine]), shown

    def _picture(self, cut: Query, at: int, squares: NDArray[np.float32], said: Said) -> NDArray[np.float32]:
        """A picture answer (rows, cols), raw; restorations change the raw query, also outside of its window."""
        picture = said.mean[:, 0].numpy()
        if self.asked.keeps_intensity:
            change = cut.restore(picture - squares)
            return np.asarray(cut.pictures[at] + change * np.float32(cut.window.high - cut.window.low))
        return self.examples.target_window.invert(cut.restore(picture))


def load(weights: str | Path = "tiny", device: str = "auto") -> Predictor:
    """A predictor with shipped weights (an id) or with those of a folder.

    device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest there is.
    Raises WeightsProblem for unknown or damaged weights, UnknownName for a device that is not there.
    """
    return Predictor(load_weights(weights, _device(device)), str(weights))


def load_task(path: str | Path, weights: str | Path | None = None, device: str = "auto") -> PromptedTask:
    """A saved task, with the weights that it names or others alike. Raises FileProblem, WeightsProblem."""
    from mvg.prediction.taskfile import weights_of

    return load(weights or weights_of(Path(path)), device).load_task(path)


def _device(name: str) -> torch.device:
    there = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    there = [*(["cuda"] if there else []), *there, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
    if name == "auto":
        return torch.device(there[0])
    if name not in there:
        raise UnknownName("device here", name, ["auto", *there])
    return torch.device(name)
