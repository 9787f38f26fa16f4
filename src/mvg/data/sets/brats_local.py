"""BraTS 2023 local synthesis: T1 of glioma patients with regions cut out, to be filled with healthy brain.

Owners: the organizers of the BraTS 2023 inpainting challenge. Terms: those of the registration.
Access: register at https://www.synapse.org/Synapse:syn51156910 and join the challenge; download the training data of
task 8, https://www.synapse.org/Synapse:syn51522870.

    FOLDER/ASNR-MICCAI-BraTS2023-Local-Synthesis-Challenge-Training/BraTS-GLI-00000-000/
        BraTS-GLI-00000-000-t1n-voided.nii.gz    the image
        BraTS-GLI-00000-000-t1n.nii.gz           the target

The folder that holds the cases can be given as well. The files -mask, -mask-healthy and -mask-unhealthy beside these
are not read: the void is where image and target differ. The owners score only its healthy part. Their validation data
have no target and are not read.

Split: 1000 and 251 in the paper, which does not list them. Here the patient's name alone decides
(`layout.is_held_out`), which gives about these numbers. `brats_gli` has the same patients and leaves out those that are
held out here, even when only a part of either set is on disk.
"""

from pathlib import Path

from mvg.data.case import Card, Case, DataSet
from mvg.data.layout import Published, paths_matching
from mvg.data.sets.brats_gli import CASE_PATTERN, PATIENT_PATTERN, is_held_out_in_brats_local, parts_of

SET = Published(
    Card(
        name="brats_local",
        title="BraTS 2023 local synthesis",
        modality="MRI",
        region="brain",
        channels=("T1, voided",),
        image_target="T1",
        image_task="inpainting",
        patient=PATIENT_PATTERN,
        license="terms of the registration at Synapse",
        citation="Kofler et al., The brain tumor segmentation (BraTS) challenge 2023: local synthesis of healthy brain "
        "tissue via inpainting, arXiv 2305.08992",
    ),
    tree="BraTS-GLI-00000-000 and so on, each with -t1n-voided.nii.gz and -t1n.nii.gz",
    access="task 8 of BraTS 2023, https://www.synapse.org/Synapse:syn51522870, after registration",
    split="ours, at the paper's share: about 1000 / 251",
)


def recognizes(folder: Path) -> bool:
    """Whether folders of cases, in this folder or one level below, hold a voided T1."""
    return any((path / f"{path.name}-t1n-voided.nii.gz").exists() for path in _case_folders(folder))


def open(folder: Path) -> DataSet:
    """Opens all pairs; FileError when an image or target is missing."""
    cases = [_case(path) for path in _case_folders(folder)]
    if not cases:
        raise SET.incomplete(f"'{folder}' holds no case")
    return SET.data_set(cases)


def _case_folders(folder: Path) -> list[Path]:
    parts = [folder, *(part for part in parts_of(folder, "Local") if "Validation" not in part.name)]
    return [path for part in parts for path in paths_matching(part, CASE_PATTERN).values()]


def _case(path: Path) -> Case:
    image, target = (SET.require(path / f"{path.name}-{contrast}.nii.gz") for contrast in ("t1n-voided", "t1n"))
    patient = SET.card.patient_of(path.name)
    return Case(
        path.name,
        patient,
        (image,),
        target=target,
        owner_split="val" if is_held_out_in_brats_local(patient) else "train",
    )
