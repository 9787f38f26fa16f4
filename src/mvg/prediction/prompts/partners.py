"""Images and targets of a folder belong together by their names; where names differ, a message says which may."""

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from pathlib import Path

from mvg.errors import PromptError
from mvg.imaging.folder import listed

_ALIKE = 0.6  # similarity of two names without numbers that may belong together


def check_partners(folder: Path, images: Mapping[str, Path], targets: Mapping[str, Path]) -> None:
    """Raises PromptError for images and targets without a partner, with two names that may belong together."""
    if not images or not targets:
        empty = "images" if not images else "targets"
        raise PromptError(f"'{folder / empty}' is empty", "at least one image and its target", "add prompts")
    alone = sorted(set(images) ^ set(targets))
    if alone:
        raise PromptError(
            f"'{folder}' has no partner for {listed(alone)}",
            "the same names in images/ and targets/, apart from suffixes such as .nii.gz",
            _renaming(set(images) - set(targets), set(targets) - set(images)),
        )


def _renaming(images: set[str], targets: set[str]) -> str:
    """What to do about images and targets without a partner: rename those whose names are alike."""
    for image in sorted(images):
        alike = max(sorted(targets), key=lambda target: _likeness(image, target), default="")
        if _likeness(image, alike):
            return f"rename one of '{image}' and '{alike}' if they belong together, and the others alike"
    return "add or remove files"


def _likeness(one: str, other: str) -> int:
    """How many letters the words and numbers that two names share have; 0 where no number is shared, if any is there.

    Names without numbers must be similar as a whole.
    """
    ours, theirs = _words(one), _words(other)
    shared = ours & theirs
    has_numbers = any(word.isdecimal() for word in ours | theirs)
    if not any(word.isdecimal() for word in shared) if has_numbers else not _are_similar(one, other):
        return 0
    return 1 + sum(map(len, shared))


def _words(name: str) -> set[str]:
    """The words and numbers of a name, without the difference between a and A, or 7 and 007."""
    words = re.findall(r"\d+|[^\W\d_]+", name.casefold())
    return {str(int(word)) if word.isdecimal() else word for word in words}


def _are_similar(one: str, other: str) -> bool:
    return SequenceMatcher(None, one.casefold(), other.casefold()).ratio() >= _ALIKE
