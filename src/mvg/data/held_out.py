"""Cases that must never be used for training: a list beside the data, and a check against it."""

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
    """An entry of the list.

    sets: the names of its data set, in the form of `_plain`; ids: patients or cases, as listed; words: descriptions
    in words, which cannot be compared with names.
    """

    sets: frozenset[str]
    ids: tuple[str, ...]
    words: tuple[str, ...]


def read_held_out(path: Path) -> tuple[HeldOut, ...]:
    """Reads `{set name: [patient or case, ...]}` from a JSON file; a name may be that of several sets, "a and b".

    Raises FileError for entries that are neither a list nor a text.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _no_list(path, str(error)) from error
    if not isinstance(listed, dict) or not all(isinstance(ids, list | str) for ids in listed.values()):
        raise _no_list(path, "no table of sets, each with a list")
    return tuple(_entry_of(name, ids) for name, ids in listed.items())


def check_held_out(data_set: DataSet, folder: Path, held_out: Sequence[HeldOut]) -> tuple[str, ...]:
    """Raises FileError if a held-out case or patient is in this set; the set is found by its card's or folder's name.

    Names are compared without capitals, signs and spaces: "benign (10)" equals benign_10. Names of letters and one
    number are compared by the number alone, "34" equals patient034, unless the list or the set has numbers after
    different letters: "benign (10)" does not equal malignant_10. Returns a line for each entry that is a description
    in words, which cannot be checked.
    """
    sets = {_plain(data_set.card.name), _plain(folder.resolve().name)}
    relevant = [listed for listed in held_out if listed.sets & sets]
    ids = [item for listed in relevant for item in listed.ids]
    cases, patients = ({getattr(case, what) for case in data_set.cases} for what in ("name", "patient"))
    matched_cases, matched_patients = _among(cases, ids), _among(patients, ids)
    held_out_cases = [
        case.name for case in data_set.cases if case.name in matched_cases or case.patient in matched_patients
    ]
    if held_out_cases:
        first = ", ".join(held_out_cases[:3]) + (", ..." if held_out_cases[3:] else "")
        raise FileError(
            f"{len(held_out_cases)} held-out cases in {folder} ({first})",
            "none of those that are listed",
            "take them out of the folder",
        )
    return tuple(
        f"held-out cases of {data_set.card.name} that are listed in words were not looked for: '{words}'"
        for listed in relevant
        for words in listed.words
    )


def _entry_of(name: str, entry: list[object] | str) -> HeldOut:
    entries = (entry,) if isinstance(entry, str) else tuple(map(str, entry))
    words = tuple(item for item in entries if isinstance(entry, str) or (" " in item and not _NUMBERED.fullmatch(item)))
    sets = frozenset(_plain(item) for item in (name, *re.split(",| and ", name)))
    return HeldOut(sets, () if isinstance(entry, str) else entries, words)


def _among(names: Collection[str], ids: Collection[str]) -> set[str]:
    """The names that are equal to one of `ids`."""
    before = [{letters for letters, number in map(_parts, group) if letters and number} for group in (names, ids)]
    letters_differ = any(len(letters) > 1 for letters in before)
    known = {_parts(item) for item in ids}
    numbers = {number for letters, number in known if number and not (letters and letters_differ)}
    return {name for name in names if _parts(name) in known or _parts(name)[1] in numbers}


def _parts(name: str) -> tuple[str, str]:
    """A name of letters and one number as both, without leading zeros; any other name whole, with an empty number."""
    numbered = _NUMBERED.fullmatch(name)
    return (_plain(name), "") if numbered is None else (_plain(numbered[1]), str(int(numbered[2])))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _no_list(path: Path, why: str) -> FileError:
    return FileError(f"cannot read held-out cases from {path} ({why})", "a JSON file {set: [ids]}", "check the path")
