"""BraTS 2023 adult glioma: four registered contrasts of 1470 scans, skull-stripped, 1 mm; for synthesis.

Owners: the BraTS 2023 organizers (ASNR, MICCAI and data contributors). Terms: those of the registration.
Access: register at https://www.synapse.org/Synapse:syn51156910 and join the challenge; download the training and the
validation data of task 1.

    FOLDER/ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData/BraTS-GLI-00000-000/BraTS-GLI-00000-000-t1n.nii.gz
        and -t1c, -t2w, -t2f; -seg with the tumor
    FOLDER/ASNR-MICCAI-BraTS2023-GLI-Challenge-ValidationData/BraTS-GLI-00001-000/...
        the same without -seg, whose labels are not public

Split: the owners' training and validation scans, 1251 and 219 in the paper. Names are BraTS-GLI-PATIENT-TIME: a patient
with scans in both folders is held out with all of them. `brats_local` has the same training patients: those that it
holds out are left out here, so that no model is trained on a patient of one set and tested on the same patient of the
other.
"""

from pathlib import Path

from mvg.data.case import Card, Case, DataSet
from mvg.data.layout import Published, is_held_out, keep_patients_together, paths_matching

CASE_PATTERN = r"(BraTS-GLI-\d{5}-\d{3})"
PATIENT_PATTERN = r"BraTS-GLI-\d{5}"
_CONTRASTS = {"t1n": "T1", "t1c": "T1 with contrast agent", "t2w": "T2", "t2f": "FLAIR"}
SET = Published(
    Card(
        name="brats_gli",
        title="BraTS 2023 adult glioma",
        modality="MRI",
        region="brain",
        channels=tuple(_CONTRASTS.values()),
        labels={1: "necrotic tumor core", 2: "peritumoral edema", 3: "enhancing tumor"},
        patient=PATIENT_PATTERN,
        license="terms of the registration at Synapse",
        citation="Baid et al., The RSNA-ASNR-MICCAI BraTS 2021 benchmark on brain tumor segmentation and radiogenomic "
        "classification, arXiv 2107.02314; Bakas et al., Scientific Data 4:170117, 2017; Menze et al., IEEE TMI "
        "34(10), 2015",
    ),
    tree="...GLI-Challenge-TrainingData and ...GLI-Challenge-ValidationData, each with BraTS-GLI-00000-000 and so on",
    access="task 1 of BraTS 2023, https://www.synapse.org/Synapse:syn51156910, after registration",
    split="the owners' training scans without patients held out of brats_local, and validation scans: about 1000 / 219",
)


def recognizes(folder: Path) -> bool:
    """Whether folders of cases, in this folder or one level below, hold a FLAIR."""
    cases_or_parts = (
        case for part in (folder, *parts_of(folder, "GLI")) for case in paths_matching(part, CASE_PATTERN).values()
    )
    return any((case / f"{case.name}-t2f.nii.gz").exists() for case in cases_or_parts)


def open(folder: Path) -> DataSet:
    """Opens all scans except those of patients whom `brats_local` holds out.

    FileError when a contrast, the tumor of a training scan, or one of the two parts is missing.
    """
    cases = [
        _case(path, part) for part in parts_of(folder, "GLI") for path in paths_matching(part, CASE_PATTERN).values()
    ]
    for split, part in (("train", "TrainingData"), ("val", "ValidationData")):
        if not any(case.owner_split == split for case in cases):
            raise SET.incomplete(f"'{folder}' has no case in a folder called ...{part}")
    return SET.data_set(
        case
        for case in keep_patients_together(cases)
        if case.owner_split == "val" or not is_held_out_in_brats_local(case.patient)
    )


def is_held_out_in_brats_local(patient: str) -> bool:
    """Whether `brats_local` holds out this patient of the training scans; it holds out about 251 of 1251."""
    return is_held_out(patient, 1000, 251)


def parts_of(folder: Path, challenge: str) -> list[Path]:
    """The folders in `folder` whose names are those of the training and validation data of a BraTS challenge."""
    cases_or_parts = paths_matching(folder, rf"(.*BraTS.*{challenge}.*(?:Training|Validation).*)")
    return [path for path in cases_or_parts.values() if path.is_dir()]


def _case(path: Path, part: Path) -> Case:
    images = tuple(SET.require(path / f"{path.name}-{contrast}.nii.gz") for contrast in _CONTRASTS)
    tumor, is_validation = path / f"{path.name}-seg.nii.gz", "Validation" in part.name
    labels = None if is_validation and not tumor.exists() else SET.require(tumor)
    return Case(
        path.name, SET.card.patient_of(path.name), images, labels, owner_split="val" if is_validation else "train"
    )
