"""What the demo shows: real medical images that ship inside public packages, put as requests.

nilearn   the ICBM 152 brain, T1, gray and white matter: an average of 152 people, symmetric
dipy      one coronal T1 slice of one person's brain
pydicom   a CT slice of one patient's head and one of another patient's back
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.app.demo import specimens
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks.kinds.inpainting import drawn_voids
from mvg.tasks.projection import low_dose_noise

_Kind = TypeVar("_Kind", Volume, LabelMap)

TISSUES = {1: "gray matter", 2: "white matter"}
_AXIAL = tuple(range(-25, 55, 10))  # mm above the commissures: prompts; queries lie half-way between them
_CORONAL = tuple(range(-34, 30, 8))  # mm in front of the commissures: about where the single person's slice lies


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One request to the model, and what is known of the right answer.

    name: also its folder; task: the kind; story: whose images these are; images, targets: the prompt pairs; truth: on
    the query's grid, None where nobody knows; truth_is: its caption; region: the voxels (X, Y, Z) that figures
    are about, None for all; labels: the names of label values.
    """

    name: str
    task: str
    title: str
    story: str
    images: tuple[Volume, ...]
    targets: tuple[Volume | LabelMap, ...]
    query: Volume
    truth: Volume | LabelMap | None
    truth_is: str
    region: NDArray[np.bool_] | None
    labels: dict[int, str]


def exhibits(seed: int) -> Iterator[Exhibit]:
    """All requests of the demo, made one by one; voids and noise are drawn from `seed`.

    Raises FileError where the packages of the extra `demo` are missing.
    """
    for make in (tissues, tissues_of_a_person, gray_matter, gray_matter_of_a_person, void, void_of_a_person):
        yield make(seed)
    yield noise(seed, _HEAD, _BACK)
    yield noise(seed, _BACK, _HEAD)


def tissues(seed: int) -> Exhibit:
    """Gray and white matter on slices of the average brain that lie between the prompts."""
    t1, labels = specimens.average("t1"), specimens.tissue_labels()
    return Exhibit(
        "segmentation",
        "segmentation",
        "Segmentation: gray and white matter",
        "Prompts and query are slices of the same average brain (ICBM 152): every query slice lies 5 mm from the "
        "nearest prompt. This shows the task; it is not a test on a new person.",
        _slices(t1, 2, _AXIAL),
        _slices(labels, 2, _AXIAL),
        _thinned(t1),
        _thinned(labels),
        "truth: its tissue maps",
        None,
        TISSUES,
    )


def tissues_of_a_person(seed: int) -> Exhibit:
    """Gray and white matter of a person, shown on the average brain."""
    person = specimens.person()
    return Exhibit(
        "segmentation_of_a_person",
        "segmentation",
        "Segmentation of another brain",
        "Prompts are slices of the average brain, the query is one person's brain. No expert has drawn its tissues: "
        "the last column is what another program (dipy's Markov random field classifier) makes of it, so the figure "
        "says how far two methods agree, not which of them is right.",
        _slices(specimens.average("t1"), 1, _CORONAL),
        _slices(specimens.tissue_labels(), 1, _CORONAL),
        person,
        specimens.classified(person),
        "another program: dipy",
        None,
        TISSUES,
    )


def gray_matter(seed: int) -> Exhibit:
    """T1 -> gray matter probability, on slices of the average brain that lie between the prompts."""
    t1, gray = specimens.average("t1"), specimens.average("gray")
    return Exhibit(
        "synthesis",
        "synthesis",
        "Synthesis: from T1 to a map of gray matter",
        "Prompts and query are slices of the same average brain, 5 mm apart at least. The target is a picture, the "
        "probability of gray matter, that the model was never trained to paint.",
        _slices(t1, 2, _AXIAL),
        _slices(gray, 2, _AXIAL),
        _thinned(t1),
        _thinned(gray),
        "truth: its gray matter map",
        None,
        {},
    )


def gray_matter_of_a_person(seed: int) -> Exhibit:
    """T1 -> gray matter probability of a person, shown on the average brain; nobody knows the truth."""
    return Exhibit(
        "synthesis_of_a_person",
        "synthesis",
        "Synthesis for another brain",
        "Prompts are slices of the average brain, the query is one person's brain. The truth is not known.",
        _slices(specimens.average("t1"), 1, _CORONAL),
        _slices(specimens.average("gray"), 1, _CORONAL),
        specimens.person(),
        None,
        "",
        None,
        {},
    )


def void(seed: int) -> Exhibit:
    """Voids in slices of the average brain."""
    rng = np.random.default_rng(seed)
    t1 = specimens.average("t1")
    whole = _slices(t1, 2, _AXIAL)
    query, region = _voided(_thinned(t1), 2, rng)
    return Exhibit(
        "inpainting",
        "inpainting",
        "Inpainting: a void in the brain",
        "Prompts and query are slices of the same average brain, 5 mm apart at least; the voids are drawn at random.",
        tuple(_voided(volume, 2, rng)[0] for volume in whole),
        whole,
        query,
        _thinned(t1),
        "truth: before the void",
        region,
        {},
    )


def void_of_a_person(seed: int) -> Exhibit:
    """Voids in a person's brain, shown on the average brain."""
    rng = np.random.default_rng(seed)
    whole = _slices(specimens.average("t1"), 1, _CORONAL)
    query, region = _voided(specimens.person(), 1, rng)
    return Exhibit(
        "inpainting_of_a_person",
        "inpainting",
        "Inpainting in another brain",
        "Prompts are slices of the average brain, the query is one person's brain; the voids are drawn at random.",
        tuple(_voided(volume, 1, rng)[0] for volume in whole),
        whole,
        query,
        specimens.person(),
        "truth: before the void",
        region,
        {},
    )


def noise(seed: int, query: "_Scan", example: "_Scan") -> Exhibit:
    """Low-dose CT of one patient, shown on a slice of another."""
    rng = np.random.default_rng(seed)
    full, shown = query.slice(), example.slice()
    return Exhibit(
        f"denoising_{query.region}",
        "denoising",
        f"Denoising: low-dose CT of a {query.region}",
        f"The prompts are one slice of one patient's {example.region} with four draws of noise, the query is another "
        f"patient's {query.region}. The low dose is simulated by Poisson noise in the sinogram: a quarter of the "
        "photons for the head, a hundredth for the back, whose picture holds little of the body. That is about 45 HU "
        "of noise in the soft tissue of both. Figures are about the body alone.",
        tuple(_low_dose(shown, example.dose, rng) for _ in range(4)),
        (shown,) * 4,
        _low_dose(full, query.dose, rng),
        full,
        "truth: full dose",
        full.voxels > -500,
        {},
    )


@dataclass(frozen=True)
class _Scan:
    """A CT slice and the share of photons that its low dose has."""

    region: str
    slice: Callable[[], Volume]
    dose: float


_HEAD = _Scan("head", specimens.ct_of_a_head, 0.25)
_BACK = _Scan("back", specimens.ct_of_a_back, 0.01)


def _slices(volume: _Kind, axis: int, places: tuple[int, ...]) -> tuple[_Kind, ...]:
    """Single slices across `axis` at `places` (mm in the world) of a volume with voxels of 1 mm."""
    return tuple(_cut(volume, axis, int(place - volume.affine[axis, 3]), 1, 1) for place in places)


def _thinned(volume: _Kind) -> _Kind:
    """The axial slices half-way between the prompts."""
    start = _AXIAL[0] + 5 - volume.affine[2, 3]
    return _cut(volume, 2, int(start), 10, len(_AXIAL) - 1)


def _cut(volume: _Kind, axis: int, start: int, step: int, count: int) -> _Kind:
    affine = np.array(volume.affine)
    affine[:3, 3] += start * affine[:3, axis]
    affine[:3, axis] *= step
    voxels = volume.voxels.take(range(start, start + count * step, step), axis)
    return type(volume)(voxels, affine)


def _voided(volume: Volume, axis: int, rng: np.random.Generator) -> tuple[Volume, NDArray[np.bool_]]:
    """Random voids in every slice across `axis`, filled with 0, and the mask (X, Y, Z) of them."""
    region = np.zeros(volume.shape, bool)
    for at in range(volume.shape[axis]):
        place = (slice(None),) * axis + (at,)
        brain = ndimage.binary_fill_holes(volume.voxels[place] > 0.1 * volume.voxels.max())
        region[place] = drawn_voids(brain, rng)
    return Volume(np.where(region, np.float32(0), volume.voxels), volume.affine), region


def _low_dose(volume: Volume, dose: float, rng: np.random.Generator) -> Volume:
    """A single slice (n, n, 1) as a scan with the share `dose` of the photons would show it."""
    full = volume.voxels[:, :, 0]
    added = low_dose_noise(full, volume.spacing[0], (0, 0, len(full)), dose, rng)
    return Volume((full + added)[:, :, None], volume.affine)
