"""The engine of a session: which part of the slices its predictions look at follows what is labeled."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame
from mvg.imaging.volume import Plane, Volume
from mvg.imaging.window import Window
from mvg.model.generalist import Generalist
from mvg.prediction.annotated_frame import annotated_frame
from mvg.prediction.first_prediction import FirstPrediction
from mvg.prediction.inference.evidence import VolumeScale
from mvg.prediction.inference.label_regions import LabelRegion
from mvg.prediction.inference.other_knowledge import OtherKnowledge, no_others
from mvg.prediction.inference.query_volume import QueryFeatures, QueryVolume
from mvg.prediction.inference.same_volume import SameVolume
from mvg.prediction.prompts.pairs import channels_first
from mvg.prediction.session_start import SessionStart
from mvg.prediction.slice_plane import SlicePlane
from mvg.prediction.small_labels import SmallLabels, small_labels

_REGION_FEATURE_BYTES = 2**24  # of the slices in a region about small labels
_SAMPLED_SLICES = 12  # that are predicted whole before a part of the slices is magnified


class SessionEngine:
    """Makes the engine that predicts a session's slices, and keeps it while its plane, frame and windows stay."""

    def __init__(self, model: Generalist, volume: Volume, start: SessionStart, first: FirstPrediction) -> None:
        self._model, self._volume, self._start, self._first = model, volume, start, first
        self.current: SameVolume | None = None
        self._cut: tuple[Plane, Frame, tuple[Window, ...]] | None = None
        self._regions: dict[SmallLabels, SameVolume] = {}

    def annotated(
        self, plane: Plane, windows: tuple[Window, ...], slices: Mapping[int, NDArray[np.uint8]],
        labels: NDArray[np.uint8],
    ) -> SameVolume:  # fmt: skip
        """The engine for a plane, with these annotated slices: class numbers (rows, cols) by slice number.

        labels: (n, rows, cols), all that is labeled, also in part. It is magnified once some slices show where it lies.
        Slices farther away may have it elsewhere: so some of them are predicted whole before, and stay inside.
        """
        spacing, size = self._volume.pixel_spacing(plane), self._model.config.size
        whole = self._whole((labels.shape[1], labels.shape[2]), plane)
        previous = self._cut[1] if self._cut is not None and self._cut[0] == plane else None
        frame = annotated_frame(labels, spacing, size, previous)
        if frame not in (whole, previous):
            sampled = self._sampled(self._with(plane, whole, windows, slices))
            frame = annotated_frame(np.stack([*labels, *sampled]), spacing, size)
        return self._with(plane, frame, windows, slices)

    def _sampled(self, engine: SameVolume) -> list[NDArray[np.uint8]]:
        """Class numbers (rows, cols) of evenly spaced slices."""
        count = len(engine.features.query)
        numbers = np.linspace(0, count - 1, min(count, _SAMPLED_SLICES)).round().astype(int).tolist()
        return [engine.quick_answer(number).numbers for number in numbers if number not in engine.annotated]

    def _with(
        self, plane: Plane, frame: Frame, windows: tuple[Window, ...], slices: Mapping[int, NDArray[np.uint8]]
    ) -> SameVolume:
        if self.current is None or (plane, frame, windows) != self._cut:
            self.current, self._cut = self._made(plane, frame, windows), (plane, frame, windows)
            self._regions = {}
        self.current.annotate(slices)
        sees_others = self._start.others is not None and frame == self._whole(frame.shape, plane)
        self.current.magnify([] if sees_others else self._magnified(self.current, plane, slices))
        return self.current

    def _magnified(
        self, engine: SameVolume, plane: Plane, slices: Mapping[int, NDArray[np.uint8]]
    ) -> list[LabelRegion]:
        """Regions about the small labels of annotated slices, each with an engine of its own."""
        spacing, main = self._volume.pixel_spacing(plane), engine.features.query.frames[0]
        groups = small_labels(np.stack(list(slices.values())), spacing, main, tuple(self._regions))
        self._regions = {group: self._regions.get(group) or self._region_engine(engine, group) for group in groups}
        values_of = {
            number: set(np.flatnonzero(np.bincount(labels.ravel())).tolist()) for number, labels in slices.items()
        }
        regions = []
        for group, closer in self._regions.items():
            labeled = tuple(number for number, values in values_of.items() if values & set(group.classes))
            regions.append(LabelRegion(group.classes, group.frame, slices, labeled, closer))
        return regions

    def _region_engine(self, engine: SameVolume, group: SmallLabels) -> SameVolume:
        query = engine.features.query.with_frames((group.frame,))
        features = QueryFeatures(self._model, query, _REGION_FEATURE_BYTES)
        scale = VolumeScale.of(SlicePlane(self._volume, query.plane), group.frame)
        return SameVolume(features, len(self._start.values), scale, combination=self._start.combination)

    def _made(self, plane: Plane, frame: Frame, windows: tuple[Window, ...]) -> SameVolume:
        query = QueryVolume(channels_first(self._volume.pictures(plane)), plane, windows, (frame,))
        features = QueryFeatures(self._model, query)
        is_whole = frame == self._whole(frame.shape, plane)
        others = self._start.others(features) if is_whole and self._start.others is not None else None
        scale = VolumeScale.of(SlicePlane(self._volume, plane), frame)
        known = OtherKnowledge(
            others or no_others, partial(self._first.log_odds, plane, frame=frame) if self._first.exists else None
        )
        return SameVolume(features, len(self._start.values), scale, known, self._start.combination)

    def _whole(self, shape: tuple[int, int], plane: Plane) -> Frame:
        """The frame of whole slices."""
        return Frame.letterbox(shape, self._volume.pixel_spacing(plane), self._model.config.size)
