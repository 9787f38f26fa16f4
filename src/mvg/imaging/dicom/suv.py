"""PET in standardized uptake values by body weight (SUVbw), from Bq/ml and what the header says of dose and times."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

UNITS = "GML"
"""How DICOM names the units of SUVbw: grams per milliliter."""
_PHILIPS_FACTOR = (0x7053, 0x1000)  # from counts to SUV
_DAY = timedelta(days=1)


def suv_factor(headers: Sequence[Any]) -> tuple[float | None, str]:
    """The factor from the units of a PET series to SUVbw, and a note; None where values are kept as they are.

    headers: of all images. For Bq/ml: body weight over the dose that was left when the scan began (decay correction
    START), or over the injected dose (ADMIN). The note is "" for series that are no PET.
    """
    first = headers[0]
    if str(first.get("Modality", "")) != "PT":
        return None, ""
    units = str(first.get("Units", ""))
    if units == UNITS:
        return None, "PET in SUV, as the scanner stored it"
    if units == "CNTS" and _PHILIPS_FACTOR in first:
        return _positive(first[_PHILIPS_FACTOR].value, "the SUV factor"), "PET in counts is read as SUV"
    if units != "BQML":
        return None, f"PET in units '{units}', which cannot be converted to SUV; values are kept"
    try:
        return _from_activity(headers), "PET in Bq/ml is read as SUV by body weight"
    except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
        missing = error.args[0] if error.args else "a value"
        return None, f"PET in Bq/ml is not converted to SUV, because {missing} is missing or impossible"


def _from_activity(headers: Sequence[Any]) -> float:
    first = headers[0]
    weight = _positive(first.get("PatientWeight"), "PatientWeight")
    drug = (first.get("RadiopharmaceuticalInformationSequence") or [None])[0]
    if drug is None:
        raise KeyError("RadiopharmaceuticalInformationSequence")
    dose = _positive(drug.get("RadionuclideTotalDose"), "RadionuclideTotalDose")
    correction = str(first.get("DecayCorrection", ""))
    if correction == "START":
        half_life = _positive(drug.get("RadionuclideHalfLife"), "RadionuclideHalfLife")
        dose *= 2 ** (-_seconds_since_injection(headers, drug) / half_life)
    elif correction != "ADMIN":
        raise ValueError(f"DecayCorrection '{correction}', START or ADMIN,")
    return 1000 * weight / dose


def _seconds_since_injection(headers: Sequence[Any], drug: Any) -> float:
    """From the injection to the time that activities are corrected to: the start of the series.

    Some scanners write the time of processing as the time of the series; the first acquisition is earlier then.
    """
    acquired = min(_time(one, "AcquisitionDate", "AcquisitionTime", "AcquisitionTime") for one in headers)
    started = _time(headers[0], "SeriesDate", "SeriesTime", "SeriesTime")
    start = min(acquired, started)
    if drug.get("RadiopharmaceuticalStartDateTime"):
        injected = _moment(str(drug.RadiopharmaceuticalStartDateTime), "RadiopharmaceuticalStartDateTime")
    else:
        clock = str(drug.get("RadiopharmaceuticalStartTime") or "")
        injected = _moment(start.strftime("%Y%m%d") + clock, "RadiopharmaceuticalStartTime")
        injected -= _DAY if injected > start else timedelta()
    seconds = (start - injected).total_seconds()
    if not 0 <= seconds < _DAY.total_seconds():
        raise ValueError("the time of the injection")
    return seconds


def _time(header: Any, date: str, clock: str, name: str) -> datetime:
    return _moment(str(header.get(date) or header.get("SeriesDate") or "") + str(header.get(clock) or ""), name)


def _moment(text: str, name: str) -> datetime:
    try:
        return datetime.strptime(text.split(".")[0].split("+")[0][:14], "%Y%m%d%H%M%S")
    except ValueError:
        raise ValueError(name) from None


def _positive(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise KeyError(name) from None
    if not 0 < number < float("inf"):
        raise ValueError(name)
    return number
