"""A volume that a user labels slice by slice: every correction is a prompt of the other slices at once."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.model.generalist import Generalist
from mvg.model.weights import fingerprint
from mvg.prediction import session_file
from mvg.prediction.annotations import Annotations, Correction, check_slice, class_numbers
from mvg.prediction.first_prediction import FirstPrediction
from mvg.prediction.inference.query_volume import smallest_integers
from mvg.prediction.inference.same_volume import SameVolume
from mvg.prediction.inference.strokes import spread_strokes
from mvg.prediction.prompts.pairs import channels_first
from mvg.prediction.quality import Quality, expected_quality
from mvg.prediction.result import Prediction
from mvg.prediction.selection.uncertain import outward, worth_correcting
from mvg.prediction.session_engine import SessionEngine
from mvg.prediction.session_file import SessionContents
from mvg.prediction.session_start import UNKNOWN, SessionStart
from mvg.prediction.session_windows import SessionWindows
from mvg.prediction.slice_plane import SlicePlane, planes_of


class Session:
    """Corrections of one volume, and its prediction from them.

    `correct`, `undo` and `redo` may be called by another thread while `updates` runs: what it still yields may then be
    outdated, and the next call goes on. All other methods are for one thread at a time.

    session = predictor.open(volume, labels=[1, 2])
    session.correct(40, labels)             # voxels.take(40, axis) of a label map, in array order
    labels = session.predict().volume       # the corrected slice as it was given, all others predicted
    """

    def __init__(self, model: Generalist, volume: Volume, start: SessionStart) -> None:
        """See `Predictor.open` and `PromptedTask.open`, which make one."""
        self._model, self.volume, self._start = model, volume, start
        self._annotations = Annotations(volume)
        self._first = FirstPrediction(volume, start)
        self._engine = SessionEngine(model, volume, start, self._first)
        self._windows = SessionWindows(volume, start)
        self._filled: dict[tuple[object, ...], NDArray[np.uint8]] = {}
        self._latest: dict[tuple[Plane, int], int] = {}  # hashes of what was last returned

    @property
    def values(self) -> tuple[int, ...]:
        """The label values that a correction may have, besides 0."""
        return self._start.values

    @property
    def plane(self) -> Plane:
        """The plane whose slices are predicted: the one in which most slices are known whole; at first the volume's.

        Where as many are known whole, it is the one in which most slices have strokes.
        """
        planes = planes_of(self.volume)
        return max(planes, key=lambda plane: (len(self._whole_slices(plane)), len(self._drawn_slices(plane))))

    def correct(
        self, index: int, labels: NDArray[np.integer], plane: Plane | None = None, unknown: int = UNKNOWN
    ) -> None:
        """Set the labels of slice `index`: `labels` is `voxels.take(index, axis)` in array order.

        axis: the array axis that `plane` cuts across, `volume.plane` unless named. Pixels of the value `unknown` keep
        what is known of them: so strokes are given. Raises GeometryError for a slice or shape that the volume does not
        have, PromptError for a label that the task lacks; the session stays as it was.
        """
        axis = SlicePlane(self.volume, plane or self.volume.plane).axis
        labels = np.asarray(labels)
        check_slice(self.volume, axis, index, labels)
        known = labels != unknown
        numbers = class_numbers(labels, known, self.values)
        self._annotations.correct(Correction(axis, index, numbers, known.astype(np.uint8)))

    def undo(self) -> bool:
        """Take back the last correction; False where there is none."""
        return self._annotations.undo() is not None

    def redo(self) -> bool:
        """Repeat the correction that was taken back last; False where there is none."""
        return self._annotations.redo() is not None

    @property
    def annotations(self) -> Annotations:
        """What the user has given: class numbers in the order of `values`, and which voxels are known; only to read."""
        return self._annotations

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """The corrections in effect."""
        return self._annotations.history

    def predict(self) -> Prediction:
        """The labels of the whole volume on its own grid; corrected voxels are as they were given, bit for bit.

        Raises PromptError where nothing was corrected and there is no task.
        """
        plane = self.plane
        numbers, known = self._annotations.slices(plane)
        engine = self._ready_engine(plane)
        if engine is None:
            predicted = self._first.numbers(plane)
        else:
            predicted = numbers.copy()
            engine.prepare([number for number in range(len(numbers)) if number not in engine.annotated])
            for number in np.flatnonzero(~known.all(axis=(1, 2))).tolist():
                predicted[number] = engine.answer(number).numbers
        predicted = np.where(known > 0, numbers, predicted)
        self._latest = {(plane, number): hash(picture.tobytes()) for number, picture in enumerate(predicted)}
        labels = smallest_integers(self.values)[predicted]
        labels.flags.writeable = False
        return Prediction(self.volume.from_pictures(labels, plane))

    def updates(self) -> Iterator[tuple[int, NDArray[np.integer]]]:
        """The slices of `plane` whose labels changed since they were last returned: index, and labels in array order.

        A slice with new strokes comes first, completed, then at once those beside the last correction, then all others
        by distance; those beside it once more where slices farther away change them. Raises PromptError as `predict`
        does.
        """
        plane = self.plane
        cut, (numbers, known) = SlicePlane(self.volume, plane), self._annotations.slices(plane)
        engine, table = self._ready_engine(plane), smallest_integers(self.values)
        open_slices = np.flatnonzero(~known.all(axis=(1, 2))).tolist()

        def update(number: int, predicted: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.integer]]]:
            picture = np.where(known[number] > 0, numbers[number], predicted)
            identity = hash(picture.tobytes())
            if self._latest.get((plane, number)) != identity:
                self._latest[plane, number] = identity
                yield cut.number_of(number), cut.to_array(table[picture])

        if engine is None:
            first = self._first.numbers(plane)
            for number in open_slices:
                yield from update(number, first[number])
            return
        center = self._last_number(plane)
        outdated = [number for number in open_slices if number in engine.annotated or not engine.is_current(number)]
        outdated.sort(key=lambda number: (abs(number - center), number))
        beside = [number for number in outdated if abs(number - center) == 1 and number not in engine.annotated]
        if center in outdated and center in engine.annotated:  # its strokes are completed
            yield from update(center, engine.answer(center).numbers)
        for number in beside:
            yield from update(number, engine.quick_answer(number).numbers)
        for number in outdated:
            if number not in engine.annotated and not engine.is_current(number):
                engine.prepare(outward(number, center, outdated))
            yield from update(number, engine.answer(number).numbers)

    def doubts(self) -> Mapping[int, float]:
        """How many pixels are likely wrong in each slice of `plane` that is not corrected, by array index.

        Raises PromptError as `predict` does.
        """
        plane = self.plane
        engine, cut = self._ready_engine(plane), SlicePlane(self.volume, plane)
        if engine is None:
            errors = self._first.errors(plane).sum(axis=(1, 2), dtype=np.float64)
            return {cut.number_of(number): float(pixels) for number, pixels in enumerate(errors)}
        open_slices = [n for n in range(len(engine.features.query)) if n not in engine.annotated]
        engine.prepare(open_slices)
        box = engine.features.query.frames[0].source
        area = box.rows * box.cols / self._model.config.size**2
        return {cut.number_of(number): area * engine.answer(number).doubt for number in open_slices}

    def quality(self) -> Quality:
        """Estimates of the Dice of the prediction, the mean over its labels and by label value.

        They follow from the pixels that are likely wrong; those of labels that no corrected slice shows are the task's.
        Raises PromptError as `predict` does.
        """
        engine = self._ready_engine(self.plane)
        if engine is None:
            return self._first.quality
        count = len(engine.features.query)
        engine.prepare([number for number in range(count) if number not in engine.annotated])
        box, predicted = engine.features.query.frames[0].source, [engine.answer(number) for number in range(count)]
        area = box.rows * box.cols / self._model.config.size**2
        wrong = area * np.sum([one.by_class for one in predicted], axis=0)
        labeled = np.sum([np.bincount(a.numbers.ravel(), minlength=len(wrong) + 1) for a in predicted], axis=0)[1:]
        values = self.values
        expected = expected_quality(
            dict(zip(values, labeled.tolist(), strict=True)), dict(zip(values, wrong.tolist(), strict=True))
        )
        if not self._first.exists or not engine.missing:
            return expected
        of_task, missing = self._first.quality.by_label, {values[number - 1] for number in engine.missing}
        kept = {value: dice for value, dice in expected.by_label.items() if value not in missing}
        return Quality.of(kept | {value: dice for value, dice in of_task.items() if value in missing})

    def uncertain(self, count: int = 1) -> tuple[int, ...]:
        """The slices of `plane`, by array index, that are worth correcting next, the most valuable first.

        A slice is worth the number of pixels that are likely wrong in it and around it, as far as its correction would
        mend them. Raises PromptError as `predict` does.
        """
        return worth_correcting(self.doubts(), count)

    def finish(self) -> LabelMap:
        """The labels of the whole volume; `PromptedTask.with_example(volume, labels)` makes them a prompt."""
        labels = self.predict().volume
        assert isinstance(labels, LabelMap)
        return labels

    def save(self, path: str | Path) -> None:
        """Write the volume and its corrections as one `.mvgsession` file, whole or not at all. Raises FileError."""
        start, identity = self._start, fingerprint(self._model)
        contents = SessionContents.of(self.volume, start.values, start.modality, identity, self._annotations)
        session_file.save(contents, Path(path))

    def forget_features(self) -> None:
        """Free the features of the slices, the largest part of its memory; they are computed again when needed."""
        if self._engine.current is not None:
            self._engine.current.forget_features()

    def restore(self, contents: SessionContents) -> None:
        """Repeat the corrections of a file, those that were undone included."""
        for correction in contents.corrections:
            self._annotations.correct(correction)
        for _ in range(contents.undone):
            self._annotations.undo()

    def _ready_engine(self, plane: Plane) -> SameVolume | None:
        """The engine with all that is annotated; None where no slice is labeled.

        A slice with strokes counts as annotated: what the strokes leave open follows them and the prediction.
        """
        numbers, known = self._annotations.slices(plane)
        windows = self._windows.of(self._annotations)
        whole = {number: numbers[number] for number in self._whole_slices(plane)}
        drawn = [number for number in self._drawn_slices(plane) if number not in whole]
        if any(picture.any() for picture in whole.values()):
            labels = np.stack([numbers[number] for number in (*whole, *drawn)])
            engine = self._engine.annotated(plane, windows, whole, labels)
            before: dict[int, NDArray[np.uint8] | None] = {n: engine.answer(n).numbers for n in drawn}
        elif any((numbers[number] * known[number]).any() for number in drawn):
            first = self._first.numbers(plane) if self._first.exists else None
            before = {number: None if first is None else first[number] for number in drawn}
        else:
            return None
        completed = {number: self._completed(plane, number, before[number]) for number in drawn}
        annotated = whole | completed
        return self._engine.annotated(plane, windows, annotated, np.stack(list(annotated.values())))

    def _whole_slices(self, plane: Plane) -> list[int]:
        """The slices of a plane that are known whole."""
        cut = SlicePlane(self.volume, plane)
        return sorted(cut.number_of(index) for index in self._annotations.whole_slices(cut.axis))

    def _drawn_slices(self, plane: Plane) -> list[int]:
        """The slices of a plane that were corrected in this plane."""
        cut = SlicePlane(self.volume, plane)
        return sorted({cut.number_of(index) for axis, index in self._annotations.corrected if axis == cut.axis})

    def _last_number(self, plane: Plane) -> int:
        """The slice of the last correction of this plane; the middle one where corrections of others make it up."""
        cut = SlicePlane(self.volume, plane)
        numbers = [cut.number_of(index) for axis, index in self._annotations.corrected if axis == cut.axis]
        return numbers[-1] if numbers else len(cut) // 2

    def _completed(self, plane: Plane, number: int, before: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        """A slice with strokes, with its open pixels filled in; computed again only where something changed."""
        strokes = [part[number].copy() for part in self._annotations.slices(plane)]
        prior = None if before is None else before.tobytes()
        given = (plane, number, prior, self._windows.of(self._annotations), *(part.tobytes() for part in strokes))
        if given not in self._filled:
            self._filled = {key: value for key, value in self._filled.items() if key[:2] != (plane, number)}
            self._filled[given] = self._spread(plane, number, before)
        return self._filled[given]

    def _spread(self, plane: Plane, number: int, before: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        numbers, known = self._annotations.slices(plane)
        channels = channels_first(self.volume.pictures(plane)[number : number + 1])[0]
        window = self._windows.of(self._annotations)[0]
        return spread_strokes(window.apply(channels[0]), numbers[number], known[number] > 0, before)
