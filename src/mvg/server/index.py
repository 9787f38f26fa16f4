"""What lists need of all studies, in SQLite: quick to page through, and made again from the files where it is lost."""

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from mvg.server.scanning import StudyFile

STATES = ("correcting", "answered", "new", "example", "done")
"""The states of a study for a task, in the order in which they are listed.

An "example" is nothing else but an example of the task; new studies that cannot be read are counted as "unreadable".
"""

_SCHEMA = """
create table if not exists studies (
  id text primary key, path text not null, origin text not null, format text not null, size integer not null,
  modified real not null, labels text, error text, details text not null default '{}');
create table if not exists work (
  task text not null, study text not null, state text not null, quality real, strokes integer not null default 0,
  updated real, primary key (task, study)) without rowid;
create index if not exists studies_path on studies (path);
"""
_ORDER = {
    "name": "s.path collate nocase {0}",
    "modified": "s.modified {0}, s.path",
    "quality": "coalesce(w.state, 'new') = 'done', w.quality is null, w.quality {0}, s.path collate nocase",
    "state": "case coalesce(w.state, 'new') when 'correcting' then 0 when 'answered' then 1 when 'new' then 2 else 3 "
    "end {0}, s.path collate nocase",
}
SORTS = tuple(_ORDER)
_STATE = (
    "case when w.state is not null then w.state when s.id in (select value from json_each(?)) then 'example' "
    "when s.error is not null then 'unreadable' else 'new' end"
)


@dataclass(frozen=True)
class Work:
    """How far a study is for a task: its state, an estimate of its quality, its steps, and when it last changed."""

    state: str = "new"
    quality: float | None = None
    strokes: int = 0
    updated: float | None = None


@dataclass(frozen=True)
class StudyRow:
    """A study of the list: its file, what was learned by reading it, and how far it is."""

    file: StudyFile
    id: str
    details: Mapping[str, Any]
    work: Work


@dataclass(frozen=True)
class Query:
    """Which studies to list, see the documentation of the interface. examples: the studies that are the task's."""

    task: str | None = None
    state: str | None = None
    examples: tuple[str, ...] = ()
    search: str = ""
    sort: str = "name"
    order: str = "asc"
    offset: int = 0
    limit: int = 50


class Index:
    """The database. Safe for several threads."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, RLock()
        try:
            self._database = self._connect()
        except sqlite3.DatabaseError:  # damaged: it holds nothing that the files do not
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    Path(f"{path}{suffix}").unlink()
            self._database = self._connect()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def replace_studies(self, files: Iterable[StudyFile]) -> int:
        """Take the studies of a scan instead of those before; what is known of unchanged files stays. Their number."""
        with self._lock, self._database:
            before = {
                row["id"]: row for row in self._database.execute("select id, size, modified, details from studies")
            }
            self._database.execute("delete from studies")
            rows = []
            for file in files:
                old = before.get(file.id)
                same = old is not None and (old["size"], old["modified"]) == (file.size, file.modified)
                rows.append(_row(file, old["details"] if old is not None and same else "{}"))
            self._database.executemany("insert or replace into studies values (?,?,?,?,?,?,?,?,?)", rows)
            return len(rows)

    def add_study(self, file: StudyFile) -> None:
        """Add or replace one study."""
        with self._lock, self._database:
            self._database.execute("insert or replace into studies values (?,?,?,?,?,?,?,?,?)", _row(file, "{}"))

    def remove_study(self, study: str) -> None:
        """Forget one study and how far it is."""
        with self._lock, self._database:
            self._database.execute("delete from studies where id = ?", (study,))
            self._database.execute("delete from work where study = ?", (study,))

    def set_details(self, study: str, details: Mapping[str, Any], error: str | None) -> None:
        """Keep what was learned by reading a study, or why it cannot be read."""
        with self._lock, self._database:
            self._database.execute(
                "update studies set details = ?, error = ? where id = ?", (json.dumps(details), error, study)
            )

    def set_work(self, task: str, study: str, work: Work) -> None:
        """Keep how far a study is."""
        with self._lock, self._database:
            self._database.execute(
                "insert or replace into work values (?,?,?,?,?,?)",
                (task, study, work.state, work.quality, work.strokes, work.updated or time.time()),
            )

    def replace_work(self, rows: Iterable[tuple[str, str, Work]]) -> None:
        """Take these states instead of all before."""
        with self._lock, self._database:
            self._database.execute("delete from work")
            self._database.executemany(
                "insert into work values (?,?,?,?,?,?)",
                ((task, study, w.state, w.quality, w.strokes, w.updated) for task, study, w in rows),
            )

    def remove_task(self, task: str) -> None:
        """Forget a task."""
        with self._lock, self._database:
            self._database.execute("delete from work where task = ?", (task,))

    def study(self, study: str, task: str | None = None) -> StudyRow | None:
        """One study; None where there is none."""
        rows = self._select("s.id = ?", (study,), task, "limit 1")
        return rows[0] if rows else None

    def study_starting_with(self, beginning: str) -> StudyRow | None:
        """The study whose id begins so; None where there is none."""
        rows = self._select("substr(s.id, 1, ?) = ?", (len(beginning), beginning), None, "limit 1")
        return rows[0] if rows else None

    def of_format(self, name: str) -> list[StudyRow]:
        """All studies of a format."""
        return self._select("s.format = ?", (name,), None, "order by s.path")

    def studies(self, query: Query) -> list[StudyRow]:
        """The studies of one page of a list."""
        where, values = _conditions(query)
        ordering = _ORDER[query.sort].format("desc" if query.order == "desc" else "asc")
        return self._select(where, values, query.task, f"order by {ordering} limit {query.limit} offset {query.offset}")

    def with_labels(self) -> list[StudyRow]:
        """The studies with a label file beside them, by path."""
        return self._select("s.labels is not null and s.error is null", (), None, "order by s.path collate nocase")

    def counts(self, query: Query) -> tuple[int, dict[str, int]]:
        """How many studies match a query, and how many of all studies are in each state."""
        where, values = _conditions(query)
        with self._lock:
            joined = "from studies s left join work w on w.study = s.id and w.task = ?"
            (total,) = self._database.execute(
                f"select count(*) {joined} where {where}", (query.task, *values)
            ).fetchone()
            states = self._database.execute(
                f"select {_STATE}, count(*) {joined} group by 1", (json.dumps(query.examples), query.task)
            ).fetchall()
        by_state: dict[str, int] = dict(states)
        return total, dict.fromkeys(STATES, 0) | by_state

    def _select(self, where: str, values: tuple[Any, ...], task: str | None, ending: str) -> list[StudyRow]:
        with self._lock:
            rows = self._database.execute(
                "select s.*, w.state, w.quality, w.strokes, w.updated from studies s "
                f"left join work w on w.study = s.id and w.task = ? where {where} {ending}",
                (task, *values),
            ).fetchall()
        return [_study_row(row) for row in rows]

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, check_same_thread=False)
        database.row_factory = sqlite3.Row
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = normal")  # the files are the truth
        database.executescript(_SCHEMA)
        return database


def _conditions(query: Query) -> tuple[str, tuple[Any, ...]]:
    parts, values = ["1"], list[Any]()
    if query.state is not None:
        parts.append(f"{_STATE} = ?")
        values += [json.dumps(query.examples), query.state]
    if query.search:
        parts.append("instr(lower(s.path), lower(?)) > 0")
        values.append(query.search)
    return " and ".join(parts), tuple(values)


def _row(file: StudyFile, details: str) -> tuple[Any, ...]:
    return (
        file.id, file.path, file.origin, file.format, file.size, file.modified, file.labels, file.error, details,
    )  # fmt: skip


def _study_row(row: sqlite3.Row) -> StudyRow:
    file = StudyFile(
        row["path"], row["format"], row["size"], row["modified"], row["labels"], row["error"], row["origin"]
    )
    work = Work(row["state"] or "new", row["quality"], row["strokes"] or 0, row["updated"])
    return StudyRow(file, row["id"], json.loads(row["details"]), work)
