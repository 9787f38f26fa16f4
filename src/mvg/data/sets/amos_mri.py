"""AMOS 2022, MRI: the same 15 organs as `amos_ct`, from the same download; bladder and prostate or uterus hardly occur.

Owners, terms, access: as `amos_ct`.

    FOLDER/imagesTr/amos_0507.nii.gz  ...      FOLDER/labelsTr/amos_0507.nii.gz  ...
    FOLDER/imagesVa/amos_0517.nii.gz  ...      FOLDER/labelsVa/amos_0517.nii.gz  ...

MRI have the numbers above 500.

Split: the owners' training scans, and their validation scans held out: 40 and 20. The paper has 60 and 50: it may
have trained on both folders and asked for scans whose labels are not public.
"""

from pathlib import Path

from mvg.data.case import Card, DataSet
from mvg.data.layout import Published, matching
from mvg.data.sets.amos_ct import ORGANS, root_of

_NAME = r"(amos_(?!0[0-4]\d\d|0500)\d{4})\.nii\.gz"
SET = Published(
    Card(
        name="amos_mri",
        title="AMOS 2022 MRI",
        modality="MRI",
        region="abdomen",
        channels=("MRI",),
        labels=ORGANS,
        license="CC BY-NC-SA 4.0",
        citation="Ji et al., AMOS: a large-scale abdominal multi-organ benchmark, NeurIPS 2022, arXiv 2206.08023",
    ),
    tree="imagesTr, labelsTr, imagesVa and labelsVa with amos_0501.nii.gz and above",
    access="amos22.zip at https://zenodo.org/records/7262581, no registration",
    split="the owners' training and validation scans: 40 / 20",
)


def recognises(folder: Path) -> bool:
    """Whether imagesTr, here or in amos22, holds scans called as AMOS calls its MRI."""
    return bool(matching(root_of(folder) / "imagesTr", _NAME))


def open(folder: Path) -> DataSet:
    """The labelled MRI of AMOS; FileError for a missing folder or label map."""
    root = root_of(folder)
    train = SET.labeled(root / "imagesTr", _NAME, root / "labelsTr", "{}.nii.gz", "train")
    val = SET.labeled(root / "imagesVa", _NAME, root / "labelsVa", "{}.nii.gz", "val")
    return SET.data_set([*train, *val])
