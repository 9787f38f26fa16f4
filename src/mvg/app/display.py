"""What a command shows while it works: progress bars and warnings, on standard error."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

OnProgress = Callable[[str, int, int], None]
"""Called with the name of the work, how much of it is done, and how much there is."""


@contextmanager
def progress_bars(quiet: bool) -> Iterator[OnProgress]:
    """One bar for each kind of work; a bar disappears when its work is done.

    There are no bars if `quiet`, without a terminal, or in other than the first of several processes. What is odd is
    said all the same: a wrong answer without a word is worse than a line too many.
    """
    if quiet or not sys.stderr.isatty() or os.environ.get("LOCAL_RANK", "0") != "0":
        yield lambda _work, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bars: dict[str, TaskID] = {}

        def on_progress(work: str, done: int, total: int) -> None:
            if work not in bars:
                bars[work] = progress.add_task(work)
            progress.update(bars[work], completed=done, total=total, visible=done < total)

        yield on_progress


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print the warnings of mvg's own loggers, each as one line; other libraries stay silent."""
    root, ours, handler = logging.getLogger(), logging.getLogger("mvg"), _LineHandler(logging.WARNING)
    silent, level = logging.NullHandler(), root.level
    root.addHandler(silent)  # without any handler, Python prints the warnings of all libraries
    root.setLevel(logging.CRITICAL)
    ours.addHandler(handler)
    ours.setLevel(logging.WARNING)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(logging.NOTSET)
        root.removeHandler(silent)
        root.setLevel(level)


def print_line(line: str) -> None:
    """Print a line about what happened on standard error."""
    print(f"mvg: {line}", file=sys.stderr)


def print_notes(notes: Sequence[str], paths: Sequence[Path | str]) -> None:
    """Print notes, each as a line on standard error, and then the paths of files."""
    for note in notes:
        print_line(note)
    for path in paths:
        print(path)


class _LineHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print_line(" ".join(record.getMessage().split()))
