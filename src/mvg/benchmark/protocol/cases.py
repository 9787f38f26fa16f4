"""What is asked of weights: cases of "val" patients as queries, prompted by pairs of "train" patients."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import mvg
from mvg.benchmark.protocol.method import Prompt, Request
from mvg.benchmark.protocol.pairs import Made, draw, make
from mvg.data.case import Card, Case, DataSet
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window, guess_modality
from mvg.tasks import Task, tasks_for
from mvg.tasks.kinds.denoising import Denoising
from mvg.tasks.kinds.inpainting import Inpainting
from mvg.tasks.kinds.synthesis import Synthesis

DOSE = 0.25
_DIRECTIONS = 3  # ordered pairs of contrasts asked of one set
_SMALLEST = 96  # pixels a side of a picture that voids are drawn into
_SOMETHING = 1 / 16  # of the window: brighter is body


@dataclass(frozen=True, eq=False)
class EvalCase:
    """A query with its truth, and up to as many prompts as were asked for, the first of them being "one prompt".

    set, case, patient, task: names. query and truth lie on one grid; prompts are of other patients.
    regions: where image answers are measured, the most telling first: masks (X, Y, Z), None for all voxels.
    window: the range of image answers, told by `range`; None for labels. labels: the case's label map, of a synthesis
    whose set has labels.
    """

    set: str
    task: Task
    card: Card
    case: str
    patient: str
    query: Volume
    truth: Volume | LabelMap
    prompts: tuple[Prompt, ...]
    regions: dict[str, NDArray[np.bool_] | None]
    window: Window | None
    range: str
    labels: LabelMap | None = None

    def request(self, prompts: int) -> Request:
        """What a method gets to see: the query and the first `prompts` prompts, not the truth."""
        return Request(self.task, self.query, self.prompts[:prompts])


def chosen_tasks(found: DataSet) -> list[Task]:
    """The tasks of a set that are judged, out of all that its card offers.

    Segmentation from one channel (the one that a label is named after, else the first); real low dose, else a
    simulated quarter of the dose, in the soft-tissue window; inpainting of the first channel of brain images; three
    directions of synthesis.
    """
    tasks = tasks_for(found.card)
    segmentation = [task for task in tasks if task.kind == "segmentation"]
    telling = [t for t in segmentation if any(t.name.split(":")[1] in name for name in found.card.labels.values())]
    chosen = (telling or segmentation)[:1]
    chosen += [t for t in tasks if isinstance(t, Denoising) and t.dose in (None, DOSE) and t.window == "soft tissue"]
    chosen += [t for t in tasks if isinstance(t, Inpainting) and _voids_are_telling(t, found)][:1]
    synthesis = [t for t in tasks if isinstance(t, Synthesis)]
    given = [t for t in synthesis if t.goal is None]
    last = len(found.card.channels) - 1
    wanted = ((0, 1), (1, 0), (0, last))
    chosen += (given or [t for t in synthesis if (t.source, t.goal) in wanted])[:_DIRECTIONS]
    return chosen


@dataclass(frozen=True)
class Size:
    """How much is asked: `cases` queries per task, `slices` of a query volume (None: all), up to `prompts` prompts."""

    cases: int | None = None
    slices: int | None = None
    prompts: int = 8


def eval_cases(found: DataSet, task: Task, size: Size, seed: int) -> Iterator[EvalCase]:
    """The questions of a task; none where a side has no cases.

    Queries take one case of every patient before a second one of any. Prompts are drawn once for the set, so that they
    are encoded once, and shuffled for every query, so that "one prompt" is another one each time. All draws depend on
    seed, set and names alone.
    """
    name = found.card.name
    asked = [case for case in found.of_split("val").cases if _serves(case, task)]
    shown = [case for case in found.of_split("train").cases if _serves(case, task)]
    asked = _spread(asked, draw(seed, name, "queries"))[: size.cases]
    pairs = _prompts(shown, task, size.prompts, draw(seed, name, "prompts"), seed)
    for case in sorted(asked, key=lambda case: case.name) if pairs else ():
        assert case.patient not in {pair.patient for pair in pairs}, "a patient on both sides"
        order = draw(seed, name, case.name, "prompts").permutation(len(pairs))
        made = make(task, case, seed)
        if size.slices is not None:
            made = made.thinned(size.slices)
        yield _question(found.card, task, case, made, tuple(pairs[at] for at in order))


def _question(card: Card, task: Task, case: Case, made: Made, pairs: tuple[Prompt, ...]) -> EvalCase:
    question = EvalCase(
        card.name, task, card, case.name, case.patient, made.image, made.target, pairs, {"whole": None}, None, ""
    )
    if isinstance(made.target, LabelMap):
        return question
    modality = "CT" if card.units == "HU" else guess_modality(made.target.voxels)
    window = Window.fit(made.target.voxels, modality)
    body = made.target.voxels > -500 if modality == "CT" else window.apply(made.target.voxels) > _SOMETHING
    first = {"body": body} if made.void is None else {"void": made.void}
    kind = "soft tissue, HU" if modality == "CT" else "0.5 to 99.5 percentiles of the truth"
    return replace(
        question,
        regions=first | {"whole": None},
        window=window,
        range=f"{window.low:g} to {window.high:g} ({kind})",
        labels=made.labels,
    )


def _prompts(cases: list[Case], task: Task, count: int, rng: np.random.Generator, seed: int) -> tuple[Prompt, ...]:
    """The first `count` drawn cases that show something: label maps without a label are passed over."""
    found: list[Prompt] = []
    for case in _spread(cases, rng):
        if len(found) == count:
            break
        made = make(task, case, seed)
        if not isinstance(made.target, LabelMap) or made.target.values:
            found.append(Prompt(case.name, case.patient, made.image, made.target))
    return tuple(found)


def _spread(cases: list[Case], rng: np.random.Generator) -> list[Case]:
    """Cases in random order, the first one of every patient before any second one."""
    seen: Counter[str] = Counter()
    turns = []
    for at in rng.permutation(len(cases)):
        turns.append((seen[cases[at].patient], cases[at]))
        seen[cases[at].patient] += 1
    return [case for _, case in sorted(turns, key=lambda turn: turn[0])]


def _serves(case: Case, task: Task) -> bool:
    if task.kind == "segmentation":
        return case.labels is not None
    needs_target = (
        (isinstance(task, Denoising) and task.dose is None)
        or (isinstance(task, Synthesis) and task.goal is None)
        or (isinstance(task, Inpainting) and task.masks == "target")
    )
    return case.target is not None or not needs_target


def _voids_are_telling(task: Inpainting, found: DataSet) -> bool:
    if task.masks != "drawn":
        return True
    image = mvg.read(found.cases[0].images[0])
    return found.card.region == "brain" and min(image.pictures(image.plane).shape[1:]) >= _SMALLEST
