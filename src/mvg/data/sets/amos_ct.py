"""AMOS 2022, CT: 15 abdominal organs in scans of several centers, scanners, phases and diseases.

Owners: The Chinese University of Hong Kong (Shenzhen) with two hospitals of Longgang district, Shenzhen.
Terms: CC BY-NC-SA 4.0 according to the challenge; the terms on the download page apply.
Access: amos22.zip at https://zenodo.org/records/7262581, linked from https://amos22.grand-challenge.org; no
registration.

    FOLDER/imagesTr/amos_0001.nii.gz  ...      FOLDER/labelsTr/amos_0001.nii.gz  ...
    FOLDER/imagesVa/amos_0008.nii.gz  ...      FOLDER/labelsVa/amos_0008.nii.gz  ...

Numbers up to 500 are CT; higher ones are MRI (the set `amos_mri`). imagesTs is not read, because its labels are not
public.

Split: the owners' 200 training scans and 100 validation scans (held out). The paper's 240 and 120 are the same two
folders including MRI (200 + 40 and 100 + 20).
"""

from pathlib import Path

from mvg.data.case import Card, DataSet
from mvg.data.layout import Published, folder_with, paths_matching

_NAME = r"(amos_0(?:[0-4]\d\d|500))\.nii\.gz"
ORGANS = {
    1: "spleen",
    2: "right kidney",
    3: "left kidney",
    4: "gallbladder",
    5: "esophagus",
    6: "liver",
    7: "stomach",
    8: "aorta",
    9: "postcava",
    10: "pancreas",
    11: "right adrenal gland",
    12: "left adrenal gland",
    13: "duodenum",
    14: "bladder",
    15: "prostate or uterus",
}
SET = Published(
    Card(
        name="amos_ct",
        title="AMOS 2022 CT",
        modality="CT",
        region="abdomen",
        channels=("CT",),
        labels=ORGANS,
        units="HU",
        license="CC BY-NC-SA 4.0",
        citation="Ji et al., AMOS: a large-scale abdominal multi-organ benchmark, NeurIPS 2022, arXiv 2206.08023",
    ),
    tree="imagesTr, labelsTr, imagesVa and labelsVa with amos_0001.nii.gz to amos_0500.nii.gz",
    access="amos22.zip at https://zenodo.org/records/7262581, no registration",
    split="the owners' training and validation scans: 200 / 100",
)


def recognizes(folder: Path) -> bool:
    """Whether imagesTr, in this folder or in amos22, holds scans with the names of AMOS CT."""
    return bool(paths_matching(root_of(folder) / "imagesTr", _NAME))


def open(folder: Path) -> DataSet:
    """Opens the labeled CT of AMOS; FileError when a folder or label map is missing."""
    root = root_of(folder)
    train = SET.labeled_cases(root / "imagesTr", _NAME, root / "labelsTr", "{}.nii.gz", "train")
    val = SET.labeled_cases(root / "imagesVa", _NAME, root / "labelsVa", "{}.nii.gz", "val")
    return SET.data_set([*train, *val])


def root_of(folder: Path) -> Path:
    """The folder that holds imagesTr: this one, or amos22 in it."""
    return folder_with(folder, "imagesTr", "amos22")
