"""What an image's file states of its modality and its patient, as DICOM does."""

from mvg.imaging.volume import Volume

_CT = "CT"


def stated_modality(image: Volume) -> str | None:
    """ "CT", another modality by its DICOM code ("MR", "US", ...), or None where the file does not say it."""
    return _stated(image)[0] or None


def states_other_than_ct(image: Volume) -> bool:
    """Whether the file states a modality that is not CT, so that HU must not be guessed."""
    return stated_modality(image) not in (None, _CT)


def stated_patient(image: Volume) -> str:
    """The identifier of the patient, "" where the file has none. It is not written to any file of mvg."""
    return _stated(image)[1]


def _stated(image: Volume) -> tuple[str, str]:
    if image.header is None or image.header.kind != "dicom":
        return "", ""
    modality, _, patient = image.header.content.decode("utf-8", "replace").partition("\n")
    return modality, patient
