"""What the server offers, logging in, and the events of the whole server."""

import hmac
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

import mvg
from mvg._plugins import contributions
from mvg.imaging.overlay import PALETTE
from mvg.server import intake, uploads
from mvg.server.api.access import Bench
from mvg.server.api.bodies import LoginBody
from mvg.server.diffs import MOST_LABELS
from mvg.server.events import Stream
from mvg.server.refusals import RefusedError
from mvg.server.security import cookie
from mvg.server.task_records import hex_color
from mvg.server.uploads import readable_suffixes
from mvg.tasks import kinds, spec_of

router = APIRouter(tags=["server"])


@router.get("/info")
def info(bench: Bench, request: Request) -> dict[str, Any]:
    """What the server offers; needs no token."""
    settings = bench.settings
    authorized = bool(request.scope.get("mvg_authorized", True))
    facts = {
        "version": mvg.__version__, "api": 1, "token_required": settings.token is not None, "authorized": authorized,
    }  # fmt: skip
    if not authorized:
        return facts
    return {
        **facts, "weights": settings.weights, "device": settings.device, "folder": bench.workspace.folder.name,
        "anonymous": settings.anonymous, "demo": settings.demo, "kinds": _kinds(),
        "limits": {
            "upload_bytes": uploads.MOST_BYTES, "upload_files": uploads.MOST_FILES, "labels": MOST_LABELS,
            "voxels": intake.MOST_VOXELS,
        },
        "suffixes": readable_suffixes(), "palette": [hex_color(number + 1) for number in range(len(PALETTE))],
    }  # fmt: skip


@router.post("/login", status_code=204)
def login(bench: Bench, body: LoginBody) -> Response:
    """Keep the token as a cookie of the browser."""
    token = bench.settings.token
    if token is not None and not hmac.compare_digest(body.token.encode(), token.encode()):
        raise RefusedError(401, "a wrong token", "the token that `mvg serve` printed", "copy it from there")
    return Response(status_code=204, headers={"set-cookie": cookie(body.token)} if token is not None else {})


@router.post("/logout", status_code=204)
def logout() -> Response:
    """Remove the cookie."""
    return Response(status_code=204, headers={"set-cookie": cookie("")})


@router.get("/events")
async def events(bench: Bench) -> StreamingResponse:
    """Server-sent events: `studies`, `state`, `task` and `batch`."""

    async def stream() -> AsyncIterator[bytes]:
        reader = Stream()
        with bench.channel.calling(reader.send), bench.channel.open_until_close(reader):
            reader.send("studies", {"scanning": bench.library.scanning})
            async for part in reader.read():
                yield part

    return event_response(stream())


def event_response(content: AsyncIterator[bytes]) -> StreamingResponse:
    """A response of server-sent events."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(content, media_type="text/event-stream", headers=headers)


def _kinds() -> list[dict[str, Any]]:
    """The kinds of tasks whose examples show one image."""
    offered = []
    for name, module in contributions(kinds).items():
        spec = spec_of(name)
        if spec.inputs == 1:
            offered.append({
                "name": name, "target_type": spec.target_type, "needs_examples": spec.target_type != "labels",
                "needs_void": "inpainting" in spec.postprocess,
                "summary": " ".join((module.__doc__ or "").split("\n\n")[0].split()),
            })  # fmt: skip
    return offered
