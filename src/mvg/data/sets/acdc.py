"""ACDC: both ventricles and the myocardium in cine MRI of 150 patients, at the end of diastole and of systole.

Owners: University Hospital of Dijon and CREATIS, Lyon (MICCAI 2017 challenge). Terms: CC BY-NC-SA 4.0.
Access: https://www.creatis.insa-lyon.fr/Challenge/acdc/databases.html leads to the database, where its terms must be
accepted.

    FOLDER/database/training/patient001/patient001_frame01.nii.gz    and patient001_frame01_gt.nii.gz, Info.cfg, ...
    FOLDER/database/testing/patient101/patient101_frame01.nii.gz     and patient101_frame01_gt.nii.gz, ...

The folder called database can be given as well. Each patient has two labeled frames; the complete cine
(patient001_4d.nii.gz) is not read.

Split: 100 training patients and 50 test patients (held out), as the owners and the paper define them.
"""

from pathlib import Path

from mvg.data.case import Card, Case, DataSet, Split
from mvg.data.layout import Published, folder_with, paths_matching

_PATIENT, _FRAME = r"(patient\d{3})", r"(patient\d{3}_frame\d{2})\.nii\.gz"
SET = Published(
    Card(
        name="acdc",
        title="ACDC",
        modality="MRI",
        region="heart",
        channels=("cine MRI",),
        labels={1: "right ventricle", 2: "myocardium", 3: "left ventricle"},
        patient=r"patient\d{3}",
        license="CC BY-NC-SA 4.0",
        citation="Bernard et al., Deep learning techniques for automatic MRI cardiac multi-structures segmentation and "
        "diagnosis: is the problem solved?, IEEE TMI 37(11), 2018, doi 10.1109/TMI.2018.2837502",
    ),
    tree="database with training/patient001 and testing/patient101 and so on, each with two frames and their _gt",
    access="https://www.creatis.insa-lyon.fr/Challenge/acdc/databases.html, after accepting its terms",
    split="the owners' training and test patients: 100 / 50, two frames each",
)


def recognizes(folder: Path) -> bool:
    """Whether training, in this folder or in database, holds patient folders of ACDC with frames."""
    patients = paths_matching(_root(folder) / "training", _PATIENT).values()
    return any(paths_matching(patient, _FRAME) for patient in patients)


def open(folder: Path) -> DataSet:
    """Opens two frames of each patient; FileError when a part, a patient's frames or a label map is missing."""
    root = _root(folder)
    return SET.data_set([*_cases(root / "training", "train"), *_cases(root / "testing", "val")])


def _cases(part: Path, split: Split) -> list[Case]:
    patients = SET.files(part, _PATIENT).values()
    return [case for path in patients for case in SET.labeled_cases(path, _FRAME, path, "{}_gt.nii.gz", split)]


def _root(folder: Path) -> Path:
    return folder_with(folder, "training", "database", "ACDC/database")
