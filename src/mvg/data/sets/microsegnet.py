"""MicroSegNet's micro-ultrasound of the prostate: 75 patients, outlined by an expert.

Owners: University of Florida. Terms: CC BY 4.0.
Access: Micro_Ultrasound_Prostate_Segmentation_Dataset.zip at https://zenodo.org/records/10475293; no registration.

    FOLDER/train/micro_ultrasound_scans/microUS_train_01.nii.gz  ...
    FOLDER/train/expert_annotations/expert_annotation_train_01.nii.gz  ...
    FOLDER/test/micro_ultrasound_scans/microUS_test_01.nii.gz  ...
    FOLDER/test/expert_annotations/expert_annotation_test_01.nii.gz  ...

The outlines of students and clinicians beside these are not read. Whatever is not 0 in an outline is prostate.

Split: the owners' train and test, 55 and 20, as in the paper.
"""

from pathlib import Path

from mvg.data.case import Card, Case, DataSet, Split
from mvg.data.layout import Published, matching, within

_SCANS, _OUTLINES = "micro_ultrasound_scans", "expert_annotations"
SET = Published(
    Card(
        name="microsegnet",
        title="micro-ultrasound of MicroSegNet",
        modality="ultrasound",
        region="pelvis",
        channels=("micro-ultrasound",),
        labels={1: "prostate"},
        license="CC BY 4.0",
        citation="Jiang et al., MicroSegNet: a deep learning approach for prostate segmentation on micro-ultrasound "
        "images, Computerized Medical Imaging and Graphics 112, 2024, doi 10.1016/j.compmedimag.2024.102326",
    ),
    tree="train and test, each with micro_ultrasound_scans and expert_annotations",
    access="https://zenodo.org/records/10475293, no registration",
    split="the owners': 55 / 20",
)


def recognises(folder: Path) -> bool:
    """Whether train/micro_ultrasound_scans, here or in the archive's own folder, holds scans."""
    return bool(matching(_root(folder) / "train" / _SCANS, _called("train")))


def open(folder: Path) -> DataSet:
    """All 75 scans with the expert's outlines; FileError for a missing folder or outline."""
    return SET.data_set([*_cases(_root(folder) / "train", "train"), *_cases(_root(folder) / "test", "val")])


def _cases(folder: Path, split: Split) -> list[Case]:
    cases = []
    for name, scan in SET.files(folder / _SCANS, _called(folder.name)).items():
        outline = SET.existing(folder / _OUTLINES / f"expert_annotation_{name}.nii.gz")
        cases.append(Case(name, SET.card.patient_of(name), (scan,), ((outline, 1),), owner_split=split))
    return cases


def _called(part: str) -> str:
    return rf"microUS_({part}_\d+)\.nii\.gz"


def _root(folder: Path) -> Path:
    return within(folder, "train", "Micro_Ultrasound_Prostate_Segmentation_Dataset")
