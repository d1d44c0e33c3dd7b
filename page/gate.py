"""Who may ask the server for what: names and passwords, whose file it is, how much one may send."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from page.owners import COOKIE, Owners, address_of, key_of
from page.settings import ServerSettings
from page.turns import Allowance
from perfrdiff.errors import InputError

API = "/gradio_api/"
CLOSED = (
    "proxy=", "file=http:", "file=https:", "deep_link", "vibe-", "undo-vibe-edit", "process_recording", "runs",
    "run-history", "dev/", "profiling", "component_server", "custom_component", "token", "mcp",
)  # fmt: skip
"""What Gradio serves below `API` that this page has no use for; among it, what would fetch addresses for a visitor."""
CLOSED_OUTSIDE = ("/monitoring",)
OPEN = (
    "/login",
    "/alive",
    "/healthz",
    "/metrics",
    "/theme.css",
    "/favicon.ico",
    "/robots.txt",
    "/manifest.json",
    "/config",
)
OPEN_FOLDERS = (
    "/static/",
    "/assets/",
    "/svelte/",
    f"{API}login_check",
    f"{API}app_id",
    f"{API}user",
    f"{API}theme.css",
    f"{API}startup-events",
)
"""What is answered to whoever has no name yet; Gradio itself shows its login in place of the page."""
LARGEST_JSON = 4 << 20  # bytes of a call; files are uploaded
OVERHEAD = 64 << 10  # bytes around the file in an upload
LOGINS, LOGIN_MINUTES = 20, 10.0  # tries of one address


class Gate:
    """Middleware. Whoever is refused gets one sentence as plain text, and a status that says which kind."""

    def __init__(self, app: ASGIApp, owners: Owners, settings: ServerSettings) -> None:
        self._app, self._owners, self._settings = app, owners, settings
        self._uploads = Allowance(settings.client_mb, settings.client_minutes, "MB")
        self._logins = Allowance(LOGINS, LOGIN_MINUTES, "logins")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        asked = _Asked(scope)
        if self._settings.auth is not None and asked.user is None and not asked.is_open:
            await self._refuse(scope, receive, send, 401, "Not authenticated")
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        try:
            receive = await self._check(asked, scope, receive)
        except _Refused as refused:
            await self._refuse(scope, receive, send, refused.status, str(refused))
            return
        if asked.is_page and not key_of(asked.cookies, None):
            send = _with_cookie(send, asked)
        elif asked.is_upload:
            send = self._claiming(send, asked.key)
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:  # in the middle of an upload: Gradio leaves what came
            self._owners.sweep_later()

    async def _check(self, asked: _Asked, scope: Scope, receive: Receive) -> Receive:
        """What the application is to receive. Raises _Refused."""
        if asked.is_closed:
            raise _Refused(404, "Not found")
        if asked.file is not None and not self._owners.may_have(asked.file, asked.key):
            raise _Refused(403, "This file belongs to another visitor, or is not there any more.")
        if asked.session is not None and not self._owners.bind(asked.session, asked.key):
            raise _Refused(404, "This session is another visitor's.")
        if scope["method"] != "POST":
            return receive
        try:
            if asked.path == "/login":
                self._logins.use(asked.address)
            elif asked.is_upload:
                self._check_upload(asked)
        except InputError as error:
            raise _Refused(429, str(error)) from None
        if asked.has_json:
            body = await _body(receive)
            self._check_call(body, asked.key)
            return _again(body, receive)
        return receive

    def _check_upload(self, asked: _Asked) -> None:
        length = asked.headers.get("content-length", "")
        if not length.isdecimal():
            raise _Refused(411, "An upload has to say how long it is.")
        if int(length) > self._settings.upload_mb * 1e6 + OVERHEAD:
            raise _Refused(
                413, f"The file is larger than {self._settings.upload_mb:g} MB, the most that is taken here."
            )
        self._uploads.use(asked.address, int(length) / 1e6)

    def _check_call(self, body: bytes, key: str) -> None:
        """A call names a session and files: both have to be the caller's."""
        try:
            call = json.loads(body)
        except (ValueError, RecursionError):
            return  # Gradio says what is wrong with it
        session = call.get("session_hash") if isinstance(call, dict) else None
        if isinstance(session, str) and not self._owners.bind(session, key):
            raise _Refused(404, "This session is another visitor's.")
        for path in _paths(call):
            if not self._owners.may_have(path, key):
                raise _Refused(403, "A file of this call belongs to another visitor, or is not there any more.")

    def _claiming(self, send: Send, key: str) -> Send:
        """Hands an answer to an upload on; the files that it names are the sender's."""
        body, is_good = b"", False

        async def claim(message: Message) -> None:
            nonlocal body, is_good
            if message["type"] == "http.response.start":
                is_good = message["status"] == 200
            elif is_good:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    for path in _paths(json.loads(body)):
                        self._owners.claim(path, key)
            await send(message)

        return claim

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, status: int, sentence: str) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4401})
            return
        await PlainTextResponse(sentence, status, {"Cache-Control": "no-store"})(scope, receive, send)


class _Refused(Exception):
    """A status, and the sentence for whoever asked."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class _Asked:
    """What a request asks for, and who asks."""

    def __init__(self, scope: Scope) -> None:
        root, path = urlsplit(scope.get("root_path", "")).path.rstrip("/"), scope["path"]
        self.path: str = path.removeprefix(root) if root else path
        self.path = self.path if self.path.startswith("/") else f"/{self.path}"
        self.headers = Headers(scope=scope)
        self.is_secure = scope["scheme"] in ("https", "wss")
        self.root = root
        self.cookies = HTTPConnection(scope).cookies
        self.user = _user(scope, self.cookies)
        self.key = key_of(self.cookies, self.user)
        self.address = address_of(HTTPConnection(scope))
        self.api = self.path.removeprefix(API) if self.path.startswith(API) else None
        self.is_page = scope.get("method") == "GET" and self.path == "/"
        self.is_open = self.path == "/" or self.path in OPEN or self.path.startswith(OPEN_FOLDERS)
        self.is_upload = scope.get("method") == "POST" and self.api in ("upload", "upload/")
        self.has_json = self.api is not None and not self.is_upload and scope.get("method") == "POST"
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        self.session: str | None = None
        if self.api is not None and self.api.startswith("heartbeat/"):
            self.session = self.api.removeprefix("heartbeat/")
        elif self.api == "queue/data":
            self.session = query.get("session_hash", [""])[0]

    @property
    def is_closed(self) -> bool:
        """Whether it is something of Gradio's that this page does not serve."""
        lower = self.api.lower() if self.api is not None else ""
        return lower.startswith(CLOSED) or self.path.startswith(CLOSED_OUTSIDE)

    @property
    def file(self) -> str | None:
        """The path of a file that is asked for by address."""
        for name in ("file=", "file/"):
            if self.api is not None and self.api.startswith(name):
                return self.api.removeprefix(name)
        return None


def _user(scope: Scope, cookies: dict[str, str]) -> str | None:
    """The name of who has logged in to Gradio; None for nobody."""
    app = scope.get("app")
    tokens, number = getattr(app, "tokens", {}), getattr(app, "cookie_id", "")
    for name in (f"access-token-{number}", f"access-token-unsecure-{number}"):
        if (user := tokens.get(cookies.get(name))) is not None:
            return user
    return None


def _with_cookie(send: Send, asked: _Asked) -> Send:
    """Sets the cookie by which a browser's files are known as its own."""
    words = [f"{COOKIE}={secrets.token_urlsafe(32)}", f"Path={asked.root}/", "HttpOnly"]
    # In another site's frame, as on Spaces, only such a cookie comes back; without https only the other is taken.
    words += ["Secure", "SameSite=None", "Partitioned"] if asked.is_secure else ["SameSite=Lax"]

    async def add(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            MutableHeaders(raw=message["headers"]).append("set-cookie", "; ".join(words))
        await send(message)

    return add


async def _body(receive: Receive) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refused(400, "The call broke off.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
        if size > LARGEST_JSON:
            raise _Refused(413, f"A call of more than {LARGEST_JSON >> 20} MiB is none of this page's; upload files.")
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def give() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give


def _paths(value: object) -> Iterator[str | Path]:
    """Every text in a JSON value that may name a file: absolute paths, and what stands under "path"."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            path = one.get("path")
            if isinstance(path, str):
                yield path
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, str) and one.startswith("/") and len(one) < 4096:
            yield one
