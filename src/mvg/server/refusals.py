"""What the server answers where it cannot do what was requested: a status and one line."""

import errno

from mvg.errors import FileError, GeometryError, MvgError, PromptError, UnknownNameError

_STATUS: dict[type[MvgError], int] = {FileError: 422, GeometryError: 422, PromptError: 422, UnknownNameError: 422}
_FULL = (errno.ENOSPC, errno.EDQUOT)


class RefusedError(Exception):
    """A request that is refused: an HTTP status, and one line with what was met, what was expected, what to do."""

    def __init__(self, status: int, message: str, expected: str, action: str) -> None:
        self.status = status
        super().__init__(str(MvgError(message, expected, action)))


def missing(kind: str, identity: str, action: str = "reload the list") -> RefusedError:
    """The refusal for an id that nothing carries."""
    return RefusedError(404, f"no {kind} '{identity[:80]}'", f"the id of a {kind} that exists", action)


def conflict(message: str, expected: str, action: str) -> RefusedError:
    """The refusal for a request that does not fit the present state."""
    return RefusedError(409, message, expected, action)


def status_of(error: Exception) -> int:
    """The HTTP status for an error."""
    if isinstance(error, RefusedError):
        return error.status
    if isinstance(error, MvgError):
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return 507
        return _STATUS.get(type(error), 422)
    if isinstance(error, OSError):
        return 507 if error.errno in _FULL else 500
    return 500


def line_of(error: Exception) -> str:
    """The one line about an error that a user sees."""
    if isinstance(error, RefusedError | MvgError):
        return " ".join(str(error).split())
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        advice = "free space" if error.errno in _FULL else "check the folder's permissions"
        return f"a file of the workbench cannot be used ({reason}); expected a writable folder with space; {advice}."
    if isinstance(error, MemoryError):
        return "the request does not fit into memory; expected a smaller study; crop it or close other sessions."
    return f"an unexpected {type(error).__name__}; expected none; look into the server's log and report it."
