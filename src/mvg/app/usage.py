"""Wrong usage of the command line: one line that names the help."""

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from mvg.app.display import print_line
from mvg.errors import MvgError

_RENAMED = {
    "--look": "--zoom auto (formerly --look close) or --zoom off (formerly --look whole)",
    "--reject": "--min-probability P (formerly --reject P)",
}
# The error of typer's parser, which typer does not export.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def check_renamed(arguments: Sequence[str]) -> None:
    """Raises MvgError for an option that has another name now."""
    for argument in arguments:
        name = argument.split("=")[0]
        if name in _RENAMED:
            raise MvgError(f"the option {name}", _RENAMED[name], "use the new name")


def exit_with_usage(error: Any) -> NoReturn:
    """Print a usage error as one line that names the help, or the help itself where no argument was given."""
    message = error.format_message()
    if "\n" in message:  # the whole help
        print(message)
    else:
        command = "mvg" if error.ctx is None else error.ctx.command_path
        print_line(f"{message.rstrip('.')}; expected options as '{command} --help' lists them; correct the command.")
    sys.exit(2)
