"""BraTS 2023 local synthesis: T1 of glioma patients with regions cut out, to be filled with healthy brain.

Owners: the organisers of the BraTS 2023 inpainting challenge. Terms: those accepted with the registration.
Access: register at https://www.synapse.org/Synapse:syn51156910 and join the challenge; download the training data of
task 8, https://www.synapse.org/Synapse:syn51522870.

    FOLDER/ASNR-MICCAI-BraTS2023-Local-Synthesis-Challenge-Training/BraTS-GLI-00000-000/
        BraTS-GLI-00000-000-t1n-voided.nii.gz    the image
        BraTS-GLI-00000-000-t1n.nii.gz           the target

The folder with the cases may be handed over itself. Beside these lie -mask, -mask-healthy and -mask-unhealthy, which
are not read: the void is where image and target differ. The owners score the healthy part of it alone. Their
validation data have no target and are not read.

Split: 1000 and 251 in the paper, which does not say which. Ours are held out by patient, about that many, by the name
alone (`layout.is_held_out`): `brats_gli` has the same patients and leaves out these, whatever part of either is there.
"""

from pathlib import Path

from mvg.data.case import Card, Case, DataSet
from mvg.data.layout import Published, matching
from mvg.data.sets.brats_gli import CASE, PATIENT, held_out_locally, parts_of

SET = Published(
    Card(
        name="brats_local",
        title="BraTS 2023 local synthesis",
        modality="MRI",
        region="brain",
        channels=("T1, voided",),
        image_target="T1",
        image_task="inpainting",
        patient=PATIENT,
        license="terms of the registration at Synapse",
        citation="Kofler et al., The brain tumor segmentation (BraTS) challenge 2023: local synthesis of healthy brain "
        "tissue via inpainting, arXiv 2305.08992",
    ),
    tree="BraTS-GLI-00000-000 and so on, each with -t1n-voided.nii.gz and -t1n.nii.gz",
    access="task 8 of BraTS 2023, https://www.synapse.org/Synapse:syn51522870, after registration",
    split="ours, at the paper's share: about 1000 / 251",
)


def recognises(folder: Path) -> bool:
    """Whether folders of cases, here or one level below, hold a voided T1."""
    return any((path / f"{path.name}-t1n-voided.nii.gz").exists() for path in _paths(folder))


def open(folder: Path) -> DataSet:
    """All pairs; FileError for a missing image or target."""
    cases = [_case(path) for path in _paths(folder)]
    if not cases:
        raise SET.incomplete(f"'{folder}' holds no case")
    return SET.data_set(cases)


def _paths(folder: Path) -> list[Path]:
    parts = [folder, *(part for part in parts_of(folder, "Local") if "Validation" not in part.name)]
    return [path for part in parts for path in matching(part, CASE).values()]


def _case(path: Path) -> Case:
    image, target = (SET.existing(path / f"{path.name}-{what}.nii.gz") for what in ("t1n-voided", "t1n"))
    patient = SET.card.patient_of(path.name)
    return Case(
        path.name, patient, (image,), target=target, owner_split="val" if held_out_locally(patient) else "train"
    )
