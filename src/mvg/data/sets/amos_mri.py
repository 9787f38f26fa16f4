"""AMOS 2022, MRI: the same 15 organs as `amos_ct`, from the same download; bladder and prostate or uterus are rare.

Owners, terms, access: as `amos_ct`.

    FOLDER/imagesTr/amos_0507.nii.gz  ...      FOLDER/labelsTr/amos_0507.nii.gz  ...
    FOLDER/imagesVa/amos_0517.nii.gz  ...      FOLDER/labelsVa/amos_0517.nii.gz  ...

Numbers above 500 are MRI.

Split: the owners' 40 training scans and 20 validation scans (held out). The paper has 60 and 50: perhaps it trained on
both folders and was tested on scans whose labels are not public.
"""

from pathlib import Path

from mvg.data.case import Card, DataSet
from mvg.data.layout import Published, paths_matching
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


def recognizes(folder: Path) -> bool:
    """Whether imagesTr, in this folder or in amos22, holds scans with the names of AMOS MRI."""
    return bool(paths_matching(root_of(folder) / "imagesTr", _NAME))


def open(folder: Path) -> DataSet:
    """Opens the labeled MRI of AMOS; FileError when a folder or label map is missing."""
    root = root_of(folder)
    train = SET.labeled_cases(root / "imagesTr", _NAME, root / "labelsTr", "{}.nii.gz", "train")
    val = SET.labeled_cases(root / "imagesVa", _NAME, root / "labelsVa", "{}.nii.gz", "val")
    return SET.data_set([*train, *val])
