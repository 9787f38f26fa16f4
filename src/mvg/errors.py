"""The errors that a user can correct, as one tree.

    MvgError                 any of them; one line without a traceback on the command line
    ├── FileError          a file or folder is missing, unreadable, unwritable or of the wrong kind
    ├── GeometryError      grids, shapes or affines that do not fit together
    ├── PromptError        example pairs that cannot serve as prompts
    ├── WeightsError       weights that are unknown, damaged or of another version
    ├── RecipeError        a recipe or suite with an unknown key or an impossible value
    ├── BenchmarkError     a benchmark that cannot be run here: a missing library, download, memory or disk
    ├── ProcessError       a process of a run on several devices that ended before the others
    └── UnknownNameError   a name that nothing carries; lists the known ones

Broken invariants of our own are plain `AssertionError`s: they are defects, not user errors.
"""

from collections.abc import Callable, Iterable


class MvgError(Exception):
    """An error that the user can correct, in one line: what was found, what was expected, what to do."""

    def __init__(self, message: str, expected: str, action: str) -> None:
        self.message, self.expected, self.action = message, expected, action
        super().__init__(" ".join(f"{message}; expected {expected}; {action}.".split()))

    def __reduce__(self) -> tuple[Callable[..., "MvgError"], tuple[type["MvgError"], str, str, str]]:
        return _restored, (type(self), self.message, self.expected, self.action)


def _restored(kind: type[MvgError], message: str, expected: str, action: str) -> MvgError:
    """An error of another process, with the same message; the constructor of its class is not called."""
    error = kind.__new__(kind)
    MvgError.__init__(error, message, expected, action)
    return error


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


class ProcessError(MvgError):
    """A process of a run on several devices that ended before the others."""


class UnknownNameError(MvgError):
    """A name that nothing carries: a contribution, device, window or channel."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no {kind} is called '{name}'", f"one of {', '.join(sorted(known))}", "choose one of these")


def last_line(error: BaseException) -> str:
    """The last line of another library's message, where ITK says what happened; the error's type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()[:200]


def first_line(error: BaseException) -> str:
    """The first line of another library's message, at most 200 characters; the error's type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
