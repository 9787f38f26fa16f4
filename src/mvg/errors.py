"""What can go wrong on the user's side, as one tree.

    MvgError                 anything a user can mend; one line, no traceback on the command line
    ├── FileProblem          a file or folder is missing, unreadable, unwritable or of the wrong kind
    ├── GeometryProblem      grids, shapes or affines that do not fit together
    ├── PromptProblem        example pairs that cannot serve as prompts
    ├── WeightsProblem       weights that are unknown, damaged or of another version
    ├── RecipeProblem        a recipe or suite with an unknown key or an impossible value
    ├── BenchmarkProblem     a benchmark that cannot be run here: a missing library, download, memory or disk
    └── UnknownName          a name that no contribution carries; lists the known ones

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


class FileProblem(MvgError):
    """A file or folder is missing, unreadable, unwritable or of the wrong kind."""


class GeometryProblem(MvgError):
    """Grids, shapes or affines that do not fit together."""


class PromptProblem(MvgError):
    """Example pairs that cannot serve as prompts."""


class WeightsProblem(MvgError):
    """Weights that are unknown, damaged or of another version."""


class RecipeProblem(MvgError):
    """A recipe or suite with an unknown key or an impossible value."""


class BenchmarkProblem(MvgError):
    """A benchmark that cannot be run here: a missing library, download, memory or disk."""


class UnknownName(MvgError):
    """A name that no contribution carries."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no {kind} is called '{name}'", f"one of {', '.join(sorted(known))}", "choose one of these")
