"""Medical Segmentation Decathlon, task 6: tumors in CT of patients with non-small cell lung cancer.

Owners: Stanford University, by The Cancer Imaging Archive. Terms: CC BY-SA 4.0.
Access: Task06_Lung.tar at http://medicaldecathlon.com; no registration.

    FOLDER/imagesTr/lung_001.nii.gz  ...      FOLDER/labelsTr/lung_001.nii.gz  ...

imagesTs has no labels and is not read. Names have no channel, unlike nnU-Net's.

Split: the paper keeps this set unseen (Table 4) and names no cases. Prompts and queries are told apart by
`case.split_of`: of the 63 scans about one in five is held out.
"""

from pathlib import Path

from mvg.data.case import Card, DataSet
from mvg.data.layout import Published, matching, within

_NAME = r"(lung_\d{1,3})\.nii\.gz"
SET = Published(
    Card(
        name="msd_lung",
        title="MSD lung",
        modality="CT",
        region="chest",
        channels=("CT",),
        labels={1: "cancer"},
        units="HU",
        license="CC BY-SA 4.0",
        citation="Antonelli et al., The medical segmentation decathlon, Nature Communications 13:4128, 2022, doi "
        "10.1038/s41467-022-30695-9",
    ),
    tree="imagesTr and labelsTr with lung_001.nii.gz and so on",
    access="Task06_Lung.tar at http://medicaldecathlon.com, no registration",
    split="unseen in the paper; ours by patient, about one in five of 63",
)


def recognises(folder: Path) -> bool:
    """Whether imagesTr, here or in Task06_Lung, holds scans called as this task calls them."""
    return bool(matching(_root(folder) / "imagesTr", _NAME))


def open(folder: Path) -> DataSet:
    """The labelled scans of the task; FileError for a missing folder or label map."""
    root = _root(folder)
    return SET.data_set(SET.labeled(root / "imagesTr", _NAME, root / "labelsTr", "{}.nii.gz"))


def _root(folder: Path) -> Path:
    return within(folder, "imagesTr", "Task06_Lung")
