"""Prompts that are CT stored with an offset, where nobody says so: only a query in HU shows it."""

from pathlib import Path

from mvg.errors import MvgError
from mvg.imaging.files import read
from mvg.imaging.intensity import finite_sample, has_offset_structure, in_hounsfield_units
from mvg.imaging.stated_modality import stated_modality
from mvg.imaging.volume import Volume
from mvg.prediction.prompts.pairs import first_channel


def is_stored_ct(prompt: Path, query: Path) -> bool:
    """Whether a prompt has the air and soft tissue of CT at an offset, beside a query that has them in HU.

    MR has such a structure by chance in one of eight scales of 12 bits, so the prompt alone shows nothing. False for
    files that state their modality, and for those that cannot be read here: who reads them next says why.
    """
    try:
        image = read(prompt)
        if stated_modality(image) is not None or in_hounsfield_units(image.voxels) or not _has_offset(image):
            return False
        return in_hounsfield_units(read(query).voxels)
    except MvgError:
        return False


def _has_offset(image: Volume) -> bool:
    return has_offset_structure(finite_sample(first_channel(image)))
