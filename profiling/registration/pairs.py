"""The pairs of images that are registered: two times of one heart, and the brains of two subjects."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from mvg.data.case import Case, Split
from mvg.data.sets import nnunet
from mvg.imaging.files import read_gray, read_labels
from mvg.imaging.volume import LabelMap, Volume


@dataclass(frozen=True)
class ImagePair:
    """A moving and a fixed case of one data set."""

    data_set: str
    moving: Case
    fixed: Case

    def images(self) -> tuple[Volume, Volume]:
        """The moving and the fixed image."""
        return read_gray(self.moving.images[0]), read_gray(self.fixed.images[0])

    def labels(self) -> tuple[LabelMap, LabelMap]:
        """The labels of the moving and of the fixed image."""
        first, second = (case.labels for case in (self.moving, self.fixed))
        assert isinstance(first, Path)
        assert isinstance(second, Path)
        return read_labels(first), read_labels(second)


def pairs_of(folder: Path, split: Split, most: int) -> Iterator[ImagePair]:
    """At most `most` pairs of a split: of each patient the first image to the second, then the other way around.

    Where patients have one image, all subjects of the split to one another, and then every third one of the other
    split to them: of two validation subjects there are too few pairs.
    """
    data = nnunet.open(folder)
    cases, others = (data.of_split(side).cases for side in (split, "val" if split == "train" else "train"))
    by_patient = defaultdict[str, list[Case]](list)
    for case in cases:
        by_patient[case.patient].append(case)
    several = [(patient[0], patient[1]) for patient in by_patient.values() if len(patient) > 1]
    if several:
        chosen = several + [(second, first) for first, second in several]
    else:
        chosen = [*permutations(cases, 2), *((moving, fixed) for moving in others[2::3] for fixed in cases)]
    for moving, fixed in chosen[:most]:
        yield ImagePair(folder.name, moving, fixed)
