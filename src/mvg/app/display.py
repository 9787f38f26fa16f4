"""Progress on standard error, for people: silent where nobody watches a terminal."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[str, int, int], None]
"""Called with what is going on, how much is done, and how much there is."""


@contextmanager
def bars(quiet: bool) -> Iterator[Show]:
    """One bar per thing that is shown, gone when all is done.

    Nothing at all if `quiet`, without a terminal, or from another than the first of several processes.
    """
    if quiet or not sys.stderr.isatty() or os.environ.get("LOCAL_RANK", "0") != "0":
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        known: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in known:
                known[what] = progress.add_task(what)
            progress.update(known[what], completed=done, total=total, visible=done < total)

        yield show
