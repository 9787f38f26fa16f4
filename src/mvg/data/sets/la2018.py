"""LA 2018: the cavity of the left atrium in 3D late gadolinium enhanced MRI of patients with atrial fibrillation.

Owners: University of Auckland and University of Utah, with others (STACOM 2018 challenge).
Terms: those of the Cardiac Atlas Project, accepted with the download.
Access: https://www.cardiacatlas.org/atriaseg2018-challenge/atria-seg-data.

    FOLDER/Training Set/ID/lgemri.nrrd      FOLDER/Training Set/ID/laendo.nrrd      ...

Label maps hold 255, which is read as 1. "Testing Set" (54 scans) is not read, because the numbers of Table 1 match the
training scans.

Split: 80 and 20 of the 100 scans (81 and 20 in the paper, which does not list them); `layout.split_by_ratio` chooses
them. Some patients were scanned before and after ablation, but the names do not show which scans belong together:
every scan counts as a patient.
"""

from pathlib import Path

from mvg.data.case import Card, Case, DataSet
from mvg.data.layout import Published, paths_matching, split_by_ratio

_IMAGE, _LABELS = "lgemri.nrrd", "laendo.nrrd"
SET = Published(
    Card(
        name="la2018",
        title="left atrium challenge 2018",
        modality="MRI",
        region="heart",
        channels=("late gadolinium enhanced MRI",),
        labels={1: "left atrium"},
        license="terms of the Cardiac Atlas Project",
        citation="Xiong et al., A global benchmark of algorithms for segmenting the left atrium from late "
        "gadolinium-enhanced cardiac magnetic resonance imaging, Medical Image Analysis 67, 2021, doi "
        "10.1016/j.media.2020.101832",
        note="scans before and after ablation may share a patient; the names do not tell",
    ),
    tree="'Training Set' with a folder per scan, each with lgemri.nrrd and laendo.nrrd",
    access="https://www.cardiacatlas.org/atriaseg2018-challenge/atria-seg-data",
    split="ours, of the owners' training scans: 80 / 20",
)


def recognizes(folder: Path) -> bool:
    """Whether 'Training Set' holds folders with lgemri.nrrd."""
    return any((path / _IMAGE).exists() for path in _scans(folder))


def open(folder: Path) -> DataSet:
    """Opens the 100 training scans; FileError when an image or label map is missing."""
    cases = []
    for path in _scans(folder):
        image, labels = SET.require(path / _IMAGE), SET.require(path / _LABELS)
        cases.append(Case(path.name, SET.card.patient_of(path.name), (image,), ((labels, 1),)))
    if not cases:
        raise SET.incomplete(f"'{folder}' has no scan in a folder called Training Set")
    return SET.data_set(split_by_ratio(cases, 80, 20))


def _scans(folder: Path) -> list[Path]:
    parts = paths_matching(folder, r"(?i)(training[ _]set)").values()
    return [path for part in parts for path in paths_matching(part, r"(.+)").values() if path.is_dir()]
