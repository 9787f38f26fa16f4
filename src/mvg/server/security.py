"""What every request passes: the address it is for, the page it comes from, its token and its size."""

import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mvg.errors import MvgError
from mvg.server.settings import ServerSettings, is_loopback

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "mvg_token"
_OPEN_PATHS = ("/api/v1/info", "/api/v1/login", "/monailabel/auth", "/monailabel/auth/token")
_PROTECTED = ("/api/", "/monailabel")
_LARGE = {"/api/v1/studies", "/api/v1/tasks/import", "/monailabel/datastore", "/monailabel/session"}
_LARGE_ENDINGS = ("/examples/upload", "/datastore/label")
_LARGE_BYTES, _SMALL_BYTES = 2 * 2**30 + 2**20, 32 * 2**20
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "font-src 'self'; connect-src 'self' blob: data:; worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class Security:
    """Refuses what may not pass, and adds headers to what does."""

    def __init__(self, app: App, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request = _Request(scope)
        refusal = self._refusal(request)
        if refusal is not None:
            await _refuse(_with_headers(send), *refusal)
            return
        if self._settings.token is not None and request.path == "/" and request.query_token is not None:
            await self._login_by_link(request, _with_headers(send))
            return
        scope["mvg_authorized"] = self._is_authorized(request)
        await self._app(scope, _Limited(receive, _limit(request)).receive, _with_headers(send))

    def _refusal(self, request: "_Request") -> tuple[int, MvgError] | None:
        """The status and the error for a request that may not pass."""
        if not self._serves(request.host):
            return 421, MvgError(
                f"a request for the address '{request.host[:60]}'", "this server's", "open its address"
            )
        if not request.same_origin:
            return 403, MvgError("a request from another page", "this server's own page", "open the server's address")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > _limit(request):
            return 413, _too_large(_limit(request))
        protected = request.path.startswith(_PROTECTED) and request.path.rstrip("/") not in _OPEN_PATHS
        if protected and not self._is_authorized(request):
            return 401, MvgError("no token", "the token that `mvg serve` printed", "log in with it")
        return None

    def _serves(self, host: str) -> bool:
        """Whether the name is one of this server: other names that lead here are those of a page that rebinds them."""
        name = urlsplit(f"//{host}").hostname or ""
        if is_loopback(name) or name == self._settings.host:
            return True
        return self._settings.token is not None  # then the token protects, and the machine may have any name

    def _is_authorized(self, request: "_Request") -> bool:
        token = self._settings.token
        if token is None:
            return True
        return any(hmac.compare_digest(given.encode(), token.encode()) for given in request.tokens)

    async def _login_by_link(self, request: "_Request", send: Send) -> None:
        """Turn the token of a link into a cookie, so that it leaves the address bar."""
        headers = [(b"location", b"/"), (b"cache-control", b"no-store")]
        token = self._settings.token or ""
        if hmac.compare_digest((request.query_token or "").encode(), token.encode()):
            headers.append((b"set-cookie", cookie(token).encode()))
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


class _Request:
    """The parts of a request that decide whether it may pass."""

    def __init__(self, scope: Scope) -> None:
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._query: bytes = scope.get("query_string", b"")
        self._scheme: str = scope.get("scheme", "http")

    @property
    def host(self) -> str:
        """The name that the request is for."""
        return str(self.headers.get("host", ""))

    @property
    def same_origin(self) -> bool:
        """Whether no other page has sent it. Programs send neither header."""
        if self.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return self.method == "GET" and self.headers.get("sec-fetch-mode") == "navigate" and self.path == "/"
        origin = self.headers.get("origin")
        return origin is None or urlsplit(origin).netloc == self.host

    @property
    def query_token(self) -> str | None:
        """The token of a link."""
        values = parse_qs(self._query.decode("latin-1")).get("token")
        return values[0] if values else None

    @property
    def tokens(self) -> Iterable[str]:
        """The tokens that it carries."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            yield token.strip()
        try:
            morsel = SimpleCookie(self.headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            morsel = None
        if morsel is not None:
            yield morsel.value


class _Limited:
    """Counts the bytes of a body; one that is larger than it said is cut off."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._left = receive, limit

    async def receive(self) -> MutableMapping[str, Any]:
        """The next part of the body."""
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            return {"type": "http.disconnect"}
        return message


def cookie(token: str) -> str:
    """The header that keeps a token in the browser, out of reach of scripts and of other sites; "" removes it."""
    age = "; Max-Age=2592000" if token else "; Max-Age=0"
    return f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{age}"


def _limit(request: _Request) -> int:
    path = request.path.rstrip("/")
    large = path in _LARGE or path.endswith(_LARGE_ENDINGS) or path.startswith("/monailabel/infer/")
    return _LARGE_BYTES if large else _SMALL_BYTES


def _too_large(limit: int) -> MvgError:
    return MvgError("a request that is too large", f"at most {limit // 2**20} MiB", "send less at once")


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_HEADERS]
        await send(message)

    return send_with_headers


async def _refuse(send: Send, status: int, error: MvgError) -> None:
    body = json.dumps({"error": str(error)}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
