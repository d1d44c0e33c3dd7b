"""What every answer of the server keeps to: nothing from other hosts, nothing inside other sites, and words before the
page is built."""

from __future__ import annotations

import os
from html import escape
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from page.words import INTRODUCTION, TITLE

FRAMES = "'self' https://huggingface.co" if os.environ.get("SPACE_ID") else "'self'"  # a Space is shown in a frame
POLICY = "; ".join(
    (
        "default-src 'self'",
        # Gradio's page has scripts and styles of its own inside, and turns texts into functions.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "connect-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        f"frame-ancestors {FRAMES}",
    )
)
PERMISSIONS = (
    "camera=(self), microphone=(self), display-capture=(), geolocation=(), payment=(), usb=(), serial=(), midi=()"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": PERMISSIONS,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
HTTPS_ONLY = "max-age=31536000"  # a year, said only where https is spoken already
ALIVE = "/alive"
OPENING = (
    '<div id="opening" style="font-family:system-ui,sans-serif;max-width:1124px;margin:0 auto;padding:22px 20px">'
    f'<h1 style="font-size:clamp(1.7rem,4.4vw,2.5rem);margin:0 0 6px">{escape(TITLE)}</h1>'
    f'<p style="margin:0;max-width:44em;line-height:1.5">{escape(INTRODUCTION)}</p><p>Opening …</p></div>'
)
"""Shown until assets/page/manners.js removes it."""
ICON = b'<link rel="icon" type="image/svg+xml" href="./favicon.ico"></head>'
"""Without it browsers ask the host for one, which on a sub-path is another server's."""


class Manners:
    """Adds the policy to every answer, the opening words to the page; answers `ALIVE` by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].endswith(ALIVE):
            await send({"type": "http.response.start", "status": 204, "headers": [(b"cache-control", b"no-store")]})
            await send({"type": "http.response.body", "body": b""})
            return
        # On a sub-path the proxy takes it off, or leaves it to the server.
        is_page = scope["path"].rstrip("/") in ("", urlsplit(scope.get("root_path", "")).path.rstrip("/"))
        await self._app(scope, receive, _Answer(send, is_page, scope["scheme"] == "https"))


class _Answer:
    """One answer on its way out."""

    def __init__(self, send: Send, is_page: bool, is_https: bool) -> None:
        self._send, self._is_page, self._is_https = send, is_page, is_https
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            for name, value in HEADERS.items():
                headers[name] = value
            if self._is_https:
                headers["Strict-Transport-Security"] = HTTPS_ONLY
            kind = Headers(raw=message["headers"]).get("content-type", "")
            self._is_page = self._is_page and kind.startswith("text/html")
            if self._is_page:
                self._start = message  # its length is known when the body is
                return
        elif self._is_page:
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = self._body.replace(b"<gradio-app", OPENING.encode() + b"<gradio-app", 1)
            body = body.replace(b"</head>", ICON, 1).replace(b'href="/manifest.json"', b'href="./manifest.json"', 1)
            assert self._start is not None, "an answer starts before its body"
            MutableHeaders(raw=self._start["headers"])["Content-Length"] = str(len(body))
            await self._send(self._start)
            message = {"type": "http.response.body", "body": body}
        await self._send(message)
