"""Cases that must never be used for training: reads a list of them and checks data sets against it."""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mvg.data.case import DataSet
from mvg.errors import FileError

_NUMBERED = re.compile(r"(\D*)(\d+)[\W_]*", re.ASCII)


@dataclass(frozen=True)
class HeldOut:
    """The held-out cases of one data set.

    sets: possible names of the data set, normalized by `_plain`; ids: patients or cases, as listed; descriptions:
    entries in free text, which cannot be compared with names.
    """

    sets: frozenset[str]
    ids: tuple[str, ...]
    descriptions: tuple[str, ...]


def read_held_out(path: Path) -> tuple[HeldOut, ...]:
    """Reads `{set name: [patient or case, ...]}` from a JSON file; a name may list several sets, "a and b".

    Raises FileError for an unreadable file and for entries that are neither a list nor a text.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(entries, dict) or not all(isinstance(ids, list | str) for ids in entries.values()):
        raise _unreadable(path, "it is not a table of sets, each with a list")
    return tuple(_entry_of(name, ids) for name, ids in entries.items())


def check_held_out(data_set: DataSet, folder: Path, held_out: Sequence[HeldOut]) -> tuple[str, ...]:
    """Raises FileError if this set holds a held-out case or patient; the name of its card or folder identifies the set.

    Names are compared without case, signs and spaces: "benign (10)" equals benign_10. Names of letters and one number
    are compared by the number alone ("34" equals patient034), unless the list or the set has numbers after different
    letters: "benign (10)" does not equal malignant_10. Returns one line for each description in free text, because
    it cannot be checked.
    """
    sets = {_plain(data_set.card.name), _plain(folder.resolve().name)}
    relevant = [entry for entry in held_out if entry.sets & sets]
    ids = [item for entry in relevant for item in entry.ids]
    cases, patients = ({getattr(case, field) for case in data_set.cases} for field in ("name", "patient"))
    matched_cases, matched_patients = _names_in(cases, ids), _names_in(patients, ids)
    held_out_cases = [
        case.name for case in data_set.cases if case.name in matched_cases or case.patient in matched_patients
    ]
    if held_out_cases:
        first = ", ".join(held_out_cases[:3]) + (", ..." if held_out_cases[3:] else "")
        raise FileError(
            f"{len(held_out_cases)} held-out cases in {folder} ({first})",
            "no case of the held-out list",
            "remove them from the folder",
        )
    return tuple(
        f"held-out cases of {data_set.card.name} that are described in words are not checked: '{description}'"
        for entry in relevant
        for description in entry.descriptions
    )


def _entry_of(name: str, entry: list[object] | str) -> HeldOut:
    items = (entry,) if isinstance(entry, str) else tuple(map(str, entry))
    is_text = isinstance(entry, str)
    descriptions = tuple(item for item in items if is_text or (" " in item and not _NUMBERED.fullmatch(item)))
    sets = frozenset(_plain(item) for item in (name, *re.split(",| and ", name)))
    return HeldOut(sets, () if is_text else items, descriptions)


def _names_in(names: Collection[str], ids: Collection[str]) -> set[str]:
    """The names that are equal to one of `ids`."""
    prefixes = [
        {letters for letters, number in map(_letters_and_number, group) if letters and number} for group in (names, ids)
    ]
    letters_differ = any(len(letters) > 1 for letters in prefixes)
    id_parts = {_letters_and_number(item) for item in ids}
    numbers = {number for letters, number in id_parts if number and not (letters and letters_differ)}
    return {name for name in names if _letters_and_number(name) in id_parts or _letters_and_number(name)[1] in numbers}


def _letters_and_number(name: str) -> tuple[str, str]:
    """Splits a name of letters and one number, dropping leading zeros; any other name has an empty number."""
    numbered = _NUMBERED.fullmatch(name)
    return (_plain(name), "") if numbered is None else (_plain(numbered[1]), str(int(numbered[2])))


def _plain(name: str) -> str:
    """The name in lower case, without signs and spaces."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _unreadable(path: Path, reason: str) -> FileError:
    return FileError(f"cannot read held-out cases from {path} ({reason})", "a JSON file {set: [ids]}", "check the path")
