"""The predictor: shown example pairs, it does the same to new images."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mvg.errors import GeometryError
from mvg.imaging.frame import Spacing
from mvg.imaging.volume import LabelMap, Volume
from mvg.model.device import device_named
from mvg.model.generalist import Generalist
from mvg.model.weights import load_weights
from mvg.prediction.asked import Volumes, task_spec
from mvg.prediction.inference.ensemble import PredictionOptions
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.inference.query_volume import Query, smallest_integers
from mvg.prediction.inference.slices import VolumePrediction, predict_slices
from mvg.prediction.prompts.prompt_set import PromptSet, prepare
from mvg.prediction.refinement.zoom import ZoomPlan, joined, label_extent, plan_zoom
from mvg.tasks import TaskSpec

Progress = Callable[[int, int], None]
"""Called with the number of slices done and of all slices."""


@dataclass(frozen=True)
class Prediction:
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
        strategy: str = "alike_nearby",
        num_prompts: int = 8,
        members: int = 1,
        seed: int = 0,
        look: str = "close",
        propagate: float = 0.0,
        reject: float | None = None,
        modality: str | None = None,
        names: Sequence[str] = (),
    ) -> "PromptedTask":
        """Show example pairs; what comes back does the same to any query.

        images, targets: one target per image, on the same grid; lazy sequences are read pair by pair. task:
        "segmentation", "synthesis", "inpainting" or "denoising"; None where all targets are LabelMaps. modality: "CT"
        if intensities are HU, any other if they are not, in prompts and queries; None guesses. names: of the pairs, for
        messages. The rest: see `PredictionOptions`. Raises PromptError for pairs that cannot serve,
        GeometryError for a pair on two grids, UnknownNameError for names.
        """
        settings = PredictionOptions(strategy, num_prompts, members, seed, look, propagate, reject)
        asked, size = task_spec(task, targets), self.model.config.size
        examples = prepare(images, targets, asked, size, modality, names)
        close = plan_zoom(images, targets, asked, size, modality, examples) if look == "close" else None
        return PromptedTask(self, asked, examples, settings, close)

    def load_task(self, path: str | Path) -> "PromptedTask":
        """A saved task for this model. Raises FileError, or WeightsError for another picture size."""
        from mvg.prediction.task_file import load

        return load(self, Path(path))


class PromptedTask:
    """Prompts and the model that was shown them: call it with a query volume.

    Prompts are encoded on first use and kept within a fixed memory. Tasks made by `using` share what was encoded.
    """

    def __init__(
        self,
        predictor: Predictor,
        asked: TaskSpec,
        examples: PromptSet,
        settings: PredictionOptions,
        close: ZoomPlan | None = None,
    ) -> None:
        """See `Predictor.prompt`, which makes one."""
        self.predictor, self.asked, self.examples, self.settings, self.close = (
            predictor, asked, examples, settings, close,
        )  # fmt: skip
        self.cache = PromptCache(predictor.model, examples)
        pieces = () if close is None else close.pieces
        self.close_caches = [PromptCache(predictor.model, p.examples, 2**30 // len(pieces)) for p in pieces]

    def __call__(self, query: Volume, progress: Progress | None = None) -> Prediction:
        """The answer to a query volume, slice by slice: memory grows by the answer alone.

        Raises GeometryError for a query with NaN or infinite voxels.
        """
        if not np.isfinite([query.voxels.min(), query.voxels.max()]).all():  # NaN is both
            raise GeometryError(
                "a query with NaN or infinite voxels", "finite intensities", "replace them, for example by 0"
            )
        cut = Query.of(query, self.examples, self.asked, self.predictor.model.config.size)
        looks = 1 if self.close is None or self.settings.look == "whole" else 1 + len(self.close.pieces)

        def told(look: int) -> Callable[[int], None]:
            return lambda done: None if progress is None else progress(look * len(cut) + done, looks * len(cut))

        first = predict_slices(self.predictor.model, cut, self.examples, self.cache, self.settings, told(0))
        said, doubts = first.said, first.doubts
        if self.close is not None and looks > 1:
            self._look_closely(self.close, cut, first, query.pixel_spacing(cut.plane), told)
        answers = smallest_integers(self.examples.values)[said] if self.examples.values else said
        answers.flags.writeable = False  # what nobody can write to is not copied
        if doubts is not None:
            doubts.flags.writeable = False
        uncertainty = None if doubts is None else query.from_pictures(doubts, cut.plane)
        assert not isinstance(uncertainty, LabelMap)
        return Prediction(query.from_pictures(answers, cut.plane), uncertainty)

    def using(
        self,
        *,
        strategy: str | None = None,
        num_prompts: int | None = None,
        members: int | None = None,
        seed: int | None = None,
        look: str | None = None,
        propagate: float | None = None,
        reject: float | None = None,
        colors: tuple[float, ...] | None = None,
    ) -> "PromptedTask":
        """The same prompts, used differently: what is not None replaces the settings (see `PredictionOptions`)."""
        old = self.settings
        settings = PredictionOptions(
            strategy or old.strategy,
            old.num_prompts if num_prompts is None else num_prompts,
            old.members if members is None else members,
            old.seed if seed is None else seed,
            look or old.look,
            old.propagate if propagate is None else propagate,
            old.reject if reject is None else reject,
            old.colors if colors is None else colors,
        )
        used = copy.copy(self)
        used.settings = settings
        return used

    def save(self, path: str | Path) -> None:
        """Write prompts and their encodings as one task file, whole or not at all. Raises FileError."""
        from mvg.prediction.task_file import save

        save(self, Path(path))

    def _look_closely(
        self,
        close: ZoomPlan,
        cut: Query,
        first: VolumePrediction,
        spacing: Spacing,
        told: Callable[[int], Callable[[int], None]],
    ) -> None:
        """Replace class numbers that were answered first by those of a close look, but for classes that its prompts
        lack. Pieces show parts of labels, which end everywhere: what is sure enough there, the first look tells.
        """
        answers, doubts = first.said, first.doubts
        shape = answers.shape[1:]
        frames = close.frames(label_extent(answers, spacing), shape, spacing)
        if not frames:
            told(len(close.pieces))(len(cut))
            return
        chosen = joined(frames, shape)
        for number, (frame, piece, cache) in enumerate(zip(frames, close.pieces, self.close_caches, strict=True)):
            seen = cut.seen((frame,))
            told_by = self.settings if piece.at is None else replace(self.settings, reject=0.0)
            again = predict_slices(self.predictor.model, seen, piece.examples, cache, told_by, told(number + 1))
            for at in range(len(cut)):
                lacking = 1 + np.flatnonzero(~again.known[at])
                if piece.at is not None:
                    again.said[at][np.isin(again.said[at], 1 + np.flatnonzero(first.dropped[at]))] = 0
                own = (chosen == number) & ~(np.isin(answers[at], lacking) & (again.said[at] == 0))
                answers[at, own] = again.said[at, own]
                if doubts is not None and again.doubts is not None:
                    doubts[at, own] = again.doubts[at, own]


def load(weights: str | Path = "tiny", device: str = "auto") -> Predictor:
    """A predictor with shipped weights (an id) or with those of a folder.

    device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest there is.
    Raises WeightsError for unknown or damaged weights, UnknownNameError for a device that is not there.
    """
    return Predictor(load_weights(weights, device_named(device)), str(weights))


def load_task(path: str | Path, weights: str | Path | None = None, device: str = "auto") -> PromptedTask:
    """A saved task, with the weights that it names or others alike. Raises FileError, WeightsError."""
    from mvg.prediction.task_file import weights_of

    return load(weights or weights_of(Path(path)), device).load_task(path)
