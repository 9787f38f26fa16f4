"""BTCV, "beyond the cranial vault": 13 abdominal organs in portal venous CT of 30 patients; also called Synapse.

Owners: Vanderbilt University (MICCAI 2015 challenge on multi-atlas labeling).
Terms: those of the registration at Synapse.
Access: register at https://www.synapse.org, join the challenge syn3193805, download Abdomen/RawData.zip.

    FOLDER/RawData/Training/img/img0001.nii.gz  ...      FOLDER/RawData/Training/label/label0001.nii.gz  ...

RawData/Testing has no labels and is not read.

Split: 21 and 9 scans, as in the paper, which does not list them; `layout.split_by_ratio` chooses them.
"""

from pathlib import Path

from mvg.data.case import Card, DataSet
from mvg.data.layout import Published, folder_with, paths_matching, split_by_ratio

_NAME = r"img(\d{4})\.nii\.gz"
SET = Published(
    Card(
        name="btcv",
        title="BTCV abdomen",
        modality="CT",
        region="abdomen",
        channels=("CT",),
        labels={
            1: "spleen",
            2: "right kidney",
            3: "left kidney",
            4: "gallbladder",
            5: "esophagus",
            6: "liver",
            7: "stomach",
            8: "aorta",
            9: "inferior vena cava",
            10: "portal and splenic vein",
            11: "pancreas",
            12: "right adrenal gland",
            13: "left adrenal gland",
        },
        units="HU",
        license="terms of the registration at Synapse",
        citation="Landman et al., MICCAI multi-atlas labeling beyond the cranial vault, 2015, doi 10.7303/syn3193805",
    ),
    tree="RawData/Training with img/img0001.nii.gz and label/label0001.nii.gz and so on",
    access="Abdomen/RawData.zip of syn3193805 at https://www.synapse.org, after registration",
    split="ours, at the paper's counts: 21 / 9",
)


def recognizes(folder: Path) -> bool:
    """Whether the folder, or RawData/Training in it, holds files such as img/img0001.nii.gz."""
    return bool(paths_matching(_root(folder) / "img", _NAME))


def open(folder: Path) -> DataSet:
    """Opens the labeled scans of BTCV; FileError when a folder or label map is missing."""
    root = _root(folder)
    return SET.data_set(split_by_ratio(SET.labeled_cases(root / "img", _NAME, root / "label", "label{}.nii.gz"), 21, 9))


def _root(folder: Path) -> Path:
    return folder_with(folder, "img", "Training", "RawData/Training", "Abdomen/RawData/Training")
