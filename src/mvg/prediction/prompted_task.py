"""A task as prompts show it: call it with a query, open a session on a volume, save it, or give it further examples."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import GeometryError, PromptError
from mvg.imaging.conversion import ImageLike, as_volume
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.model.generalist import Generalist
from mvg.model.weights import fingerprint
from mvg.prediction import session_file, task_file
from mvg.prediction.inference.adaptation import TaskAdapter
from mvg.prediction.inference.context import PredictionContext, ZoomPass
from mvg.prediction.inference.other_knowledge import OtherPrompts
from mvg.prediction.inference.other_prompts import other_prompts
from mvg.prediction.inference.parallel import one_thread_per_operation
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.inference.query_volume import QueryFeatures, QueryVolume, smallest_integers
from mvg.prediction.inference.slices import predict_slices
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.inference.whole_slices import WholeSlices
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompts.cutting import SliceLayout
from mvg.prediction.prompts.pairs import PairReader, PromptPairs, first_channel, fit_channels
from mvg.prediction.prompts.prompt_set import PromptSet, prepare
from mvg.prediction.prompts.scan_facts import ScanFacts
from mvg.prediction.prompts.zoom_plan import ZoomPlan
from mvg.prediction.refinement import rejection, zoom_gain
from mvg.prediction.refinement.pipeline import refine
from mvg.prediction.result import ClassProbabilities, Confidence, Prediction
from mvg.prediction.session import Session
from mvg.prediction.session_start import SessionStart
from mvg.prediction.task_file import TaskContents
from mvg.tasks import TaskSpec

Progress = Callable[[int, int], None]
"""Called with the number of slices done and of all slices."""


class PromptedTask:
    """Prompts and the model that they are for: call it with a query volume. Safe for several threads.

    Prompts are embedded and encoded on first use and kept within a fixed memory. Tasks made by `with_options` share
    them.
    """

    def __init__(
        self, model: Generalist, weights: str, spec: TaskSpec, prompts: PromptSet, options: PredictionOptions,
        zoom: ZoomPlan | None = None,
    ) -> None:  # fmt: skip
        """See `Predictor.prompt`, which makes one; `weights`: the id or path of the model's weights."""
        self.model, self.weights = model, weights
        self.spec, self.prompts, self.options, self.zoom = spec, prompts, options, zoom
        self.cache = PromptCache(model, prompts)
        self.zoom_pass = None if zoom is None else ZoomPass.of(model, zoom)
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
        given = query = fit_channels(query, self.model.config.inputs, "the query")
        query = self.prompts.posed(query)
        slices = QueryVolume.of(query, self.prompts, self.spec.predicted, self.model.config.size)
        passes = 1 if self.zoom is None or self.options.zoom == "off" else 1 + len(self.zoom.regions)
        counter = _Counter(progress, passes * len(slices))
        context = PredictionContext(
            self.spec.predicted, self.options, self.cache, QueryFeatures(self.model, slices),
            query.pixel_spacing(slices.plane), self.zoom_pass, counter.step,
            slice_distance=ScanFacts.of(query, slices.plane, slices.windows).spacing[2],
            whole_slices=WholeSlices(slices.frames[0]) if passes > 1 else None,
        )  # fmt: skip
        with one_thread_per_operation():
            prediction = refine(context, predict_slices(context, context.planner()), context.spec.postprocess)
        counter.finish()
        return self._on_grid(prediction, query, slices.plane).with_orientation(given.orientation)

    def open(self, volume: ImageLike, progress: Progress | None = None) -> Session:
        """Correct the task's prediction for a volume slice by slice. Raises PromptError for a task with pictures.

        volume, progress: as in a call; the prediction is made when the session first needs it.
        """
        self.check_correctable()
        volume = fit_channels(as_volume(volume, "the volume"), self.model.config.inputs, "the volume")
        modality = self.prompts.modality_of(volume)
        return Session(self.model, self.prompts.posed(volume), self._session_start(modality, progress))

    def check_correctable(self) -> None:
        """Raises PromptError for a task with pictures, which cannot be corrected slice by slice."""
        if self.spec.target_type != "labels":
            raise PromptError(f"corrections of a {self.spec.kind}", "a task that predicts labels", "use a segmentation")

    def open_session(self, path: str | Path) -> Session:
        """A saved session, which goes on with this task. Raises FileError, WeightsError for other weights, and
        PromptError for other label values.
        """
        contents = session_file.load(Path(path))
        contents.check(fingerprint(self.model), Path(path))
        if contents.values != self.prompts.values:
            raise PromptError(
                f"a session with the labels {contents.values}", f"those of the task, {self.prompts.values}",
                "open it with its own task",
            )  # fmt: skip
        session = Session(self.model, self.prompts.posed(contents.volume), self._session_start(contents.modality))
        session.restore(contents)
        return session

    def _session_start(self, modality: str, progress: Progress | None = None) -> SessionStart:
        def others(features: QueryFeatures) -> OtherPrompts | None:
            if features.query.plane != self.prompts.plane:
                return None
            return other_prompts(self.cache, self.options, features)

        task, ct_window = self.with_options(replace(self.options, uncertainty=True)), self.prompts.ct_window
        first = partial(task, progress=progress)
        return SessionStart(self.prompts.values, modality, first, others, ct_window=ct_window)

    def with_options(self, options: PredictionOptions) -> "PromptedTask":
        """The same prompts, used with other options.

            careful = task.with_options(replace(task.options, members=4))

        Raises PromptError for zoom "auto" where the task was made with zoom "off", so that no prompts were magnified.
        """
        needs_plan = options.zoom == "auto" and "zoom" in self.spec.predicted.postprocess
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
        used, whole = copy.copy(self), self.cache
        used.adapter = adapter
        used.cache = whole.corrected(None if adapter is None else adapter.correction(zoomed=False))
        if self.zoom_pass is not None:
            correction = None if adapter is None else adapter.correction(zoomed=True)
            caches = tuple(cache.corrected(correction) for cache in self.zoom_pass.caches)
            used.zoom_pass = replace(self.zoom_pass, caches=caches)
        return used

    def with_example(self, image: ImageLike, labels: LabelMap) -> "PromptedTask":
        """The task with one more example, such as the volume of a session and what `Session.finish` returned.

        Its thresholds are determined anew; an adapter stays as it is. Raises PromptError for a task with pictures or
        labels that the task lacks, GeometryError for another grid.
        """
        if self.spec.target_type != "labels":
            raise PromptError(f"a labeled example for a {self.spec.kind}", "a segmentation", "make the task again")
        lacking = sorted(set(labels.values) - set(self.prompts.values))
        if lacking:
            raise PromptError(
                f"an example with the label {lacking[0]}",
                f"labels of the task, {', '.join(map(str, self.prompts.values))}",
                "make the task again with this example among its prompts",
            )
        image = self.prompts.posed(as_volume(image, "the example"))
        pairs = PromptPairs([image], [labels], (), self.prompts.modality_of(image), self.prompts.ct_window)
        reader = PairReader(pairs, self.spec, self.model.config.inputs)
        layout = SliceLayout(self.model.config.size, None, self.prompts.values, self.prompts.plane)
        prompts = self.prompts.joined(prepare(reader, layout))
        zoom = None if self.zoom is None else self.zoom.with_example(reader, prompts)
        task = PromptedTask(self.model, self.weights, self.spec, prompts, self.options, zoom)
        task.adapter, task.cache = self.adapter, self.cache.with_more(prompts)
        if zoom is not None and self.zoom_pass is not None:
            more = zip(self.zoom_pass.caches, zoom.regions, strict=True)
            task.zoom_pass = ZoomPass(zoom, tuple(cache.with_more(region.prompts) for cache, region in more))
        return task

    def save(self, path: str | Path) -> None:
        """Write prompts and their encodings as one task file, whole or not at all. Raises FileError."""
        self._determine_thresholds()
        contents = TaskContents(
            self.weights, fingerprint(self.model), self.spec, self.options, self.prompts,
            self.zoom, thresholds=tuple(cache.thresholds for cache in self.caches), gains=self.cache.zoom_gains,
            adapter=self.adapter,
        )  # fmt: skip
        task_file.save(contents, self.cache, Path(path))

    def restore_caches(self, contents: TaskContents) -> None:
        """Take over what the same model computed before."""
        device = next(self.model.parameters()).device
        for view, state in contents.states:
            self.cache.put(view, state.to(device))
        for cache, thresholds in zip(self.caches, contents.thresholds, strict=False):
            cache.thresholds.update(thresholds)
        regions = 0 if self.zoom is None else len(self.zoom.regions)
        shape = regions, len(self.prompts.values)
        self.cache.zoom_gains.update({key: gain for key, gain in contents.gains.items() if gain.shape == shape})

    @property
    def caches(self) -> tuple[PromptCache, ...]:
        """Those of whole slices, then those of the magnified regions."""
        return (self.cache, *(self.zoom_pass.caches if self.zoom_pass else ()))

    def _determine_thresholds(self) -> None:
        """Thresholds of rejection and gains of regions, so that nobody who loads the task waits for them."""
        if self.zoom_pass is not None and self.options.zoom == "auto":
            zoom_gain.served_classes(self.cache, self.zoom_pass, self.options)
        if "rejection" not in self.spec.predicted.postprocess or self.options.min_probability is not None:
            return
        rejection.thresholds(self.cache, self.options)
        for region, cache in self.zoom_pass.regions if self.zoom_pass else ():
            if region.position is None and not region.classes:
                rejection.thresholds(cache, self.options)

    def _on_grid(self, prediction: VolumePrediction, query: Volume, plane: Plane) -> Prediction:
        values = self.prompts.values
        pixels: NDArray[np.generic] = prediction.pixels
        if values and values != tuple(range(1, len(values) + 1)):  # else class numbers are the labels already
            pixels = _with_values(prediction.pixels, smallest_integers(values))
        uncertainty = None
        if prediction.uncertainty is not None:
            volume = _placed(query, prediction.uncertainty, plane)
            assert isinstance(volume, Volume)
            uncertainty = volume
        probabilities = None
        if self.options.probabilities and prediction.probabilities is not None:
            probabilities = ClassProbabilities((0, *values), prediction.probabilities, query, plane, query.orientation)
        confidence = Confidence(plane, prediction.slice_confidence, prediction.label_confidence(values))
        volume = _placed(query, pixels, plane)
        if self.spec.erases:
            return Prediction(_erased(query, volume), uncertainty, probabilities)
        return Prediction(volume, uncertainty, probabilities, confidence if values else None)


def _with_values(pixels: NDArray[Any], values: NDArray[np.integer]) -> NDArray[Any]:
    """Class numbers (n, rows, cols) as label values, in place where these are of the same type."""
    if values.dtype != pixels.dtype:
        return np.asarray(values[pixels])
    for picture in pixels:
        labeled = picture > 0  # background stays as it is: memory that was never written to takes no space
        picture[labeled] = values[picture[labeled]]
    return pixels


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


def _erased(query: Volume, kept: Volume | LabelMap) -> Volume:
    """The query where labels are not 0, its lowest intensity elsewhere."""
    voxels = first_channel(query)
    return Volume(np.where(kept.voxels != 0, voxels, voxels.min()), query.affine, query.header, query.orientation)


def _placed(query: Volume, slices: NDArray[np.generic], plane: Plane) -> Volume | LabelMap:
    slices.flags.writeable = False  # a read-only array is not copied
    return query.from_pictures(slices, plane)
