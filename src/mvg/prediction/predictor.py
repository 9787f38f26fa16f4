"""The predictor: given example pairs, it does the same to new images."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvg.errors import GeometryError, PromptError, UnknownNameError
from mvg.imaging.conversion import ImageLike, LabelsLike, as_volume
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import guess_modality
from mvg.model.device import device_named, prefers_bfloat16
from mvg.model.generalist import Generalist
from mvg.model.layers import reduce_precision
from mvg.model.weights import fingerprint, load_weights
from mvg.prediction import task_file
from mvg.prediction.inference.adaptation import TaskAdapter
from mvg.prediction.inference.context import PredictionContext, ZoomPass
from mvg.prediction.inference.parallel import one_thread_per_operation
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.inference.query_volume import QueryFeatures, QueryVolume, smallest_integers
from mvg.prediction.inference.slices import predict_slices
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompts.pairs import PairReader, PromptPairs, Volumes, fit_channels
from mvg.prediction.prompts.prompt_set import PromptSet, SliceLayout, prepare
from mvg.prediction.prompts.task_choice import PromptImages, PromptTargets, task_spec
from mvg.prediction.prompts.zoom_plan import ZoomPlan, plan_zoom
from mvg.prediction.refinement import rejection
from mvg.prediction.refinement.pipeline import refine
from mvg.prediction.result import ClassProbabilities, Prediction
from mvg.prediction.session import Session, SessionStart, check_values
from mvg.prediction.task_file import TaskContents
from mvg.tasks import TaskSpec

PRECISIONS = ("auto", "float32")

Progress = Callable[[int, int], None]
"""Called with the number of slices done and of all slices."""


class Predictor:
    """A model that takes prompts; it holds nothing else."""

    def __init__(self, model: Generalist, name: str = "") -> None:
        """`model` on the device that it runs on; `name`: the id or path of its weights, written to task files."""
        self.model, self.name = model.eval(), name

    def prompt(
        self,
        images: Volumes[ImageLike],
        targets: Volumes[LabelsLike],
        task: str | None = None,
        options: PredictionOptions | None = None,
        *,
        modality: str | None = None,
        names: Sequence[str] = (),
    ) -> "PromptedTask":
        """Take example pairs and return a task that does the same to any query.

            task = predictor.prompt([image], [labels])
            labels = task(query).volume

        images, targets: one target per image, on the same grid: Volumes and LabelMaps, paths, images of nibabel or
        SimpleITK, or (array, affine to RAS+ mm), see `mvg.imaging.conversion`. Each pair is read once. task:
        "segmentation", "synthesis", "inpainting", "denoising" or another kind; None where all targets are labels.
        modality: "CT" if intensities are HU, anything else if they are not, in prompts and queries; None guesses.
        names: of the pairs, for messages. Raises PromptError for pairs that cannot serve, GeometryError for a pair on
        two grids or of other types, FileError for files that cannot be read, UnknownNameError for names.
        """
        options = options or PredictionOptions()
        spec = task_spec(task)
        pairs = PromptPairs(PromptImages(images), PromptTargets(targets, task), names, modality)
        reader = PairReader(pairs, spec, self.model.config.inputs)
        prompts = prepare(reader, SliceLayout(self.model.config.size))
        zoom = plan_zoom(reader, prompts) if options.zoom == "auto" else None
        return PromptedTask(self, spec, prompts, options, zoom)

    def open(self, volume: ImageLike, labels: Sequence[int], modality: str | None = None) -> Session:
        """Label a volume slice by slice, without any example pair; `labels`: the values that may be used.

        volume: as the images of `prompt`. Raises PromptError for no values, more than 255, or 0 among them.
        """
        check_values(labels)
        volume = fit_channels(as_volume(volume, "the volume"), self.model.config.inputs, "the volume")
        return Session(self.model, volume, SessionStart(tuple(labels), modality or guess_modality(volume.voxels)))

    def load_task(self, path: str | Path) -> "PromptedTask":
        """A saved task for this model. Raises FileError, or WeightsError for another picture size."""
        contents = task_file.load(Path(path))
        task_file.check_size(contents, self.model.config.size, Path(path))
        task = PromptedTask(self, contents.spec, contents.prompts, contents.options, contents.zoom)
        if contents.fingerprint == fingerprint(self.model):
            task.restore_caches(contents)
        return (
            task
            if contents.adapter is None
            else task.adapted(contents.adapter.to(next(self.model.parameters()).device))
        )


class PromptedTask:
    """Prompts and the model that they are for: call it with a query volume. Safe for several threads.

    Prompts are embedded and encoded on first use and kept within a fixed memory. Tasks made by `with_options` share
    them.
    """

    def __init__(
        self, predictor: Predictor, spec: TaskSpec, prompts: PromptSet, options: PredictionOptions,
        zoom: ZoomPlan | None = None,
    ) -> None:  # fmt: skip
        """See `Predictor.prompt`, which makes one."""
        self.predictor, self.spec, self.prompts, self.options, self.zoom = predictor, spec, prompts, options, zoom
        self.cache = PromptCache(predictor.model, prompts)
        self.zoom_pass = None if zoom is None else ZoomPass.of(predictor.model, zoom)
        self.adapter: TaskAdapter | None = None
        self._zoom_was_off = options.zoom == "off"

    def __call__(self, query: ImageLike, progress: Progress | None = None) -> Prediction:
        """The prediction for a query volume, slice by slice: memory grows by the prediction alone.

        query: a Volume, a path, an image of nibabel or SimpleITK, or (array, affine to RAS+ mm). The prediction lies on
        its grid. Raises GeometryError for a query with NaN or infinite voxels or of another type, FileError for a file
        that cannot be read, PromptError for channels that the model does not take.
        """
        query = as_volume(query, "the query")
        if not np.isfinite([query.voxels.min(), query.voxels.max()]).all():  # NaN is both
            raise GeometryError(
                "a query with NaN or infinite voxels", "finite intensities", "replace them, for example by 0"
            )
        query = fit_channels(query, self.predictor.model.config.inputs, "the query")
        slices = QueryVolume.of(query, self.prompts, self.spec, self.predictor.model.config.size)
        passes = 1 if self.zoom is None or self.options.zoom == "off" else 1 + len(self.zoom.regions)
        counter = _Counter(progress, passes * len(slices))
        context = PredictionContext(
            self.spec, self.options, self.cache, QueryFeatures(self.predictor.model, slices),
            query.pixel_spacing(slices.plane), self.zoom_pass, counter.step,
        )  # fmt: skip
        with one_thread_per_operation():
            prediction = refine(context, predict_slices(context, context.planner()), self.spec.postprocess)
        counter.finish()
        return self._on_grid(prediction, query, slices.plane)

    def open(self, volume: ImageLike) -> Session:
        """Correct the task's prediction for a volume slice by slice. Raises PromptError for a task with pictures.

        volume: as the query of a call.
        """
        if self.spec.target_type != "labels":
            raise PromptError(f"corrections of a {self.spec.kind}", "a task that predicts labels", "use a segmentation")
        volume = fit_channels(as_volume(volume, "the volume"), self.predictor.model.config.inputs, "the volume")
        return Session(
            self.predictor.model,
            volume,
            SessionStart(self.prompts.values, self.prompts.modality_of(volume), self._labels),
        )

    def _labels(self, volume: Volume) -> LabelMap:
        labels = self(volume).volume
        assert isinstance(labels, LabelMap)
        return labels

    def with_options(self, options: PredictionOptions) -> "PromptedTask":
        """The same prompts, used with other options.

            careful = task.with_options(replace(task.options, members=4))

        Raises PromptError for zoom "auto" where the task was made with zoom "off", so that no prompts were magnified.
        """
        needs_plan = options.zoom == "auto" and "zoom" in self.spec.postprocess
        if needs_plan and self.zoom is None and self._zoom_was_off:
            raise PromptError(
                "zoom 'auto' for a task that was made with zoom 'off'",
                "zoom 'off', or a task made with zoom 'auto'",
                "keep zoom 'off' or make the task again from its prompts",
            )
        used = copy.copy(self)
        used.options = options
        return used

    def adapted(self, adapter: TaskAdapter | None) -> "PromptedTask":
        """The same prompts, with predictions that an adapter corrects; None for predictions as the model makes them."""
        used, (whole, *magnified) = copy.copy(self), self.caches
        used.adapter = adapter
        used.cache = whole.corrected(None if adapter is None else adapter.correction(zoomed=False))
        if self.zoom_pass is not None:
            correction = None if adapter is None else adapter.correction(zoomed=True)
            caches = tuple(cache.corrected(correction) for cache in magnified)
            used.zoom_pass = replace(self.zoom_pass, caches=caches)
        return used

    def save(self, path: str | Path) -> None:
        """Write prompts and their encodings as one task file, whole or not at all. Raises FileError."""
        self._determine_thresholds()
        contents = TaskContents(
            self.predictor.name, fingerprint(self.predictor.model), self.spec, self.options, self.prompts,
            self.zoom, thresholds=tuple(cache.thresholds for cache in self.caches), adapter=self.adapter,
        )  # fmt: skip
        task_file.save(contents, self.cache, Path(path))

    def restore_caches(self, contents: TaskContents) -> None:
        """Take over what the same model computed before."""
        device = next(self.predictor.model.parameters()).device
        for view, state in contents.states:
            self.cache.put(view, state.to(device))
        for cache, thresholds in zip(self.caches, contents.thresholds, strict=False):
            cache.thresholds.update(thresholds)

    @property
    def caches(self) -> tuple[PromptCache, ...]:
        """Those of whole slices, then those of the magnified regions."""
        return (self.cache, *(self.zoom_pass.caches if self.zoom_pass else ()))

    def _determine_thresholds(self) -> None:
        """Thresholds of rejection, so that nobody who loads the task waits for them."""
        if "rejection" not in self.spec.postprocess or self.options.min_probability is not None:
            return
        rejection.thresholds(self.cache, self.options)
        for region, cache in self.zoom_pass.regions if self.zoom_pass else ():
            if region.position is None:
                rejection.thresholds(cache, self.options)

    def _on_grid(self, prediction: VolumePrediction, query: Volume, plane: Plane) -> Prediction:
        values = self.prompts.values
        pixels: NDArray[np.generic] = prediction.pixels
        if values and values != tuple(range(1, len(values) + 1)):  # else class numbers are the labels already
            pixels = smallest_integers(values)[pixels]
        uncertainty = None
        if prediction.uncertainty is not None:
            volume = _placed(query, prediction.uncertainty, plane)
            assert isinstance(volume, Volume)
            uncertainty = volume
        probabilities = None
        if prediction.probabilities is not None:
            probabilities = ClassProbabilities((0, *values), prediction.probabilities, query, plane)
        return Prediction(_placed(query, pixels, plane), uncertainty, probabilities)


class _Counter:
    """Counts finished slices for a progress display."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total

    def step(self) -> None:
        """One more slice is done; slices that are predicted again do not count beyond the total."""
        if self._done < self._total:
            self._done += 1
            self._tell()

    def finish(self) -> None:
        """All slices are done, also where a pass was skipped."""
        if self._done < self._total:
            self._done = self._total
            self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total)


def _placed(query: Volume, slices: NDArray[np.generic], plane: Plane) -> Volume | LabelMap:
    slices.flags.writeable = False  # a read-only array is not copied
    return query.from_pictures(slices, plane)


def load(weights: str | Path = "tiny", device: str = "auto", precision: str = "auto") -> Predictor:
    """A predictor with shipped weights (an id) or with those of a folder.

    device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest there is. precision: "float32", or "auto" for
    products in bfloat16 on CPUs that are faster at it; labels then differ in a few pixels of a thousand, at edges.
    Raises WeightsError for unknown or damaged weights, UnknownNameError for a device that is not there, or another
    precision.
    """
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    chosen = device_named(device)
    model = load_weights(weights, chosen)
    if precision == "auto" and model.config.form == "matching" and prefers_bfloat16(chosen):
        reduce_precision(model)
    return Predictor(model, str(weights))


def load_task(path: str | Path, weights: str | Path | None = None, device: str = "auto") -> PromptedTask:
    """A saved task, with the weights that it names or others of the same kind. Raises FileError, WeightsError."""
    return load(weights or task_file.weights_of(Path(path)), device).load_task(path)
