"""What can go wrong on the user's side, as one tree.

    MvgError                 anything a user can mend; one line, no traceback on the command line
    ├── FileError          a file or folder is missing, unreadable, unwritable or of the wrong kind
    ├── GeometryError      grids, shapes or affines that do not fit together
    ├── PromptError        example pairs that cannot serve as prompts
    ├── WeightsError       weights that are unknown, damaged or of another version
    ├── RecipeError        a recipe or suite with an unknown key or an impossible value
    ├── BenchmarkError     a benchmark that cannot be run here: a missing library, download, memory or disk
    └── UnknownNameError          a name that no contribution carries; lists the known ones

Broken invariants of our own are plain `AssertionError`s: they are defects, not user errors.
"""

from collections.abc import Callable, Iterable


class MvgError(Exception):
    """A problem that the user can mend, told in one line: what was found, what was expected, what to do."""

    def __init__(self, found: str, expected: str, action: str) -> None:
        self.found, self.expected, self.action = found, expected, action
        super().__init__(" ".join(f"{found}; expected {expected}; {action}.".split()))

    def __reduce__(self) -> tuple[Callable[..., "MvgError"], tuple[type["MvgError"], str, str, str]]:
        return _again, (type(self), self.found, self.expected, self.action)


def _again(kind: type[MvgError], found: str, expected: str, action: str) -> MvgError:
    """A problem as it was in another process, whatever its own kind takes to be made."""
    problem = kind.__new__(kind)
    MvgError.__init__(problem, found, expected, action)
    return problem


class FileError(MvgError):
    """A file or folder is missing, unreadable, unwritable or of the wrong kind."""


class GeometryError(MvgError):
    """Grids, shapes or affines that do not fit together."""


class PromptError(MvgError):
    """Example pairs that cannot serve as prompts."""


class WeightsError(MvgError):
    """Weights that are unknown, damaged or of another version."""


class RecipeError(MvgError):
    """A recipe or suite with an unknown key or an impossible value."""


class BenchmarkError(MvgError):
    """A benchmark that cannot be run here: a missing library, download, memory or disk."""


class UnknownNameError(MvgError):
    """A name that no contribution carries."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no {kind} is called '{name}'", f"one of {', '.join(sorted(known))}", "choose one of these")
