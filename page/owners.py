"""Whose each file of the server's folder is: names that cannot be guessed, and who asks is compared with who made it.

A browser is known by a random cookie that the page's first answer sets, and by the visitor's name where visitors have
one. A program without cookies, or a browser that refuses them, is known by nothing; the names of its files, of 128 or
more random bits, are then all that keeps them, and nobody who has a cookie gets them.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import gradio as gr

COOKIE = "perfrdiff-visitor"
_COOKIE = re.compile(r"[A-Za-z0-9_-]{40,64}")  # 30 random bytes or more
AGAIN_SECONDS = 60.0  # in which whoever sent a file that was there already has to use it
STALE_SECONDS = 90.0  # without a byte, after which an upload is taken for broken off
MOST = 20_000  # names and sessions that are remembered; the oldest are forgotten first, and then nobody's


class Owners:
    """Names in the server's folder and sessions, each with the keys of those whose it is."""

    def __init__(self, folder: Path) -> None:
        """`folder`: of uploads and results. What lies elsewhere is none of this object's business."""
        self._folder = folder.resolve()
        self._keys: OrderedDict[str, set[str]] = OrderedDict()  # first part of a path below the folder
        self._sent_again: OrderedDict[str, float] = OrderedDict()  # when, of what was there already
        self._sessions: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def bind(self, session: str, key: str) -> bool:
        """Whether a session is this key's: the first who uses a session has it."""
        with self._lock:
            bound = self._sessions.setdefault(session, key)
            self._sessions.move_to_end(session)
            _shorten(self._sessions)
            return secrets.compare_digest(bound.encode(), key.encode())

    def key_of(self, session: str | None) -> str:
        """Whose a session is; "" where that is not known, as of a program without cookies."""
        with self._lock:
            return self._sessions.get(session or "", "")

    def claim(self, path: str | Path, key: str) -> None:
        """Let a file or folder be this key's, beside those who have it already (the same upload twice)."""
        name = self._name(path)
        if name:
            with self._lock:
                if name in self._keys:
                    self._sent_again[name] = time.monotonic()
                    _shorten(self._sent_again)
                self._keys.setdefault(name, set()).add(key)
                self._keys.move_to_end(name)
                _shorten(self._keys)

    def is_awaited(self, path: str | Path) -> bool:
        """Whether somebody has just sent the same file as another, and may be about to use it."""
        with self._lock:
            return time.monotonic() - self._sent_again.get(self._name(path) or "", -AGAIN_SECONDS) < AGAIN_SECONDS

    def forget(self, path: str | Path) -> None:
        """The file or folder is gone."""
        with self._lock:
            name = self._name(path) or ""
            self._keys.pop(name, None)
            self._sent_again.pop(name, None)

    def may_have(self, path: str | Path, key: str) -> bool:
        """Whether this key may read a path; True for one outside the folder, and for one that nobody has claimed
        (a copy of an example that Gradio made), which others decide about.

        A path with a link or ".." in it is judged by where it leads.
        """
        try:
            name = self._name(path)
        except (OSError, ValueError, RuntimeError):
            return False
        if name is None:
            return True
        with self._lock:
            return key in self._keys.get(name, (key,))

    def sweep_later(self) -> None:
        """Remove what an upload that broke off has left, once nobody can be writing it any more."""
        timer = threading.Timer(2 * STALE_SECONDS, self._sweep)
        timer.daemon = True
        timer.start()

    def _sweep(self) -> None:
        """Gradio writes an upload beside the folders of those that are whole."""
        for path in self._folder.iterdir():
            with suppress(OSError):
                if path.is_file() and time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()

    def _name(self, path: str | Path) -> str | None:
        """The first part of a path below the folder; "" for the folder itself, None for what lies elsewhere."""
        resolved = Path(path).resolve()
        if not resolved.is_relative_to(self._folder):
            return None
        return (*resolved.relative_to(self._folder).parts, "")[0]


def key_of(cookies: Mapping[str, str], user: str | None) -> str:
    """Who asks; "" for whoever has neither a name nor a cookie of ours."""
    cookie = cookies.get(COOKIE, "")
    cookie = cookie if _COOKIE.fullmatch(cookie) else ""
    return f"{user or ''}/{cookie}" if user or cookie else ""


def client_of(request: gr.Request) -> str:
    """Whose turn a run takes: a named visitor's, an address's, and on this machine a session's."""
    user, address = getattr(request, "username", None), address_of(request)
    if user:
        return f"user {user}"
    return f"session {request.session_hash}" if address == "" else f"address {address}"


def address_of(request: object) -> str:
    """The network address that asks; of IPv6 the /64, which is what one household or server has. "" for loopback.

    Behind a proxy on this machine it is that of the proxy's X-Forwarded-For, which uvicorn has put in its place.
    """
    host = getattr(getattr(request, "client", None), "host", None)
    try:
        address = ipaddress.ip_address(str(host))
    except ValueError:
        return ""
    if address.is_loopback:
        return ""
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _shorten(known: OrderedDict) -> None:
    while len(known) > MOST:
        known.popitem(last=False)
