"""Evaluation cases: queries of "val" patients, prompted by pairs of "train" patients."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvg.benchmark.protocol.method import Prompt, Request
from mvg.benchmark.protocol.pairs import case_pair, random_generator
from mvg.data.case import Card, Case, DataSet
from mvg.data.doubles import queries_with_double
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window, guess_modality
from mvg.prediction.prompts.annotation import AnnotatedLabels
from mvg.tasks import CasePair, Task
from mvg.tasks.measurement import Measurement

_BODY_HU = -500  # above is body
_BODY = 1 / 16  # of the window of images that are not in HU: brighter is body


@dataclass(frozen=True, eq=False)
class EvalCase:
    """A query with its truth and prompts of other patients; "one prompt" is the first of them.

    query and truth lie on one grid. regions: where predicted pictures are measured, the most informative first: name ->
    mask (X, Y, Z), None for all voxels. window: the intensity range of predicted pictures, None for labels; range: the
    same in words. labels: the label map of the case, where a segmentation of the prediction is compared with it. known:
    where somebody annotated a label map (X, Y, Z), None for everywhere.
    measurement: the raw data that the query comes from, where there are any.
    """

    task: Task
    case: Case
    query: Volume
    truth: Volume | LabelMap
    prompts: tuple[Prompt, ...]
    regions: dict[str, NDArray[np.bool_] | None]
    window: Window | None = None
    range: str = ""
    labels: LabelMap | None = None
    known: NDArray[np.bool_] | None = None
    measurement: Measurement | None = None

    @property
    def card(self) -> Card:
        """The card of its data set."""
        return self.task.card

    def request(self, prompts: int) -> Request:
        """What a method may see: the query and the first `prompts` prompts, not the truth."""
        return Request(self.task, self.query, self.prompts[:prompts], measurement=self.measurement)

    def scored(self, prediction: Volume | LabelMap) -> Volume | LabelMap:
        """The prediction with background where nobody annotated, as in `truth`: nothing counts there."""
        if self.known is None:
            return prediction
        return type(prediction)(np.where(self.known, prediction.voxels, 0), prediction.affine)


@dataclass(frozen=True)
class EvalSize:
    """How much is evaluated: `cases` queries per task, `slices` of a query (None: all), up to `prompts` prompts.

    left_out: names of cases that are not asked.
    """

    cases: int | None = None
    slices: int | None = None
    prompts: int = 8
    left_out: tuple[str, ...] = ()


def eval_cases(data: DataSet, task: Task, size: EvalSize, seed: int) -> Iterator[EvalCase]:
    """The evaluation cases of a task; none where one side of the split has no cases.

    Queries take one case of every patient before a second one of any; left out are those that show the patient of a
    "train" case under another name (`mvg.data.doubles`) and those that `size` names. Prompts are drawn once for the
    set, so that they are encoded once, and shuffled for every query, so that "one prompt" is another one each time. All
    random choices depend on seed, set and names alone.
    """
    name = data.card.name
    queries, candidates = (
        [case for case in data.of_split(split).cases if task.serves(case)] for split in ("val", "train")
    )
    doubled = queries_with_double(data) if queries and candidates else {}
    queries = [case for case in queries if case.name not in doubled and case.name not in size.left_out]
    queries = _one_per_patient_first(queries, random_generator(seed, name, "queries"))[: size.cases]
    prompts = _prompts(candidates, task, size.prompts, seed)
    for case in sorted(queries, key=lambda case: case.name) if prompts else ():
        assert case.patient not in {prompt.patient for prompt in prompts}, "a patient on both sides"
        order = random_generator(seed, name, case.name, "prompts").permutation(len(prompts))
        pair = case_pair(task, case, seed)
        if size.slices is not None:
            pair = pair.thinned(size.slices)
        yield _eval_case(task, case, pair, tuple(prompts[at] for at in order))


def _eval_case(task: Task, case: Case, pair: CasePair, prompts: tuple[Prompt, ...]) -> EvalCase:
    evaluated = EvalCase(task, case, pair.image, pair.target, prompts, {"whole": None})
    if isinstance(pair.target, LabelMap):
        truth = AnnotatedLabels.of(pair.target)
        return replace(evaluated, truth=truth.labels, known=None if truth.known is None else truth.known.voxels != 0)
    modality = "CT" if task.card.units == "HU" else guess_modality(pair.target.voxels)
    window, is_body, text = picture_range(pair.target, modality)
    return replace(
        evaluated,
        regions={**(pair.regions or {"body": is_body}), "whole": None},
        window=window,
        range=text,
        labels=None if pair.labels is None else AnnotatedLabels.of(pair.labels).labels,
        measurement=pair.measurement,
    )


def picture_range(truth: Volume, modality: str) -> tuple[Window, NDArray[np.bool_], str]:
    """How predictions of a picture are measured: the window, where the body is (X, Y, Z), and the window in words."""
    window = Window.fit(truth.voxels, modality)
    is_body = truth.voxels > _BODY_HU if modality == "CT" else window.apply(truth.voxels) > _BODY
    rule = "soft tissue, HU" if modality == "CT" else "0.5 to 99.5 percentiles of the truth"
    return window, is_body, f"{window.low:g} to {window.high:g} ({rule})"


def _prompts(candidates: Sequence[Case], task: Task, count: int, seed: int) -> tuple[Prompt, ...]:
    """Up to `count` prompts of randomly chosen cases; label maps without any label are skipped."""
    prompts: list[Prompt] = []
    for case in _one_per_patient_first(candidates, random_generator(seed, task.card.name, "prompts")):
        if len(prompts) == count:
            break
        pair = case_pair(task, case, seed)
        if not isinstance(pair.target, LabelMap) or pair.target.values:
            prompts.append(Prompt(case.name, case.patient, pair.image, pair.target))
    return tuple(prompts)


def _one_per_patient_first(cases: Sequence[Case], rng: np.random.Generator) -> list[Case]:
    """Cases in random order, the first one of every patient before any second one."""
    taken: Counter[str] = Counter()
    turns = []
    for at in rng.permutation(len(cases)):
        turns.append((taken[cases[at].patient], cases[at]))
        taken[cases[at].patient] += 1
    return [case for _, case in sorted(turns, key=lambda turn: turn[0])]
