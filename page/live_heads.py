"""The heads that a live session draws, from memory; nothing of a person is written to the disk.

Each has an address below the page's own; behind it are its GLB file (address + ".glb") and how the browser poses and
sees it (address + ".json", see page/watch_data.py).
"""

from __future__ import annotations

import json
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import brotli  # gradio brings it
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from page.loading import heavy

if TYPE_CHECKING:
    from renderer.identity.identity import Identity

PATH = "live-head"
KINDS = {"glb": "model/gltf-binary", "json": "application/json"}


@dataclass(frozen=True)
class _Head:
    glb: bytes  # compressed by brotli, as the next
    json: bytes


class LiveHeads:
    """Heads of made-up people by name, and of visitors' listeners by a random name that only their page knows."""

    MOST = 32

    def __init__(self) -> None:
        self._heads: OrderedDict[str, _Head] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, head: Identity | str) -> str:
        """The address of a head: a person's, or a made-up one's by name."""
        if isinstance(head, str):
            return f"{PATH}/{head}"
        name, made = secrets.token_urlsafe(16), _made(head)
        with self._lock:
            self._heads[name] = made
            while len(self._heads) > self.MOST:
                self._heads.popitem(last=False)
        return f"{PATH}/{name}"

    def forget(self, address: str) -> None:
        with self._lock:
            self._heads.pop(address.rpartition("/")[2], None)

    def routes(self) -> list[Route]:
        """For the page's application."""
        return [Route(f"/{PATH}/{{name}}.{{kind}}", self._serve)]

    def _serve(self, request: Request) -> Response:
        name, kind = request.path_params["name"], request.path_params["kind"]
        with self._lock:
            head = self._heads.get(name)
        if head is None and name in heavy("renderer.mesh_identities").MESH_IDENTITIES:
            head = _made_up(name)
        if head is None or kind not in KINDS:
            raise HTTPException(404)
        content, headers = getattr(head, kind), {"Cache-Control": "no-store"}
        if "br" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "br"
        else:
            content = brotli.decompress(content)
        return Response(content, headers=headers, media_type=KINDS[kind])


@cache
def _made_up(name: str) -> _Head:
    return _made(name)


def _made(head: Identity | str) -> _Head:
    reach = heavy("renderer.coefficients")
    about = heavy("page.watch_data").how_posed(head) | {
        "most_turn": float(reach.MAX_ROTATION),  # radians from upright, and model units from the usual place
        "most_shift": reach.MAX_TRANSLATION_OFFSET.tolist(),
    }
    glb = heavy("renderer.export.glb").glb_bytes(head)
    return _Head(*(brotli.compress(content, quality=4) for content in (glb, json.dumps(about).encode())))
