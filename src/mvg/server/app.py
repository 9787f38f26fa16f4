"""The application: routes, the page's files, and one line for every error."""

import gzip
import logging
import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

import mvg
from mvg.errors import MvgError
from mvg.server.api import batches, exports, info, sessions, studies, tasks
from mvg.server.monailabel import routes as monailabel
from mvg.server.refusals import RefusedError, line_of, status_of
from mvg.server.security import Security
from mvg.server.workbench import Workbench

PAGE = Path(__file__).parent / "page"
API = "/api/v1"
mimetypes.add_type("text/javascript", ".js")  # some systems name another type, which browsers refuse
_LOG = logging.getLogger("mvg.server")


def create_app(workbench: Workbench) -> FastAPI:
    """The application that serves a workbench, which it opens and closes."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        workbench.open()
        try:
            yield
        finally:
            workbench.close()

    app = FastAPI(
        title="mvg", version=mvg.__version__, lifespan=lifespan, openapi_url=f"{API}/openapi.json", docs_url=None,
        redoc_url=None, description="Studies, tasks, sessions and batches of one folder.",
    )  # fmt: skip
    app.state.workbench = workbench
    for router in (info.router, studies.router, tasks.router, sessions.router, batches.router, exports.router):
        app.include_router(router, prefix=API)
    app.include_router(monailabel.router)
    for kind in (RefusedError, MvgError, OSError, MemoryError, Exception):
        app.add_exception_handler(kind, _error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unknown)
    app.mount("/", _Page(directory=PAGE, html=True, check_dir=False), name="page")
    app.add_middleware(_WithoutTrailingSlash)
    app.add_middleware(Security, settings=workbench.settings)
    return app


class _WithoutTrailingSlash:
    """Viewers call the paths of MONAI Label's protocol with and without a slash at the end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and scope["path"].startswith(f"{monailabel.PREFIX}/"):
            scope = {**scope, "path": scope["path"].rstrip("/"), "raw_path": scope["path"].rstrip("/").encode()}
        await self._app(scope, receive, send)


class _Page(StaticFiles):
    """The files of the page, compressed; the browser asks each time whether they have changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """See StaticFiles."""
        response = await super().get_response(path, scope)
        if isinstance(response, FileResponse) and "gzip" in Headers(scope=scope).get("accept-encoding", ""):
            response = _compressed(response)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _compressed(response: FileResponse) -> Response:
    """The same file in fewer bytes, where it is a text."""
    if not (response.media_type or "").startswith(("text/", "image/svg", "application/json")):
        return response
    path = Path(response.path)
    content = _gzip(path, path.stat().st_mtime_ns)
    headers = {"ETag": response.headers["etag"], "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Response(content, response.status_code, headers, response.media_type)


@lru_cache(maxsize=256)
def _gzip(path: Path, changed: int) -> bytes:
    return gzip.compress(path.read_bytes(), 6)


async def _error(request: Request, error: Exception) -> JSONResponse:
    status = status_of(error)
    if status == 500:
        _LOG.error("%s %s", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": line_of(error)}, status)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """One line about the first part of a request that does not fit."""
    assert isinstance(error, RequestValidationError), "registered for it"
    first: dict[str, Any] = dict(error.errors()[0])
    where = ".".join(str(part) for part in first.get("loc", ())[1:]) or "the body"
    message = str(first.get("msg", "invalid"))
    line = MvgError(
        f"'{where}' in the request: {message[:200]}", "a request as /api/v1/openapi.json has it", "correct it"
    )
    return JSONResponse({"error": str(line)}, 422)


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException), "registered for it"
    path = request.url.path[:100]
    line = MvgError(f"{error.detail}: {request.method} {path}", "a path of the interface or page", "check the address")
    return JSONResponse({"error": str(line)}, error.status_code)
