"""What the demo shows: requests made of real medical images that ship inside public packages.

nilearn   the ICBM 152 brain, T1, gray and white matter: an average of 152 people, symmetric
dipy      one coronal T1 slice of one person's brain
pydicom   a CT slice of one patient's head and one of another patient's back
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.app.demo import specimens
from mvg.app.demo.cuts import axial_slices, between_prompts, coronal_slices, moved_to_person
from mvg.app.demo.exhibit import Exhibit, Reconstructed, Registered
from mvg.app.demo.restored import restorations
from mvg.imaging.volume import Volume
from mvg.tasks.kinds.inpainting import draw_voids
from mvg.tasks.measurement import as_volume
from mvg.tasks.operators.kspace import KSpace
from mvg.tasks.projection import low_dose_noise

_LINES = 4.0  # of which one is sampled
TISSUES = {1: "gray matter", 2: "white matter"}

_SAME_BRAIN = (
    "Prompts and query are slices of the same average brain (ICBM 152): each query slice is 5 mm from the nearest "
    "prompt."
)
_OTHER_BRAIN = "Prompts are slices of the average brain (ICBM 152), the query is one person's brain."


def exhibits(seed: int) -> tuple[Callable[[], Exhibit], ...]:
    """What makes the requests of the demo, one by one; `seed` is that of voids and noise."""
    return (
        tissues,
        tissues_of_a_person,
        gray_matter,
        gray_matter_of_a_person,
        partial(void, seed),
        partial(void_of_a_person, seed),
        partial(noise, seed, _HEAD, _BACK),
        partial(noise, seed, _BACK, _HEAD),
        registered,
        partial(reconstructed, seed),
        *restorations(seed),
    )


def tissues() -> Exhibit:
    """Gray and white matter on slices of the average brain that lie between the prompts."""
    t1, labels = specimens.average("t1"), specimens.tissue_labels()
    return Exhibit(
        name="segmentation",
        task="segmentation",
        title="Segmentation: gray and white matter",
        description=f"{_SAME_BRAIN} This shows the task; it is not a test on a new person.",
        images=axial_slices(t1),
        targets=axial_slices(labels),
        query=between_prompts(t1),
        truth=between_prompts(labels),
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
        images=coronal_slices(specimens.average("t1")),
        targets=coronal_slices(specimens.tissue_labels()),
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
        images=axial_slices(t1),
        targets=axial_slices(gray),
        query=between_prompts(t1),
        truth=between_prompts(gray),
        truth_caption="truth: its gray matter map",
    )


def gray_matter_of_a_person() -> Exhibit:
    """T1 -> gray matter probability of a person, with prompts from the average brain; the truth is not known."""
    return Exhibit(
        name="synthesis_of_a_person",
        task="synthesis",
        title="Synthesis for another brain",
        description=f"{_OTHER_BRAIN} The truth is not known.",
        images=coronal_slices(specimens.average("t1")),
        targets=coronal_slices(specimens.average("gray")),
        query=specimens.person(),
    )


def void(seed: int) -> Exhibit:
    """Voids in slices of the average brain."""
    rng = np.random.default_rng(seed)
    t1 = specimens.average("t1")
    targets = axial_slices(t1)
    query, region = _with_voids(between_prompts(t1), 2, rng)
    return Exhibit(
        name="inpainting",
        task="inpainting",
        title="Inpainting: a void in the brain",
        description=f"{_SAME_BRAIN} The voids are random.",
        images=tuple(_with_voids(volume, 2, rng)[0] for volume in targets),
        targets=targets,
        query=query,
        truth=between_prompts(t1),
        truth_caption="truth: before the void",
        region=region,
        void=region,
    )


def void_of_a_person(seed: int) -> Exhibit:
    """Voids in a person's brain, with prompts from the average brain."""
    rng = np.random.default_rng(seed)
    targets = coronal_slices(specimens.average("t1"))
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


def registered() -> Exhibit:
    """The average brain, aligned with a person's, with its tissues."""
    person = specimens.person()
    return Exhibit(
        name="registration",
        task="registration",
        title="Registration of an average brain with one person's",
        description="A coronal slice of the average brain (ICBM 152) is aligned with the slice of a person, and its "
        "gray and white matter are warped along. The person's tissues come from another program (dipy's Markov random "
        "field classifier). Where the two lie says nothing, so labels that stay there miss. No prompt shows how to do "
        "it, and the weights are not used.",
        images=(moved_to_person(specimens.average("t1")),),
        targets=(moved_to_person(specimens.tissue_labels()),),
        query=person,
        truth=specimens.classified(person),
        truth_caption="another program: dipy",
        labels=TISSUES,
        way=Registered(),
    )


def reconstructed(seed: int) -> Exhibit:
    """A person's brain from one line of k-space in four, with the average brain as examples."""
    person, complete = specimens.person(), coronal_slices(specimens.average("t1"))
    measurement = KSpace.simulate(person, _LINES, np.random.default_rng(seed))
    alike = [measurement.alike(volume, np.random.default_rng(number)) for number, volume in enumerate(complete)]
    return Exhibit(
        name="reconstruction",
        task="reconstruction",
        title="Reconstruction: MR from a quarter of the raw data",
        description="The examples are complete slices of the average brain (ICBM 152). Of a person's brain one line of "
        "k-space in four was sampled, with a made-up phase. The query is the picture that these data give alone. The "
        "reconstruction agrees with them.",
        images=tuple(as_volume(one, one.initial()) for one in alike),
        targets=complete,
        query=as_volume(measurement, measurement.initial()),
        truth=person,
        truth_caption="truth: all raw data",
        region=person.voxels > 0,
        way=Reconstructed(measurement),
    )


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
