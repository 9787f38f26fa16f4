"""Which study a viewer shall label next, and which are labeled."""

from collections.abc import Iterator

from mvg.server.finished import finished_path
from mvg.server.index import Query, StudyRow
from mvg.server.refusals import missing
from mvg.server.task_records import TaskRecord
from mvg.server.workbench import Workbench

STRATEGIES = {
    "uncertain": "the predicted study that is likely wrong in most places, else the next new one",
    "first": "the next study without labels",
}
"""Names and descriptions."""
ALL = Query(limit=1000)
_STATES_OF = {"uncertain": (("answered", "quality"), ("new", "name")), "first": (("new", "name"), ("answered", "name"))}


def next_study(bench: Workbench, strategy: str) -> StudyRow | None:
    """The study to label next for the newest segmentation; None where all are labeled. RefusedError for the strategy.

    Studies that somebody is correcting are left to them.
    """
    if strategy not in STRATEGIES:
        raise missing("strategy", strategy, f"choose {' or '.join(STRATEGIES)}")
    records = [record for record in bench.records.all() if record.has_labels]
    task = records[-1].id if records else None
    done = {example.study for example in records[-1].examples} if records else set[str | None]()
    for state, sort in _STATES_OF[strategy]:
        query = Query(task=task, state=state, sort=sort, limit=len(done) + 100)
        for row in bench.index.studies(query):
            if row.id not in done and row.file.error is None:
                return row
    return None


def every_study(bench: Workbench) -> Iterator[StudyRow]:
    """All studies that can be read."""
    offset = 0
    while rows := bench.index.studies(Query(offset=offset, limit=ALL.limit)):
        yield from (row for row in rows if row.file.error is None)
        offset += ALL.limit


def finished_tasks(bench: Workbench) -> dict[str, TaskRecord]:
    """The studies with accepted labels, each with the newest segmentation for which it has some."""
    finished = {}
    for record in bench.records.all():
        if record.has_labels:
            for row in bench.index.studies(Query(task=record.id, state="done", limit=100_000)):
                if finished_path(bench.records.folder(record.id), row).exists():
                    finished[row.id] = record
    return finished
