"""Batches: many studies predicted in turns with the sessions."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from mvg.server.api.access import Bench, study_json
from mvg.server.api.bodies import BatchBody
from mvg.server.api.info import event_response
from mvg.server.events import Stream
from mvg.server.index import Query
from mvg.server.refusals import conflict
from mvg.server.task_records import TaskRecord
from mvg.server.workbench import Workbench

router = APIRouter(prefix="/batches", tags=["batches"])

_PAGE = 1000


@router.get("")
def batches(bench: Bench, task: str | None = None) -> dict[str, Any]:
    """All batches, the newest first."""
    return {"batches": [batch.description() for batch in bench.batches.all(task)]}


@router.post("", status_code=201)
def start(bench: Bench, body: BatchBody) -> dict[str, Any]:
    """Begin a batch; corrected and finished studies are never touched."""
    record = bench.records.get(body.task)
    if not record.ready:
        raise conflict("a task without examples", "at least one example", "label a study and use it as example")
    if isinstance(body.studies, list):
        examples = set(record.example_studies)
        studies = [bench.library.row(study).id for study in body.studies if study not in examples]
    else:
        states = ("new",) if body.studies == "new" else ("new", "answered")
        studies = [study for state in states for study in _in_state(bench, record, state)]
    return bench.batches.start(record.id, studies).description()


@router.get("/{batch}")
def one(bench: Bench, batch: str) -> dict[str, Any]:
    """How far a batch is."""
    return bench.batches.get(batch).description()


@router.post("/{batch}/cancel")
def cancel(bench: Bench, batch: str) -> dict[str, Any]:
    """Stop a batch; what is finished stays."""
    return bench.batches.cancel(batch).description()


@router.post("/{batch}/resume")
def resume(bench: Bench, batch: str) -> dict[str, Any]:
    """Go on with a batch."""
    return bench.batches.resume(batch).description()


@router.get("/{batch}/events")
async def events(bench: Bench, batch: str) -> StreamingResponse:
    """Server-sent events of a batch, its present state first."""
    bench.batches.get(batch)
    return event_response(_events_of(bench, batch))


async def _events_of(bench: Workbench, identity: str) -> AsyncIterator[bytes]:
    batch, stream = bench.batches.get(identity), Stream()

    def send(name: str, data: Any) -> None:
        if name == "batch" and data["id"] == identity:
            ended = data["state"] != "running"
            stream.send("end" if ended else "progress", data)
            if ended:
                stream.close()
        elif name == "state" and data["task"] == batch.task:
            row = bench.index.study(data["study"], batch.task)
            if row is not None:
                stream.send("study", study_json(bench, row, batch.task))

    with bench.channel.calling(send), bench.channel.open_until_close(stream):
        await run_in_threadpool(send, "batch", batch.description())
        async for part in stream.read():
            yield part


def _in_state(bench: Workbench, record: TaskRecord, state: str) -> list[str]:
    """The ids of all studies in a state that can be read and are no examples."""
    studies, examples = list[str](), record.example_studies
    query = Query(record.id, state, examples, limit=_PAGE)
    while rows := bench.index.studies(query):
        studies += [row.id for row in rows if row.file.error is None and row.id not in examples]
        query = replace(query, offset=query.offset + _PAGE)
    return studies
