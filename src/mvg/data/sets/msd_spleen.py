"""Medical Segmentation Decathlon, task 9: the spleen in portal venous CT of patients with liver metastases.

Owners: Memorial Sloan Kettering Cancer Center. Terms: CC BY-SA 4.0.
Access: Task09_Spleen.tar at http://medicaldecathlon.com; no registration.

    FOLDER/imagesTr/spleen_2.nii.gz  ...      FOLDER/labelsTr/spleen_2.nii.gz  ...

imagesTs has no labels and is not read. File names have no channel number, unlike those of nnU-Net.

Split: the paper does not train on this set (Table 4) and lists no cases. `case.split_of` separates prompts from
queries: about one in five of the 41 scans is held out.
"""

from pathlib import Path

from mvg.data.case import Card, DataSet
from mvg.data.layout import Published, folder_with, paths_matching

_NAME = r"(spleen_\d{1,3})\.nii\.gz"
SET = Published(
    Card(
        name="msd_spleen",
        title="MSD spleen",
        modality="CT",
        region="abdomen",
        channels=("CT",),
        labels={1: "spleen"},
        units="HU",
        license="CC BY-SA 4.0",
        citation="Antonelli et al., The medical segmentation decathlon, Nature Communications 13:4128, 2022, doi "
        "10.1038/s41467-022-30695-9",
    ),
    tree="imagesTr and labelsTr with spleen_2.nii.gz and so on",
    access="Task09_Spleen.tar at http://medicaldecathlon.com, no registration",
    split="unseen in the paper; ours by patient, about one in five of 41",
)


def recognizes(folder: Path) -> bool:
    """Whether imagesTr, in this folder or in Task09_Spleen, holds scans with the names of this task."""
    return bool(paths_matching(_root(folder) / "imagesTr", _NAME))


def open(folder: Path) -> DataSet:
    """Opens the labeled scans of the task; FileError when a folder or label map is missing."""
    root = _root(folder)
    return SET.data_set(SET.labeled_cases(root / "imagesTr", _NAME, root / "labelsTr", "{}.nii.gz"))


def _root(folder: Path) -> Path:
    return folder_with(folder, "imagesTr", "Task09_Spleen")
