"""Predictions against their truth: every case is measured alone, and one that fails does not stop the others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mvg.benchmark.evaluation.file_pairs import FilePair, match_files
from mvg.benchmark.evaluation.scores import (
    IMAGE_QUANTITIES,
    LABEL_QUANTITIES,
    CaseScores,
    Quantity,
    check_label_metrics,
    image_scores,
    label_scores,
)
from mvg.benchmark.evaluation.summary import Summary, summaries
from mvg.data.case import DataSet
from mvg.data.case_labels import prepared_labels
from mvg.data.sets import nnunet
from mvg.errors import FileError, GeometryError, MvgError
from mvg.imaging.files import read_gray, read_labels, stem_of
from mvg.imaging.grid_difference import grid_difference
from mvg.imaging.volume import IGNORED, LabelMap, Volume
from mvg.prediction.prompts.label_maps import label_map
from mvg.tasks import TargetType

_FEW_VALUES = 16  # a predicted picture has more intensities


@dataclass(frozen=True)
class EvaluatedCase:
    """The files of a case, the patient that it is of, and its figures."""

    files: FilePair
    patient: str
    scores: CaseScores

    @property
    def name(self) -> str:
        """The name of the files."""
        return self.files.name


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    target_type: "labels" or "image"; quantities: the columns of all figures; cases: the worst first; summaries: one per
    label or region, and of all labels together; label_names: value -> name, where the labels have any; notes: what a
    reader should know, a line each; errors: one line for each file without a partner and each case that failed.
    """

    predictions: Path
    truths: Path
    target_type: TargetType
    quantities: tuple[Quantity, ...]
    cases: tuple[EvaluatedCase, ...]
    summaries: tuple[Summary, ...]
    label_names: dict[int, str]
    notes: tuple[str, ...]
    errors: tuple[str, ...]

    def name_of(self, part: int | str) -> str:
        """A label or region as readers know it."""
        if isinstance(part, int):
            return self.label_names.get(part, f"label {part}")
        return {"whole": "whole image"}.get(part, part)


def evaluate(
    predictions: Path, truths: Path, images: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> Evaluation:
    """Measure the predictions in a folder, or one file, against the truth of the same name.

    Integer label maps are measured label by label, other images by their intensities; the first truth decides. If the
    truth is the labelsTr of an nnU-Net folder, its dataset.json names labels and patients. images: what was predicted
    from, for the pictures of a report. progress(done, all) is called after each case. Raises FileError where no two
    files belong together or no case can be measured, and BenchmarkError without the library of surface distances.
    """
    matching = match_files(predictions, truths, images)
    is_labels = label_map(matching.pairs[0].truth) is not None
    if is_labels:
        check_label_metrics()
    data = _data_set(truths)
    reader = _CaseReader(is_labels, data)
    cases, failures = list[EvaluatedCase](), list[MvgError]()
    for number, pair in enumerate(matching.pairs, 1):
        try:
            cases.append(EvaluatedCase(pair, reader.patients.get(pair.name, pair.name), reader.scores(pair)))
        except MvgError as error:
            failures.append(error)
        if progress is not None:
            progress(number, len(matching.pairs))
    if not cases:
        raise _nothing_measured(failures)
    quantities = LABEL_QUANTITIES if is_labels else IMAGE_QUANTITIES
    by_part = summaries(quantities, [(case.name, case.patient, case.scores) for case in cases])
    notes = _checked_labels(by_part) if is_labels else tuple(reader.notes)
    return Evaluation(
        predictions, truths, "labels" if is_labels else "image", quantities, tuple(sorted(cases, key=_badness)),
        tuple(by_part), {} if data is None else data.card.labels, notes,
        (*matching.unmatched, *map(str, failures)),
    )  # fmt: skip


class _CaseReader:
    """Reads the files of a case on one grid, in the canonical orientation."""

    def __init__(self, is_labels: bool, data: DataSet | None) -> None:
        self._is_labels, self._card = is_labels, None if data is None else data.card
        self._cases = {} if data is None else {case.name: case for case in data.cases}
        self.patients = {name: case.patient for name, case in self._cases.items()}
        self.notes = list[str]()

    def scores(self, pair: FilePair) -> CaseScores:
        if not self._is_labels:
            picture, true_picture = read_gray(pair.prediction).canonical(), read_gray(pair.truth).canonical()
            check_grid(picture, true_picture, pair)
            self._note_labels(pair, picture)
            return image_scores(picture, true_picture, "CT" if self._card and self._card.units == "HU" else None)
        prediction, truth = _predicted_labels(pair).canonical(), self._truth(pair).canonical()
        check_grid(prediction, truth, pair)
        known = truth.voxels != IGNORED
        parts = (LabelMap(np.where(known, labels.voxels, 0), truth.affine) for labels in (prediction, truth))
        return label_scores(*parts)

    def _note_labels(self, pair: FilePair, picture: Volume) -> None:
        """Note a prediction that is measured as a picture and has as few intensities as labels have."""
        count = len(np.unique(picture.voxels))
        if 1 < count <= _FEW_VALUES:
            self.notes.append(
                f"'{pair.prediction}' has {count} intensities alone and looks like labels, but its truth "
                f"'{pair.truth}' is a picture: both are measured as pictures"
            )

    def _truth(self, pair: FilePair) -> LabelMap:
        """The true labels, `IGNORED` where nobody annotated."""
        labels, case = read_labels(pair.truth), self._cases.get(stem_of(pair.truth))
        return labels if case is None or self._card is None else prepared_labels(labels, case, self._card)


def _predicted_labels(pair: FilePair) -> LabelMap:
    """The labels of a prediction; FileError for a picture, each gray value of which would count as a wrong label."""
    labels = read_labels(pair.prediction)
    if label_map(labels) is None:
        raise FileError(
            f"'{pair.prediction}' looks like a picture ({len(labels.values)} values other than 0), and its truth "
            f"'{pair.truth}' like labels",
            "labels on both sides, or pictures on both",
            "name the predicted labels, not the image",
        )
    return labels


def check_grid(prediction: Volume | LabelMap, truth: Volume | LabelMap, pair: FilePair) -> None:
    """Raises GeometryError where a prediction does not lie on the grid of its truth, in whatever order of axes."""
    difference = grid_difference(prediction, truth)
    if difference:
        raise GeometryError(
            f"'{pair.prediction}' and its truth '{pair.truth}' differ in {difference}",
            "one grid",
            "predict on the truth's grid, or resample the prediction",
        )


def _data_set(truths: Path) -> DataSet | None:
    """The data set in nnU-Net's layout that a folder of truths is part of, if it is described."""
    folder = truths.resolve().parent if truths.is_dir() else truths.resolve().parent.parent
    described = nnunet.recognizes(folder) and (folder / "dataset.json").is_file()
    return nnunet.open(folder) if described else None


def _badness(case: EvaluatedCase) -> tuple[float, str]:
    """Sorts the worst case first: by Dice or PSNR, of which more is better, then by name."""
    return case.scores.overall[0], case.name


def _checked_labels(by_part: Iterable[Summary]) -> tuple[str, ...]:
    """Notes on labels that only one side has in all cases; FileError where no label is on both sides."""
    labels = [one for one in by_part if isinstance(one.part, int)]
    lonely = [one for one in labels if one.cases in (one.missing, one.extra)]
    predicted = [one.part for one in lonely if one.extra]
    true = [one.part for one in lonely if one.missing]
    if predicted and true and len(lonely) == len(labels):
        raise FileError(
            f"predictions have the labels {_listed(predicted)}, their truth {_listed(true)}",
            "a label that is on both sides",
            "give the same structures the same values",
        )
    sides = ((predicted, "predictions", "truth"), (true, "truth", "prediction"))
    return tuple(
        f"label {part} is in {where} only, in no {other}; it counts with Dice 0"
        for parts, where, other in sides
        for part in parts
    )


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _nothing_measured(failures: list[MvgError]) -> MvgError:
    """The error where no case was measured: that of the only case, or the first one of several."""
    first = failures[0]
    if len(failures) == 1:
        return first
    return FileError(
        f"none of {len(failures)} cases can be evaluated, and the first because {first.message}",
        first.expected,
        first.action,
    )
