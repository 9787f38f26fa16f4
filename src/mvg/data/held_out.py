"""Cases that must never be trained on: a list beside the data, and a check that fails when one of them is found."""

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
    """What is listed of a set.

    sets: its names, as `_plain` writes them; ids: patients or cases, as listed; words: what cannot be compared.
    """

    sets: frozenset[str]
    ids: tuple[str, ...]
    words: tuple[str, ...]


def read_held_out(path: Path) -> tuple[HeldOut, ...]:
    """Reads `{set name: [patient or case, ...]}` from a JSON file; a name may be that of several sets, "a and b".

    Raises FileError for what is neither a list nor said in words.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise _no_list(path, str(problem)) from problem
    if not isinstance(listed, dict) or not all(isinstance(ids, list | str) for ids in listed.values()):
        raise _no_list(path, "no table of sets, each with a list")
    return tuple(_listed(name, ids) for name, ids in listed.items())


def check_held_out(found: DataSet, folder: Path, held_out: Sequence[HeldOut]) -> tuple[str, ...]:
    """Raises FileError if a case or its patient is held out of this set, known by its card's or its folder's name.

    Names are compared without capitals, signs and spaces, "benign (10)" is benign_10; those of letters and one number
    by the number alone, "34" is patient034, unless different letters stand before the numbers of the list or of the
    set: then by both, "benign (10)" is not malignant_10. Returns a line for each entry in words, which nothing is like.
    """
    sets = {_plain(found.card.name), _plain(folder.resolve().name)}
    mine = [listed for listed in held_out if listed.sets & sets]
    ids = [one for listed in mine for one in listed.ids]
    cases, patients = ({getattr(case, what) for case in found.cases} for what in ("name", "patient"))
    caught_cases, caught_patients = _among(cases, ids), _among(patients, ids)
    caught = [case.name for case in found.cases if case.name in caught_cases or case.patient in caught_patients]
    if caught:
        raise FileError(
            f"{len(caught)} held-out cases in {folder} ({', '.join(caught[:3])}{', ...' if caught[3:] else ''})",
            "none of those that are listed",
            "take them out of the folder",
        )
    return tuple(
        f"held-out cases of {found.card.name} that are listed in words were not looked for: '{words}'"
        for listed in mine
        for words in listed.words
    )


def _listed(name: str, said: list[object] | str) -> HeldOut:
    entries = (said,) if isinstance(said, str) else tuple(map(str, said))
    words = tuple(one for one in entries if isinstance(said, str) or (" " in one and not _NUMBERED.fullmatch(one)))
    sets = frozenset(_plain(one) for one in (name, *re.split(",| and ", name)))
    return HeldOut(sets, () if isinstance(said, str) else entries, words)


def _among(names: Collection[str], ids: Collection[str]) -> set[str]:
    """Those of the names that are listed."""
    before = [{letters for letters, number in map(_parts, some) if letters and number} for some in (names, ids)]
    telling = any(len(letters) > 1 for letters in before)
    known = {_parts(one) for one in ids}
    numbers = {number for letters, number in known if number and not (letters and telling)}
    return {name for name in names if _parts(name) in known or _parts(name)[1] in numbers}


def _parts(name: str) -> tuple[str, str]:
    """Letters and then one number, without zeros in front, or all of a name that is made otherwise and no number."""
    numbered = _NUMBERED.fullmatch(name)
    return (_plain(name), "") if numbered is None else (_plain(numbered[1]), str(int(numbered[2])))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _no_list(path: Path, why: str) -> FileError:
    return FileError(f"cannot read held-out cases from {path} ({why})", "a JSON file {set: [ids]}", "check the path")
