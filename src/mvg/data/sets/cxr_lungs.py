"""Montgomery County chest X-rays: both lungs in 138 frontal X-rays, 58 of them with signs of tuberculosis.

Owners: U.S. National Library of Medicine, with the Department of Health and Human Services of Montgomery County,
Maryland.
Terms: free for research; the papers below must be cited.
Access: MontgomerySet at https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets; no registration.

    FOLDER/CXR_png/MCUCXR_0001_0.png  ...
    FOLDER/ManualMask/leftMask/MCUCXR_0001_0.png  ...      FOLDER/ManualMask/rightMask/MCUCXR_0001_0.png  ...

The two masks become one label.

Split: 15 : 6, the paper's ratio. The paper uses 21 X-rays ("defect detection", cited by a review) and does not name
them or their set. Here `layout.split_by_ratio` splits all 138 into 99 and 39.
"""

from pathlib import Path

from mvg.data.case import Card, Case, DataSet
from mvg.data.layout import Published, folder_with, paths_matching, split_by_ratio

_NAME = r"(MCUCXR_\d{4}_\d)\.png"
SET = Published(
    Card(
        name="cxr_lungs",
        title="Montgomery County chest X-rays",
        modality="X-ray",
        region="chest",
        channels=("X-ray",),
        labels={1: "lungs"},
        patient=r"MCUCXR_\d{4}",
        license="free for research, to be cited",
        citation="Jaeger et al., Two public chest X-ray datasets for computer-aided screening of pulmonary diseases, "
        "Quantitative Imaging in Medicine and Surgery 4(6), 2014; Candemir et al., Lung segmentation in chest "
        "radiographs using anatomical atlases with nonrigid registration, IEEE TMI 33(2), 2014",
    ),
    tree="CXR_png, ManualMask/leftMask and ManualMask/rightMask with MCUCXR_0001_0.png and so on",
    access="MontgomerySet at https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets, no registration",
    split="ours, at the paper's share of 15 : 6: 99 / 39",
)


def recognizes(folder: Path) -> bool:
    """Whether CXR_png, in this folder or in MontgomerySet, holds X-rays with the names of this set."""
    return bool(paths_matching(_root(folder) / "CXR_png", _NAME))


def open(folder: Path) -> DataSet:
    """Opens all X-rays with both masks as one label; FileError when a mask is missing."""
    root, cases = _root(folder), []
    for name, image in SET.files(root / "CXR_png", _NAME).items():
        masks = [SET.require(root / "ManualMask" / side / image.name) for side in ("leftMask", "rightMask")]
        cases.append(Case(name, SET.card.patient_of(name), (image,), tuple((mask, 1) for mask in masks)))
    return SET.data_set(split_by_ratio(cases, 15, 6))


def _root(folder: Path) -> Path:
    return folder_with(folder, "CXR_png", "MontgomerySet", "NLM-MontgomeryCXRSet/MontgomerySet")
