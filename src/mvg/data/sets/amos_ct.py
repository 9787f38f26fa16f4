"""AMOS 2022, CT: 15 abdominal organs in scans of several centres, scanners, phases and diseases.

Owners: The Chinese University of Hong Kong (Shenzhen) with two hospitals of Longgang district, Shenzhen.
Terms: the challenge names CC BY-NC-SA 4.0; those on the download page count.
Access: amos22.zip at https://zenodo.org/records/7262581, linked from https://amos22.grand-challenge.org; no
registration.

    FOLDER/imagesTr/amos_0001.nii.gz  ...      FOLDER/labelsTr/amos_0001.nii.gz  ...
    FOLDER/imagesVa/amos_0008.nii.gz  ...      FOLDER/labelsVa/amos_0008.nii.gz  ...

CT have the numbers up to 500; those above are MRI, the set `amos_mri`. imagesTs, whose labels are not public, is not
read.

Split: the owners' training scans, and their validation scans held out: 200 and 100. The paper's 240 and 120 are the
same two folders with the MRI counted in (200 + 40 and 100 + 20).
"""

from pathlib import Path

from mvg.data.case import Card, DataSet
from mvg.data.layout import Published, matching, within

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


def recognises(folder: Path) -> bool:
    """Whether imagesTr, here or in amos22, holds scans called as AMOS calls its CT."""
    return bool(matching(root_of(folder) / "imagesTr", _NAME))


def open(folder: Path) -> DataSet:
    """The labelled CT of AMOS; FileError for a missing folder or label map."""
    root = root_of(folder)
    train = SET.labeled(root / "imagesTr", _NAME, root / "labelsTr", "{}.nii.gz", "train")
    val = SET.labeled(root / "imagesVa", _NAME, root / "labelsVa", "{}.nii.gz", "val")
    return SET.data_set([*train, *val])


def root_of(folder: Path) -> Path:
    """The folder with imagesTr: this one, or amos22 in it."""
    return within(folder, "imagesTr", "amos22")
