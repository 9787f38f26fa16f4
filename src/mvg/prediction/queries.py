"""Queries as users name them: files and folders, and of DICOM exports one series or each of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mvg._remote import Address, is_url, name_in
from mvg.errors import FileError, MvgError, PromptError
from mvg.imaging.dicom.files import warn
from mvg.imaging.dicom.series import ALL, Series, all_series
from mvg.imaging.files import is_dicom, stem_of, volume_count


@dataclass(frozen=True)
class Query:
    """An image to predict; series: which DICOM series of the path, see `mvg.read`; name: of its files, "" for the
    path's. url: where the file is fetched from when it is predicted, "" for one of this machine; the path of such a
    query is its name alone.
    """

    path: Path
    series: str = ""
    name: str = ""
    url: str = ""


def volumes_of(queries: Sequence[Query], volume: str) -> tuple[Query, ...]:
    """The queries with one volume of files that hold several, such as time points: a number, or "all" for a query each.

    Files that lack the volume, or cannot be read, are refused when they are read. Raises PromptError for other words,
    and for all volumes of a URL, which is fetched later.
    """
    if not volume:
        return tuple(queries)
    if volume != ALL and not volume.isdecimal():
        raise PromptError(f"--volume {volume}", f"a number from 0 on, or {ALL}", "correct it")
    chosen = list[Query]()
    for query in queries:
        if query.url and volume == ALL:
            raise PromptError("--volume all for a URL", "a file of this machine, or one number", "fetch it first")
        count = 0 if query.url else _volume_count(query)
        if count == 1 and volume in ("0", ALL):
            chosen.append(query)
            continue
        numbers = range(count) if volume == ALL else [int(volume)]
        digits, name = len(str(count - 1)), query.name or name_of_export(query.path)
        chosen += [replace(query, series=_of_volume(query, n), name=f"{name}_{n:0{digits}d}") for n in numbers]
    return tuple(chosen)


def _volume_count(query: Query) -> int:
    try:
        return volume_count(query.path, query.series)
    except MvgError:  # said again, of this query alone, when it is read
        return 1


def _of_volume(query: Query, number: int) -> str:
    """The series of a query, and a volume of it."""
    return f"{query.series} volume {number}".strip()


def query_paths(addresses: Sequence[Address]) -> tuple[Path, ...]:
    """The path of each query; of a URL the name of its file."""
    return tuple(Path(name_in(one)) if is_url(one) else Path(one) for one in addresses)


def queries_of(addresses: Sequence[Address], series: str = "") -> tuple[Query, ...]:
    """The queries at these paths and URLs. Of a URL, one file is fetched: an image, or a zip archive of DICOM.

    series: "" for the only or largest series of DICOM exports, a UID or its end, "largest", or "all" for a query per
    series. Raises PromptError for a series without DICOM among the paths, FileError for an export without an image.
    """
    remote_series = "" if series == ALL else series
    remote = [Query(Path(name_in(one)), remote_series, url=str(one)) for one in addresses if is_url(one)]
    paths = [Path(one) for one in addresses if not is_url(one)]
    return (*_local(paths, series), *remote) if paths else tuple(remote)


def _local(paths: Sequence[Path], series: str) -> tuple[Query, ...]:
    if not series:
        return tuple(Query(path) for path in paths)
    exports = [path for path in paths if _is_export(path)]
    if not exports and all(path.exists() for path in paths):
        raise PromptError(f"--series {series} for queries that are no DICOM", "a DICOM folder or archive", "omit it")
    queries = list[Query]()
    for path in paths:
        if path not in exports:
            queries.append(Query(path))
        elif series == ALL:
            queries += _each(path)
        else:
            queries.append(Query(path, series))
    return tuple(queries)


def _is_export(path: Path) -> bool:
    try:
        return is_dicom(path)
    except FileError:  # said again, of this query alone, when it is read
        return False


def _each(path: Path) -> list[Query]:
    """A query for each series of an export, named by the export, the series' number and, where needed, its UID."""
    exported = all_series(path, warn)
    names = [f"{name_of_export(path)}_{_number(series.header)}" for series in exported]
    return [
        Query(path, series.uid, name if names.count(name) == 1 else f"{name}_{_end(series)}")
        for series, name in zip(exported, names, strict=True)
    ]


def name_of_export(path: Path) -> str:
    """What files made from an export are called: as the path without suffix; a DICOMDIR gives its folder's name."""
    path = path.resolve() if path.name in ("", "..") or path.name.upper() == "DICOMDIR" else path
    path = path.parent if path.name.upper() == "DICOMDIR" else path
    return path.name if path.is_dir() else stem_of(path)


def _number(header: Any) -> str:
    number = str(header.get("SeriesNumber") or "")
    return number if number.isdigit() else "series"


def _end(series: Series) -> str:
    return "".join(letter for letter in series.uid if letter.isalnum())[-8:]
