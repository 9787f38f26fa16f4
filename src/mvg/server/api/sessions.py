"""Sessions: a study in the bench for a task."""

import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from mvg.imaging.volume import LabelMap, Volume
from mvg.server.api.access import Bench, file_response, nifti_response
from mvg.server.api.bodies import CopyBody, CorrectionBody, FinishBody, PredictBody, SessionBody, SliceName
from mvg.server.api.info import event_response
from mvg.server.events import Stream
from mvg.server.examples import accept_as_example, refresh_dataset
from mvg.server.exports import exported_file, study_stem
from mvg.server.finished import write_finished
from mvg.server.live_session import LiveSession
from mvg.server.nifti_bytes import array_bytes
from mvg.server.refusals import line_of, status_of
from mvg.server.workbench import Workbench

router = APIRouter(prefix="/sessions", tags=["sessions"])


@router.post("")
def open_session(bench: Bench, body: SessionBody) -> dict[str, Any]:
    """Open a study for a task; opening it again is harmless."""
    return bench.sessions.open(body.task, body.study).description()


@router.get("/{session}")
def one(bench: Bench, session: str) -> dict[str, Any]:
    """Where a session stands."""
    return bench.sessions.get(session).description()


@router.delete("/{session}", status_code=204)
def release(bench: Bench, session: str) -> Response:
    """Let a session leave memory; nothing is lost."""
    bench.sessions.release(session)
    return Response(status_code=204)


@router.get("/{session}/labels.nii")
def labels(bench: Bench, session: str) -> Response:
    """The displayed labels: corrections over the newest prediction."""
    live = bench.sessions.get(session)
    return nifti_response(array_bytes(live.grid.to_ras(live.core.strokes.displayed_volume()), live.grid))


@router.get("/{session}/corrections.nii")
def corrections(bench: Bench, session: str) -> Response:
    """The corrections; 255 where nothing was given."""
    live = bench.sessions.get(session)
    return nifti_response(array_bytes(live.grid.to_ras(live.core.strokes.given_volume()), live.grid))


@router.get("/{session}/prediction.nii")
def prediction(bench: Bench, session: str) -> Response:
    """The predicted picture."""
    live = bench.sessions.get(session)
    return nifti_response(array_bytes(live.grid.to_ras(live.picture().voxels), live.grid))


@router.get("/{session}/difference.nii")
def difference(bench: Bench, session: str) -> Response:
    """The predicted picture minus the query."""
    live = bench.sessions.get(session)
    return nifti_response(array_bytes(live.grid.to_ras(live.difference().voxels), live.grid))


@router.post("/{session}/corrections")
def correct(bench: Bench, session: str, body: CorrectionBody) -> dict[str, Any]:
    """One step of corrections; it is on disk when the reply arrives."""

    def apply(live: LiveSession) -> dict[str, Any]:
        return live.correct([part.edit(live.grid) for part in body.slices], body.stroke)

    return bench.sessions.change(session, apply)


@router.post("/{session}/undo")
def undo(bench: Bench, session: str) -> dict[str, Any]:
    """Take back the last step."""
    return bench.sessions.change(session, LiveSession.undo)


@router.post("/{session}/redo")
def redo(bench: Bench, session: str) -> dict[str, Any]:
    """Repeat the step that was taken back last."""
    return bench.sessions.change(session, LiveSession.redo)


@router.post("/{session}/clear")
def clear(bench: Bench, session: str) -> dict[str, Any]:
    """Take back all steps; redo brings them back one by one."""
    return bench.sessions.change(session, LiveSession.clear)


@router.post("/{session}/copy")
def copy(bench: Bench, session: str, body: CopyBody) -> dict[str, Any]:
    """Give the displayed labels of a slice to another one."""

    def apply(live: LiveSession) -> dict[str, Any]:
        return live.copy(body.axis, body.source, body.target)

    return bench.sessions.change(session, apply)


@router.post("/{session}/confirm")
def confirm(bench: Bench, session: str, body: SliceName) -> dict[str, Any]:
    """The displayed labels of a slice are right as they are."""

    def apply(live: LiveSession) -> dict[str, Any]:
        return live.copy(body.axis, body.index, body.index)

    return bench.sessions.change(session, apply)


@router.post("/{session}/predict")
async def predict(bench: Bench, session: str, body: PredictBody) -> StreamingResponse:
    """Predict what is open; server-sent events, the nearest slices first. Closing the connection stops it."""
    live = await run_in_threadpool(bench.sessions.get, session)
    return event_response(_events_of(bench, live))


@router.get("/{session}/uncertain")
def uncertain(bench: Bench, session: str, count: Annotated[int, Query(ge=1, le=100)] = 1) -> dict[str, Any]:
    """The slices that are worth correcting next."""
    return bench.sessions.get(session).uncertain(count)


@router.post("/{session}/finish")
def finish(bench: Bench, session: str, body: FinishBody) -> dict[str, Any]:
    """Accept the displayed labels; with `example` the study becomes an example of the task."""
    return bench.sessions.change(session, partial(_finish, bench, body.example))


@router.post("/{session}/reopen")
def reopen(bench: Bench, session: str) -> dict[str, Any]:
    """Go on with a finished study."""

    def apply(live: LiveSession) -> dict[str, Any]:
        live.mark("reopen")
        return live.description()

    return bench.sessions.change(session, apply)


@router.get("/{session}/export")
def export(bench: Bench, session: str, form: Annotated[str | None, Query(alias="format")] = None) -> Response:
    """The displayed labels, or the picture, on the study's grid; format: a suffix, or one of `mvg predict --format`."""
    live = bench.sessions.get(session)
    volume: LabelMap | Volume = live.core.labels() if live.has_labels else live.picture()
    name, content = exported_file(bench, live.parts.study, volume, live.parts.record, form)
    return file_response(content, name)


@router.get("/{session}/corrections.mvgsession")
def saved(bench: Bench, session: str) -> Response:
    """The study and its corrections, with undo, as a file that `open_session` of Python goes on with."""
    live = bench.sessions.get(session)
    with tempfile.TemporaryDirectory(prefix="mvg-") as folder:
        path = Path(folder) / "corrections.mvgsession"
        live.save(path)
        return file_response(path.read_bytes(), f"{study_stem(bench, live.parts.study.row)}.mvgsession")


def _finish(bench: Workbench, example: bool, live: LiveSession) -> dict[str, Any]:
    record, row = live.parts.record, live.parts.study.row
    write_finished(bench.records.folder(record.id), row, live.finished_labels())
    live.mark("finish")
    refresh_dataset(bench, bench.records.get(record.id))
    if example:
        accept_as_example(bench, bench.records.get(record.id), row)
    return live.description()


async def _events_of(bench: Workbench, live: LiveSession) -> AsyncIterator[bytes]:
    """The events of a prediction that runs in a thread of its own, and stops when nobody reads."""
    stream, gone = Stream(), threading.Event()
    threading.Thread(target=_predict, args=(bench, live, stream, gone.is_set), daemon=True).start()
    try:
        async for part in stream.read():
            yield part
    finally:
        gone.set()


def _predict(bench: Workbench, live: LiveSession, stream: Stream, stopped: Callable[[], bool]) -> None:
    try:
        live.predict(stream.send, stopped)
    except Exception as error:
        stream.send("error", {"error": line_of(error)})
        if status_of(error) == 500:
            raise  # for the log
    finally:
        stream.close()
        bench.sessions.make_room()
