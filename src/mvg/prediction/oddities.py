"""What is odd about prompts, a query or a prediction, each in a line: no wrong answer comes without a word."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvg.errors import PromptError
from mvg.imaging.formats.nifti import SAME_POSITION, disagreement_of_positions
from mvg.imaging.grid_difference import UNPLACED
from mvg.imaging.intensity import constant_slices, finite_sample, hounsfield_offset, in_hounsfield_units
from mvg.imaging.stated_modality import stated_modality, states_other_than_ct
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import FULL_SCALE, is_ct
from mvg.prediction.inference.query_volume import QueryVolume
from mvg.prediction.prompts.pairs import first_channel
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.prompts.scan_facts import ScanFacts
from mvg.prediction.selection.retrieval import evenly_spaced, thumbnails
from mvg.tasks import TaskSpec

_SLICES = 8  # of a query, that are compared with the prompts
_LEVELS = np.linspace(0.05, 0.95, 19)  # of the quantiles that describe intensities
_DARK = 0.05  # windowed intensities of the background
_FAR, _TIMES = 0.15, 2.5  # a larger mean difference of quantiles is odd, and so many times that among the prompts
_ANGLE = 30.0  # degrees between slices of one plane
_SIZE, _SPACING = 2.0, 4.0  # ratios of fields of view and of spacings
_ACROSS = 1.4  # times longer pixels than those of the prompts, of slices across thick ones
IDENTICAL = 0.9995  # correlation of thumbnails of one image
_FLAT = 0.6  # share of neighbors with one label; gray values have fewer
_WHITE = 64  # a mask is white on black; smaller values are labels
_MANY_LABELS, _FEW_VALUES, _MANY_VALUES = 8, 16, 64
_LABELED = 0.45  # more pixels of a picture have one of few values where it is a label map


@dataclass(frozen=True)
class Oddity:
    """Something that may make a prediction wrong.

    kind: of a fixed few ("intensities", "plane", ...), for programs; message: one line, for people.
    """

    kind: str
    message: str


def query_oddities(query: Volume, prompts: PromptSet, spec: TaskSpec) -> tuple[Oddity, ...]:
    """How a query differs from the prompts: intensities, plane, field of view, spacing, or not at all (a duplicate)."""
    values = finite_sample(first_channel(query))
    if values.size and values.min() == values.max():
        return (Oddity("constant", f"all voxels are {values[0]:g}: there is nothing to see"),)
    few = _few_values(values, prompts)
    query = prompts.posed(query)
    volume = QueryVolume.of(query, prompts, spec, prompts.images.shape[-1])
    numbers = evenly_spaced(np.arange(len(volume)), _SLICES).tolist()
    squares = np.concatenate([volume.squares(number)[:, 0] for number in numbers])
    unlike = _hounsfield(query, values, prompts) or _distribution(squares, prompts)
    facts = ScanFacts.of(query, prompts.plane, volume.windows)
    geometry = (*_position(query, facts, prompts.scans), *_geometry(facts, prompts.scans))
    geometry = (*_empty_slices(query, facts.plane), *geometry)
    copies = _duplicate(squares, prompts) or _same_patient(facts, prompts.scans)
    return (*few, *unlike, *geometry, *_picture(query, facts, prompts.scans), *copies)


def prompt_oddities(prompts: PromptSet, spec: TaskSpec) -> tuple[Oddity, ...]:
    """What is odd about prompts among themselves: gray values as labels, no labels, labels as pictures, sizes."""
    oddities = list[Oddity]()
    volumes = np.unique(prompts.volume)
    if prompts.has_labels:
        empty = [number for number in volumes if not prompts.classes[prompts.volume == number].any()]
        if empty:
            oddities.append(Oddity("empty labels", f"{len(empty)} of {len(volumes)} prompts show no label"))
        if len(prompts.values) >= _MANY_LABELS and _flatness(prompts.targets) < _FLAT:
            message = f"{len(prompts.values)} labels that change from pixel to pixel look like gray values"
            oddities.append(Oddity("gray labels", message))
        oddities += _mask_values(prompts, volumes)
    elif _share_of_few(prompts.targets[:_SLICES]) > _LABELED > _share_of_few(prompts.images[:_SLICES, 0]):
        message = f"the targets of a {spec.kind} have so few values that they look like labels"
        oddities.append(Oddity("labels as pictures", message))
    for number, scan in enumerate(prompts.scans[1:], 2):
        others = [other for at, other in enumerate(prompts.scans, 1) if at != number]
        oddities += [Oddity(odd.kind, f"prompt {number}: {odd.message}") for odd in _geometry(scan, others)]
    return tuple(oddities)


def _share_of_few(pictures: NDArray[np.uint16]) -> float:
    """The share of pixels above 0 that have one of the sixteen most frequent values; label maps have others at edges
    alone, where they were interpolated. 1 for a black picture.
    """
    counts = np.unique(pictures[pictures > 0], return_counts=True)[1]
    return float(np.sort(counts)[-_FEW_VALUES:].sum() / counts.sum()) if counts.size else 1.0


def _mask_values(prompts: PromptSet, volumes: NDArray[np.int64]) -> tuple[Oddity, ...]:
    """Whether prompts show one label each, and some of them another value of a mask."""
    present = [prompts.classes[prompts.volume == number].any(axis=0) for number in volumes]
    if max(int(one.sum()) for one in present) > 1 or len(prompts.values) < 2 or max(prompts.values) < _WHITE:
        return ()
    values = ", ".join(map(str, prompts.values))
    message = f"each prompt shows one label, but not the same ({values}): masks of one structure need one value"
    return (Oddity("label values", message),)


def answer_oddities(answer: Volume | LabelMap, query: Volume) -> tuple[Oddity, ...]:
    """What is odd about a prediction: no label anywhere, a picture of one intensity, or the query itself."""
    if isinstance(answer, LabelMap):
        return () if answer.voxels.any() else (Oddity("empty", "no label was predicted anywhere"),)
    constant = float(answer.voxels.min()) == float(answer.voxels.max())
    if constant:
        return (Oddity("constant", "the predicted picture has one intensity alone"),)
    is_query = answer.voxels.shape == query.voxels.shape and np.array_equal(answer.voxels, query.voxels)
    message = "the prediction is the query as it was: nothing was found that the prompts change, such as black voids"
    return (Oddity("unchanged", message),) if is_query else ()


def report_oddities(name: str, oddities: Sequence[Oddity], strict: bool) -> None:
    """Write a line for each oddity to the logger "mvg"; PromptError for the first if what is odd is refused."""
    for oddity in oddities:
        if strict:
            raise PromptError(f"{name}: {oddity.message}", "nothing odd", "mend it, or leave --strict out")
        logging.getLogger("mvg").warning("%s: %s", name, oddity.message)


def _hounsfield(query: Volume, values: NDArray[np.float32], prompts: PromptSet) -> tuple[Oddity, ...]:
    """Whether only one side is CT in HU."""
    stated = stated_modality(query)
    if is_ct(prompts.modality) and states_other_than_ct(query):
        return (Oddity("intensities", f"its file says that it is {stated}, and the prompts are CT"),)
    if is_ct(prompts.modality):
        offset = hounsfield_offset(values)
        if offset is None:
            message = "the prompts are CT, but these intensities are not in HU; they are scaled by percentiles"
            return (Oddity("intensities", message),)
        message = f"CT stored with an offset of {offset:g} to HU, which is taken off"
        return (Oddity("offset", message),) if offset else ()
    hu = prompts.modality == "other" and (stated == "CT" or (stated is None and in_hounsfield_units(query.voxels)))
    return (Oddity("intensities", "CT in HU, but the prompts do not look like CT in HU"),) if hu else ()


def _few_values(values: NDArray[np.float32], prompts: PromptSet) -> tuple[Oddity, ...]:
    """Whether a query has as few intensities as a label map, beside prompts that have many."""
    count = len(np.unique(values))
    if count > _FEW_VALUES or len(np.unique(prompts.images[0])) <= _MANY_VALUES:
        return ()
    return (Oddity("labels", f"it has {count} intensities alone: it looks like a label map or a mask"),)


def _distribution(squares: NDArray[np.float32], prompts: PromptSet) -> tuple[Oddity, ...]:
    """Whether windowed intensities (m, s, s) are distributed unlike those of every prompt."""
    others = [
        _quantiles(prompts.images[evenly_spaced(np.flatnonzero(prompts.volume == number), _SLICES), 0] / FULL_SCALE)
        for number in evenly_spaced(np.unique(prompts.volume), 4 * _SLICES)
    ]
    distance = min(_distance(_quantiles(squares), other) for other in others)
    among = [
        min(_distance(one, other) for at, other in enumerate(others) if at != number)
        for number, one in enumerate(others)
        if len(others) > 1
    ]
    if distance <= max(_FAR, _TIMES * max(among, default=0.0)):
        return ()
    return (Oddity("intensities", f"intensities unlike those of the prompts (distance {distance:.2f} of 1)"),)


def _empty_slices(query: Volume, plane: Plane) -> tuple[Oddity, ...]:
    """Whether slices between others show one intensity alone; at the ends of a volume they are padding."""
    empty = constant_slices(query.pictures(plane))
    visible = np.flatnonzero(~empty)
    within = np.flatnonzero(empty[visible[0] : visible[-1]]) + visible[0] if visible.size else visible
    if not within.size:
        return ()
    are = "slices within the volume show" if within.size > 1 else "slice within the volume shows"
    message = (
        f"{within.size} {are} one intensity alone (slice {within[0] + 1} of {len(empty)}): what lies there is missing"
    )
    return (Oddity("empty slices", message),)


def _quantiles(pictures: NDArray[np.floating]) -> NDArray[np.float64]:
    bright = pictures[pictures > _DARK]
    return np.quantile(bright, _LEVELS) if bright.size else np.zeros(len(_LEVELS))


def _distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.abs(one - other).mean())


def _position(query: Volume, scan: ScanFacts, others: Sequence[ScanFacts]) -> tuple[Oddity, ...]:
    """Whether a header is silent about where the image lies, or says two things."""
    if any(None is not other.placed != scan.placed for other in others):
        without, other = ("a prompt's", "its file does") if scan.placed else ("its", "those of the prompts do")
        message = f"{without} file does not say where it lies ({UNPLACED}), {other}: check the sides"
        return (Oddity("position", message),)
    apart = disagreement_of_positions(query.header)
    if apart <= SAME_POSITION:
        return ()
    message = f"sform and qform of its NIfTI header differ by {apart:.3g} voxels; the sform is used"
    return (Oddity("position", message),)


def _geometry(scan: ScanFacts, others: Sequence[ScanFacts]) -> tuple[Oddity, ...]:
    """Whether a scan's plane, field of view or spacing is far from those of all others."""
    oddities = list[Oddity]()
    if not others:
        return ()
    angle = min(scan.angle(other) for other in others)
    if angle > _ANGLE:
        oddities.append(Oddity("plane", f"slices at {angle:.0f} degrees to those of the prompts"))
    elif _stretch(scan) > _ACROSS * max(_stretch(other) for other in others):
        message = f"the prompts' plane lies across its thick slices (pixels of {_sizes(scan.spacing[:2])} mm)"
        oddities.append(Oddity("plane", message))
    named = (("field of view", scan.extent, [other.extent for other in others], _SIZE), (
        "spacing", scan.spacing[:2], [other.spacing[:2] for other in others], _SPACING))  # fmt: skip
    for kind, sizes, reference, most in named:
        ratios = [max(sizes) / max(other) for other in reference]
        if all(not 1 / most < ratio < most for ratio in ratios):
            oddities.append(Oddity(kind, f"{kind} of {_sizes(sizes)} mm, {min(ratios):.2g} times that of the prompts"))
    return tuple(oddities)


def _stretch(scan: ScanFacts) -> float:
    """How much longer than wide its pixels are."""
    return max(scan.spacing[:2]) / min(scan.spacing[:2])


def _sizes(sizes: Sequence[float]) -> str:
    return " x ".join(f"{size:.3g}" for size in sizes)


def _picture(query: Volume, facts: ScanFacts, scans: Sequence[ScanFacts]) -> tuple[Oddity, ...]:
    """Whether a picture without size, or one slice alone, is to be predicted from volumes."""
    is_picture = query.header is not None and query.header.kind == "picture"
    if is_picture and scans and all(set(scan.spacing) != {1.0} for scan in scans):
        return (Oddity("picture", "a picture without size or position, and the prompts are scans"),)
    if facts.single and scans and not any(scan.single for scan in scans):
        message = (
            "one slice alone, and the prompts are volumes: give the whole series, as a folder, if it belongs to one"
        )
        return (Oddity("single slice", message),)
    return ()


def _duplicate(squares: NDArray[np.float32], prompts: PromptSet) -> tuple[Oddity, ...]:
    """Whether most slices (m, s, s) of the query are among the prompts."""
    ours = thumbnails(squares)
    similar = ours @ prompts.retrieval_index.thumbnails.T > IDENTICAL
    rows = similar.any(axis=1) & (np.abs(ours).sum(axis=1) > 0)
    if rows.mean() <= 0.5:
        return ()
    number = int(prompts.volume[np.flatnonzero(similar.any(axis=0))[0]]) + 1
    return (Oddity("duplicate", f"the same image as prompt {number}: its answer says nothing about other images"),)


def _same_patient(scan: ScanFacts, others: Sequence[ScanFacts]) -> tuple[Oddity, ...]:
    """Whether a query is of the patient of a prompt; one identifier for all prompts is what anonymizers write."""
    patients = [other.patient for other in others]
    is_dummy = len(patients) > 1 and len(set(patients)) == 1
    if not scan.patient or is_dummy or scan.patient not in patients:
        return ()
    number = patients.index(scan.patient) + 1
    message = f"of the same patient as prompt {number}, by its PatientID: its answer says little about other patients"
    return (Oddity("patient", message),)


def _flatness(targets: NDArray[np.integer]) -> float:
    """The share of labeled pixels whose right neighbor has the same label."""
    left, right = targets[..., :-1], targets[..., 1:]
    labeled = left != 0
    return float((left == right)[labeled].mean()) if labeled.any() else 1.0
