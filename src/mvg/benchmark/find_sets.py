"""Finds the data sets of a suite in a folder."""

from pathlib import Path

from mvg._plugins import contributions
from mvg.benchmark.suite import Suite
from mvg.benchmark.synthetic_sets import make_synthetic_sets
from mvg.data import DataSet, open_set, sets_in
from mvg.data import sets as layouts
from mvg.errors import BenchmarkError, FileError, UnknownNameError


def sets_of(suite: Suite, data: Path | None, output: Path) -> dict[str, DataSet]:
    """The suite's sets by name. FileError for one that is missing or incomplete, in the words of its own layout."""
    if suite.synthetic:
        data = make_synthetic_sets(output / "data")
    if data is None:
        raise BenchmarkError(f"no data for the suite {suite.name}", "a folder of sets", "name it with --data")
    if not data.is_dir():
        raise FileError(f"{data} is not a folder", "a folder of data sets", "check --data")
    if suite.sets:
        return {name: _named_set(name, data / suite.folders.get(name, name), data) for name in suite.sets}
    opened = [data_set for folder in sorted(data.iterdir()) if folder.is_dir() for data_set in _sets_in(folder)]
    if not opened:
        raise FileError(
            f"{data} holds no data sets", "one folder per set, for example in the nnU-Net raw layout", "check --data"
        )
    return {data_set.card.name: data_set for data_set in opened}


def _named_set(name: str, folder: Path, data: Path) -> DataSet:
    """A set by its name: in the layout of its owners, or in any folder of that name."""
    opened = {data_set.card.name: data_set for data_set in _sets_in(folder)}
    if name in opened:
        return opened[name]
    if name in contributions(layouts):
        return open_set(name, folder)  # its error says which files are expected and where to get them
    folders = {path.name for path in data.iterdir() if path.is_dir()} if data.is_dir() else set()
    raise UnknownNameError(f"data set in {data}", name, folders | set(contributions(layouts)))


def _sets_in(folder: Path) -> list[DataSet]:
    """The sets in a folder, none where it is no data set; FileError where it is a broken one."""
    is_known = any(layout.recognizes(folder) for layout in contributions(layouts).values())
    return sets_in(folder) if is_known else []
