"""The modality that an image's file states, as DICOM does."""

from mvg.imaging.volume import Volume

_CT = "CT"


def stated_modality(image: Volume) -> str | None:
    """ "CT", another modality by its DICOM code ("MR", "US", ...), or None where the file does not say it."""
    if image.header is None or image.header.kind != "dicom":
        return None
    return image.header.content.decode("ascii", "replace") or None


def states_other_than_ct(image: Volume) -> bool:
    """Whether the file states a modality that is not CT, so that HU must not be guessed."""
    return stated_modality(image) not in (None, _CT)
