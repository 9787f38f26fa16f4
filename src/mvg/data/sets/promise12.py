"""PROMISE12: the prostate in transversal T2-weighted MRI of several centers, scanners and protocols.

Owners: the organizers of the MICCAI 2012 challenge (Radboud University Medical Center and others).
Terms: LICENSE.TXT beside the archives; the paper of the challenge must be cited.
Access: training_data.zip and test_data.zip at https://zenodo.org/records/8026660 or, after registration, at
https://promise12.grand-challenge.org.

    FOLDER/training_data/Case00.mhd (+ .raw)      FOLDER/training_data/Case00_segmentation.mhd (+ .raw)  ...
    FOLDER/test_data/Case00.mhd (+ .raw)          FOLDER/test_data/Case00_segmentation.mhd (+ .raw)      ...

Older downloads have TrainingData_Part1, _Part2 and _Part3 instead, and their test cases have no segmentations. Numbers
start again at 0 in test_data, so the cases are called train_Case00 and test_Case00.

Split: the owners' training and test cases, 50 and 30, as in the paper. When no test case has a segmentation,
`layout.split_by_ratio` splits the training cases at the same ratio: 31 and 19.
"""

from pathlib import Path

from mvg.data.case import Card, Case, DataSet, Split
from mvg.data.layout import Published, paths_matching, split_by_ratio

_NAME = r"(Case\d{2})\.mhd"
_TRAINING = ("training_data", "TrainingData_Part1", "TrainingData_Part2", "TrainingData_Part3")
SET = Published(
    Card(
        name="promise12",
        title="PROMISE12",
        modality="MRI",
        region="pelvis",
        channels=("T2",),
        labels={1: "prostate"},
        license="LICENSE.TXT of the download",
        citation="Litjens et al., Evaluation of prostate segmentation algorithms for MRI: the PROMISE12 challenge, "
        "Medical Image Analysis 18(2), 2014, doi 10.1016/j.media.2013.12.002",
    ),
    tree="training_data (or TrainingData_Part1 to 3) and test_data with Case00.mhd, .raw, Case00_segmentation.mhd, ...",
    access="training_data.zip and test_data.zip at https://zenodo.org/records/8026660, no registration",
    split="the owners': 50 / 30; 31 / 19 of the training cases where the test cases have no segmentations",
)


def recognizes(folder: Path) -> bool:
    """Whether a folder of training cases holds files such as Case00.mhd."""
    return any(paths_matching(folder / part, _NAME) for part in _TRAINING)


def open(folder: Path) -> DataSet:
    """Opens all labeled cases; FileError when a segmentation or the .raw file of a header is missing."""
    parts = [part for part in _TRAINING if (folder / part).is_dir()] or [_TRAINING[0]]
    train = [case for part in parts for case in _cases(folder / part, "train")]
    if paths_matching(folder / "test_data", r"(Case\d{2})_segmentation\.mhd"):
        return SET.data_set([*train, *_cases(folder / "test_data", "val")])
    return SET.data_set(split_by_ratio(train, 50, 30))


def _cases(folder: Path, split: Split) -> list[Case]:
    cases = []
    for number, image in SET.files(folder, _NAME).items():
        labels = SET.require(folder / f"{number}_segmentation.mhd")
        for header in (image, labels):
            SET.require(header.with_suffix(".raw"))
        name = f"{'train' if split == 'train' else 'test'}_{number}"
        cases.append(Case(name, SET.card.patient_of(name), (image,), labels, owner_split=split))
    return cases
