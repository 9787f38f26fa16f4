"""What the demo shows: requests made of real medical images that ship inside public packages.

nilearn   the ICBM 152 brain, T1, gray and white matter: an average of 152 people, symmetric
dipy      one coronal T1 slice of one person's brain
pydicom   a CT slice of one patient's head and one of another patient's back
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.app.demo import specimens
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks.kinds.inpainting import draw_voids
from mvg.tasks.projection import low_dose_noise

_VolumeT = TypeVar("_VolumeT", Volume, LabelMap)

TISSUES = {1: "gray matter", 2: "white matter"}
_AXIAL = tuple(range(-25, 55, 10))  # prompts, in mm above the commissures; queries are halfway between them
_CORONAL = tuple(range(-34, 30, 8))  # in mm before the commissures: around the single person's slice

_SAME_BRAIN = (
    "Prompts and query are slices of the same average brain (ICBM 152): each query slice is 5 mm from the nearest "
    "prompt."
)
_OTHER_BRAIN = "Prompts are slices of the average brain (ICBM 152), the query is one person's brain."


@dataclass(frozen=True, eq=False, kw_only=True)
class Exhibit:
    """One request to the model, and what is known of its truth.

    name: also that of its folder; task: the kind; description: whose images these are; images, targets: the prompt
    pairs; truth: on the query's grid, None where it is not known; truth_caption: where the truth comes from; region:
    the voxels (X, Y, Z) that are measured, None for all; void: the voxels that were voided; labels: names of values.
    """

    name: str
    task: str
    title: str
    description: str
    images: tuple[Volume, ...]
    targets: tuple[Volume | LabelMap, ...]
    query: Volume
    truth: Volume | LabelMap | None = None
    truth_caption: str = ""
    region: NDArray[np.bool_] | None = None
    void: NDArray[np.bool_] | None = None
    labels: dict[int, str] = field(default_factory=dict)


def exhibits(seed: int) -> Iterator[Exhibit]:
    """All requests of the demo, made one by one; `seed` is that of voids and noise."""
    yield tissues()
    yield tissues_of_a_person()
    yield gray_matter()
    yield gray_matter_of_a_person()
    yield void(seed)
    yield void_of_a_person(seed)
    yield noise(seed, _HEAD, _BACK)
    yield noise(seed, _BACK, _HEAD)


def tissues() -> Exhibit:
    """Gray and white matter on slices of the average brain that lie between the prompts."""
    t1, labels = specimens.average("t1"), specimens.tissue_labels()
    return Exhibit(
        name="segmentation",
        task="segmentation",
        title="Segmentation: gray and white matter",
        description=f"{_SAME_BRAIN} This shows the task; it is not a test on a new person.",
        images=_axial_slices(t1),
        targets=_axial_slices(labels),
        query=_between_prompts(t1),
        truth=_between_prompts(labels),
        truth_caption="truth: its tissue maps",
        labels=TISSUES,
    )


def tissues_of_a_person() -> Exhibit:
    """Gray and white matter of a person, with prompts from the average brain."""
    person = specimens.person()
    return Exhibit(
        name="segmentation_of_a_person",
        task="segmentation",
        title="Segmentation of another brain",
        description=f"{_OTHER_BRAIN} No expert has outlined its tissues: the last column is the result of another "
        "program (dipy's Markov random field classifier). The Dice says how far two methods agree, not which of them "
        "is right.",
        images=_coronal_slices(specimens.average("t1")),
        targets=_coronal_slices(specimens.tissue_labels()),
        query=person,
        truth=specimens.classified(person),
        truth_caption="another program: dipy",
        labels=TISSUES,
    )


def gray_matter() -> Exhibit:
    """T1 -> gray matter probability, on slices of the average brain that lie between the prompts."""
    t1, gray = specimens.average("t1"), specimens.average("gray")
    return Exhibit(
        name="synthesis",
        task="synthesis",
        title="Synthesis: from T1 to a map of gray matter",
        description=f"{_SAME_BRAIN} The target is a picture, the probability of gray matter; the model was never "
        "trained on such targets.",
        images=_axial_slices(t1),
        targets=_axial_slices(gray),
        query=_between_prompts(t1),
        truth=_between_prompts(gray),
        truth_caption="truth: its gray matter map",
    )


def gray_matter_of_a_person() -> Exhibit:
    """T1 -> gray matter probability of a person, with prompts from the average brain; the truth is not known."""
    return Exhibit(
        name="synthesis_of_a_person",
        task="synthesis",
        title="Synthesis for another brain",
        description=f"{_OTHER_BRAIN} The truth is not known.",
        images=_coronal_slices(specimens.average("t1")),
        targets=_coronal_slices(specimens.average("gray")),
        query=specimens.person(),
    )


def void(seed: int) -> Exhibit:
    """Voids in slices of the average brain."""
    rng = np.random.default_rng(seed)
    t1 = specimens.average("t1")
    targets = _axial_slices(t1)
    query, region = _with_voids(_between_prompts(t1), 2, rng)
    return Exhibit(
        name="inpainting",
        task="inpainting",
        title="Inpainting: a void in the brain",
        description=f"{_SAME_BRAIN} The voids are random.",
        images=tuple(_with_voids(volume, 2, rng)[0] for volume in targets),
        targets=targets,
        query=query,
        truth=_between_prompts(t1),
        truth_caption="truth: before the void",
        region=region,
        void=region,
    )


def void_of_a_person(seed: int) -> Exhibit:
    """Voids in a person's brain, with prompts from the average brain."""
    rng = np.random.default_rng(seed)
    targets = _coronal_slices(specimens.average("t1"))
    query, region = _with_voids(specimens.person(), 1, rng)
    return Exhibit(
        name="inpainting_of_a_person",
        task="inpainting",
        title="Inpainting in another brain",
        description=f"{_OTHER_BRAIN} The voids are random.",
        images=tuple(_with_voids(volume, 1, rng)[0] for volume in targets),
        targets=targets,
        query=query,
        truth=specimens.person(),
        truth_caption="truth: before the void",
        region=region,
        void=region,
    )


@dataclass(frozen=True)
class _Scan:
    """A CT slice, and the part of the photons that remains at low dose."""

    region: str
    slice: Callable[[], Volume]
    dose: float


_HEAD = _Scan("head", specimens.ct_of_a_head, 0.25)
_BACK = _Scan("back", specimens.ct_of_a_back, 0.01)


def noise(seed: int, query: _Scan, prompt: _Scan) -> Exhibit:
    """Low-dose CT of one patient, with a slice of another as prompt."""
    rng = np.random.default_rng(seed)
    full_dose, target = query.slice(), prompt.slice()
    return Exhibit(
        name=f"denoising_{query.region}",
        task="denoising",
        title=f"Denoising: low-dose CT of a {query.region}",
        description=f"The prompts are one slice of one patient's {prompt.region} with four samples of noise, the query "
        f"is another patient's {query.region}. The low dose is simulated by Poisson noise in the sinogram: a quarter "
        "of the photons for the head, a hundredth for the back, of whose body the picture shows little. Both have "
        "about 45 HU of noise in soft tissue. Only the body is measured.",
        images=tuple(_low_dose(target, prompt.dose, rng) for _ in range(4)),
        targets=(target,) * 4,
        query=_low_dose(full_dose, query.dose, rng),
        truth=full_dose,
        truth_caption="truth: full dose",
        region=full_dose.voxels > -500,
    )


def _axial_slices(volume: _VolumeT) -> tuple[_VolumeT, ...]:
    return _single_slices(volume, 2, _AXIAL)


def _coronal_slices(volume: _VolumeT) -> tuple[_VolumeT, ...]:
    return _single_slices(volume, 1, _CORONAL)


def _single_slices(volume: _VolumeT, axis: int, positions: tuple[int, ...]) -> tuple[_VolumeT, ...]:
    """Slices across `axis` at `positions` (mm in the world) of a volume with voxels of 1 mm."""
    starts = [int(position - volume.affine[axis, 3]) for position in positions]
    return tuple(_take(volume, axis, range(start, start + 1)) for start in starts)


def _between_prompts(volume: _VolumeT) -> _VolumeT:
    """The axial slices halfway between the prompts."""
    start = int(_AXIAL[0] + 5 - volume.affine[2, 3])
    return _take(volume, 2, range(start, start + 10 * (len(_AXIAL) - 1), 10))


def _take(volume: _VolumeT, axis: int, indices: range) -> _VolumeT:
    affine = np.array(volume.affine)
    affine[:3, 3] += indices.start * affine[:3, axis]
    affine[:3, axis] *= indices.step
    return type(volume)(volume.voxels.take(indices, axis), affine)


def _with_voids(volume: Volume, axis: int, rng: np.random.Generator) -> tuple[Volume, NDArray[np.bool_]]:
    """The volume with random voids, filled with 0, in each slice across `axis`, and their mask (X, Y, Z)."""
    region = np.zeros(volume.shape, bool)
    for index in range(volume.shape[axis]):
        plane = (slice(None),) * axis + (index,)
        brain = ndimage.binary_fill_holes(volume.voxels[plane] > 0.1 * volume.voxels.max())
        region[plane] = draw_voids(brain, rng)
    return Volume(np.where(region, np.float32(0), volume.voxels), volume.affine), region


def _low_dose(volume: Volume, dose: float, rng: np.random.Generator) -> Volume:
    """A single slice (n, n, 1) as a scan with the part `dose` of the photons would show it."""
    full_dose = volume.voxels[:, :, 0]
    noise_image = low_dose_noise(full_dose, volume.spacing[0], (0, 0, len(full_dose)), dose, rng)
    return Volume((full_dose + noise_image)[:, :, None], volume.affine)
