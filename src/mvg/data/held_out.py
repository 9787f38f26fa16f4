"""Cases that must never be trained on: a list beside the data, and a check that fails when one of them is found."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from mvg.data.case import DataSet
from mvg.errors import FileProblem

HeldOut = Mapping[str, frozenset[str]]
"""Set name -> ids of patients or cases, as `_plain` writes them."""


def read_held_out(path: Path) -> HeldOut:
    """Reads `{set name: [patient or case, ...]}` from a JSON file; what is said in words instead of a list is skipped.

    Raises FileProblem for anything else.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise _no_list(path, str(problem)) from problem
    if not isinstance(listed, dict) or not all(isinstance(ids, list | str) for ids in listed.values()):
        raise _no_list(path, "no table of sets, each with a list")
    return {
        str(name): frozenset(_plain(str(one)) for one in ids) for name, ids in listed.items() if isinstance(ids, list)
    }


def check_held_out(found: DataSet, folder: Path, held_out: HeldOut) -> None:
    """Raises FileProblem if a case or its patient is held out of this set, known by its card's or its folder's name.

    Ids are compared without capitals, signs and spaces: "benign (10)" is benign_10.
    """
    ids = held_out.get(found.card.name, frozenset()) | held_out.get(folder.resolve().name, frozenset())
    caught = [case.name for case in found.cases if {_plain(case.name), _plain(case.patient)} & ids]
    if caught:
        raise FileProblem(
            f"{len(caught)} held-out cases in {folder} ({', '.join(caught[:3])}{', ...' if caught[3:] else ''})",
            "none of those that are listed",
            "take them out of the folder",
        )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _no_list(path: Path, why: str) -> FileProblem:
    return FileProblem(f"cannot read held-out cases from {path} ({why})", "a JSON file {set: [ids]}", "check the path")
