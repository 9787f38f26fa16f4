"""Montgomery County chest X-rays: both lungs in 138 frontal films, 58 of them with signs of tuberculosis.

Owners: U.S. National Library of Medicine, with the Department of Health and Human Services of Montgomery County,
Maryland.
Terms: free for research; the papers below are to be cited.
Access: MontgomerySet at https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets; no registration.

    FOLDER/CXR_png/MCUCXR_0001_0.png  ...
    FOLDER/ManualMask/leftMask/MCUCXR_0001_0.png  ...      FOLDER/ManualMask/rightMask/MCUCXR_0001_0.png  ...

The two masks become one label.

Split: 15 : 6, the paper's share. It takes 21 films ("defect detection", cited by a review) and does not say which,
nor of which set; ours are all 138, 99 and 39, held out by patient, as `layout.held_out` draws them.
"""

from pathlib import Path

from mvg.data.case import Card, Case, DataSet
from mvg.data.layout import Published, held_out, matching, within

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


def recognises(folder: Path) -> bool:
    """Whether CXR_png, here or in MontgomerySet, holds films called as these are."""
    return bool(matching(_root(folder) / "CXR_png", _NAME))


def open(folder: Path) -> DataSet:
    """All films with both masks as one label; FileError for a missing mask."""
    root, cases = _root(folder), []
    for name, film in SET.files(root / "CXR_png", _NAME).items():
        masks = [SET.existing(root / "ManualMask" / side / film.name) for side in ("leftMask", "rightMask")]
        cases.append(Case(name, SET.card.patient_of(name), (film,), tuple((mask, 1) for mask in masks)))
    return SET.data_set(held_out(cases, 15, 6))


def _root(folder: Path) -> Path:
    return within(folder, "CXR_png", "MontgomerySet", "NLM-MontgomeryCXRSet/MontgomerySet")
