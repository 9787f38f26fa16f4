"""LDCT-and-Projection-data: CT of head, chest and abdomen at full dose, and at a dose simulated from the projections.

Owners: Mayo Clinic, at The Cancer Imaging Archive. The lower dose is a quarter (head, abdomen) or a tenth (chest).
Terms: CC BY 4.0 for chest and abdomen; heads are under controlled access. The terms on the collection's page apply.
Access: https://www.cancerimagingarchive.net/collection/ldct-and-projection-data with the NBIA Data Retriever; only
the series of images are needed, projections are not read.

    FOLDER/LDCT-and-Projection-data/C002/12-23-2021-NA-NA-62464/1.000000-Low Dose Images-39882/1-001.dcm  ...
    FOLDER/LDCT-and-Projection-data/C002/12-23-2021-NA-NA-62464/1.000000-Full Dose Images-71581/1-001.dcm  ...

The folder that holds the patients can be given as well. Only the scanners of one of the two manufacturers provide
low-dose images (150 of the 299 patients); patients without them are skipped.

Split: 200 : 59, the paper's ratio, which gives 116 and 34 (the paper does not name its 259 cases);
`layout.split_by_ratio` chooses them.
"""

from pathlib import Path

from mvg.data.case import Card, Case, DataSet
from mvg.data.layout import Published, paths_matching, split_by_ratio

_PATIENT = r"([CLN]\d{3})"
SET = Published(
    Card(
        name="ldct",
        title="LDCT-and-Projection-data",
        modality="CT",
        region="head, chest and abdomen",
        channels=("CT, low dose",),
        units="HU",
        image_target="CT, full dose",
        image_task="denoising",
        license="CC BY 4.0 (chest and abdomen)",
        citation="McCollough et al., Low dose CT image and projection data, The Cancer Imaging Archive, 2020, doi "
        "10.7937/9npb-2637; Moen et al., Medical Physics 48(2), 2021, doi 10.1002/mp.14594",
    ),
    tree="PATIENT/STUDY with a series '...Low Dose Images...' and a series '...Full Dose Images...'",
    access="https://www.cancerimagingarchive.net/collection/ldct-and-projection-data, with the NBIA Data Retriever",
    split="ours, at the paper's share of 200 : 59: 116 / 34",
)


def recognizes(folder: Path) -> bool:
    """Whether a patient's study has a series of low or full dose images."""
    return any(_series(study, "(?:low|full)") for patient in _patients(folder) for study in _studies(patient))


def open(folder: Path) -> DataSet:
    """Opens all patients with low-dose images; FileError when a full dose is missing or there is no patient."""
    cases = [case for patient in _patients(folder) for case in _cases(patient)]
    if not cases:
        raise SET.incomplete(f"'{folder}' holds no patient with low-dose images")
    return SET.data_set(split_by_ratio(cases, 200, 59))


def _patients(folder: Path) -> list[Path]:
    below = folder / "LDCT-and-Projection-data"
    return list(paths_matching(below if below.is_dir() else folder, _PATIENT).values())


def _studies(patient: Path) -> list[Path]:
    return [path for path in paths_matching(patient, r"(.+)").values() if path.is_dir()]


def _series(study: Path, dose: str) -> Path | None:
    folders = paths_matching(study, rf"(?i)(.*\b{dose} dose images.*)").values()
    return next((path for path in folders if path.is_dir()), None)


def _cases(patient: Path) -> list[Case]:
    """The patient's pair, from the first study with low-dose images; empty without such a study."""
    for study in _studies(patient):
        low, full = _series(study, "low"), _series(study, "full")
        if low is not None and full is None:
            raise SET.incomplete(f"'{study}' has no series called ...Full Dose Images...")
        if low is not None:
            return [Case(patient.name, SET.card.patient_of(patient.name), (low,), target=full)]
    return []
