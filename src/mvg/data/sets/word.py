"""WORD: 16 organs in CT of the whole abdomen, of patients before radiotherapy.

Owners: University of Electronic Science and Technology of China (HiLab) with hospitals in Chengdu.
Terms: academic research only; not for clinical or commercial use.
Access: ask the authors for the password of WORD-V0.1.0.zip, as described at https://github.com/HiLab-git/WORD.

    FOLDER/imagesTr/word_0002.nii.gz   ...      FOLDER/labelsTr/word_0002.nii.gz   ...
    FOLDER/imagesVal/word_0001.nii.gz  ...      FOLDER/labelsVal/word_0001.nii.gz  ...

imagesTs (30 scans) is not read, because Table 1 does not include it.

Split: the owners' 100 training scans and 20 validation scans (held out), as in the paper.
"""

from pathlib import Path

from mvg.data.case import Card, DataSet
from mvg.data.layout import Published, folder_with, paths_matching

_NAME = r"(word_\d{4})\.nii\.gz"
SET = Published(
    Card(
        name="word",
        title="WORD",
        modality="CT",
        region="abdomen",
        channels=("CT",),
        labels={
            1: "liver",
            2: "spleen",
            3: "left kidney",
            4: "right kidney",
            5: "stomach",
            6: "gallbladder",
            7: "esophagus",
            8: "pancreas",
            9: "duodenum",
            10: "colon",
            11: "intestine",
            12: "adrenal glands",
            13: "rectum",
            14: "bladder",
            15: "head of the left femur",
            16: "head of the right femur",
        },
        units="HU",
        license="academic research only",
        citation="Luo et al., WORD: a large scale dataset, benchmark and clinical applicable study for abdominal organ "
        "segmentation from CT image, Medical Image Analysis 82, 2022, arXiv 2111.02403",
    ),
    tree="imagesTr, labelsTr, imagesVal and labelsVal with word_0001.nii.gz and so on",
    access="WORD-V0.1.0.zip, whose password the authors send on request, https://github.com/HiLab-git/WORD",
    split="the owners' training and validation scans: 100 / 20",
)


def recognizes(folder: Path) -> bool:
    """Whether imagesTr, in this folder or in WORD-V0.1.0, holds scans with the names of WORD."""
    return bool(paths_matching(_root(folder) / "imagesTr", _NAME))


def open(folder: Path) -> DataSet:
    """Opens the training and validation scans of WORD; FileError when a folder or label map is missing."""
    root = _root(folder)
    train = SET.labeled_cases(root / "imagesTr", _NAME, root / "labelsTr", "{}.nii.gz", "train")
    val = SET.labeled_cases(root / "imagesVal", _NAME, root / "labelsVal", "{}.nii.gz", "val")
    return SET.data_set([*train, *val])


def _root(folder: Path) -> Path:
    return folder_with(folder, "imagesTr", "WORD-V0.1.0")
