"""MicroSegNet's micro-ultrasound of the prostate: 75 patients, outlined by an expert.

Owners: University of Florida. Terms: CC BY 4.0.
Access: Micro_Ultrasound_Prostate_Segmentation_Dataset.zip at https://zenodo.org/records/10475293; no registration.

    FOLDER/train/micro_ultrasound_scans/microUS_train_01.nii.gz  ...
    FOLDER/train/expert_annotations/expert_annotation_train_01.nii.gz  ...
    FOLDER/test/micro_ultrasound_scans/microUS_test_01.nii.gz  ...
    FOLDER/test/expert_annotations/expert_annotation_test_01.nii.gz  ...

The annotations by students and clinicians are not read. Every value but 0 in an annotation is prostate.

Split: the owners' training and test scans, 55 and 20, as in the paper.
"""

from pathlib import Path

from mvg.data.case import Card, Case, DataSet, Split
from mvg.data.layout import Published, folder_with, paths_matching

_SCANS, _ANNOTATIONS = "micro_ultrasound_scans", "expert_annotations"
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


def recognizes(folder: Path) -> bool:
    """Whether train/micro_ultrasound_scans, in this folder or in the folder of the archive, holds scans."""
    return bool(paths_matching(_root(folder) / "train" / _SCANS, _scan_pattern("train")))


def open(folder: Path) -> DataSet:
    """Opens all 75 scans with the expert's annotations; FileError when a folder or annotation is missing."""
    return SET.data_set([*_cases(_root(folder) / "train", "train"), *_cases(_root(folder) / "test", "val")])


def _cases(folder: Path, split: Split) -> list[Case]:
    cases = []
    for name, scan in SET.files(folder / _SCANS, _scan_pattern(folder.name)).items():
        annotation = SET.require(folder / _ANNOTATIONS / f"expert_annotation_{name}.nii.gz")
        cases.append(Case(name, SET.card.patient_of(name), (scan,), ((annotation, 1),), owner_split=split))
    return cases


def _scan_pattern(part: str) -> str:
    return rf"microUS_({part}_\d+)\.nii\.gz"


def _root(folder: Path) -> Path:
    return folder_with(folder, "train", "Micro_Ultrasound_Prostate_Segmentation_Dataset")
