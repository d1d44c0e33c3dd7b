"""A visitor of the running page without a browser: uploads, asks for runs, fetches results, as Gradio's script does."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from page.api import PARAMETERS
from perfrdiff.pipeline.request import DEFAULTS

API = "/gradio_api"
PATIENCE = 1800.0  # seconds for a run, waiting included


class Visitor:
    """One open tab: a cookie, a session, and the stream by which the server knows that the tab is there."""

    def __init__(self, address: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=address.rstrip("/"), timeout=httpx.Timeout(PATIENCE), trust_env=False, verify=False
        )
        self.session = secrets.token_hex(8)
        self._heartbeat: asyncio.Task | None = None
        self._function = 0

    async def __aenter__(self) -> Visitor:
        await self._http.get("/")
        config = (await self._http.get("/config")).json()
        self._function = next(one["id"] for one in config["dependencies"] if one["api_name"] == "react")
        self._heartbeat = asyncio.create_task(self._stay())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            await asyncio.gather(self._heartbeat, return_exceptions=True)
        await self._http.aclose()

    async def upload(self, path: Path) -> dict[str, object]:
        """The file as a call names it. Raises RuntimeError with the server's sentence where it is not taken."""
        answer = await self._http.post(f"{API}/upload", files={"files": (path.name, path.read_bytes())})
        if answer.status_code != 200:
            raise RuntimeError(answer.text)
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    @asynccontextmanager
    async def run(self, settings: dict[str, object]) -> AsyncIterator[AsyncIterator[dict]]:
        """Ask for a run; the messages about it. Leaving the block leaves the run."""
        given = DEFAULTS | settings
        call = {"data": [given[name] for name in PARAMETERS], "fn_index": self._function, "session_hash": self.session}
        answer = await self._http.post(f"{API}/queue/join", json=call)
        if answer.status_code != 200:
            raise RuntimeError(answer.text)
        async with self._http.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as stream:
            yield _messages(stream)

    async def result(self, settings: dict[str, object]) -> dict:
        """What /react returns. Raises RuntimeError with the sentence of a run that failed."""
        async with self.run(settings) as messages:
            async for message in messages:
                if message["msg"] == "process_completed":
                    if not message["success"]:
                        raise RuntimeError(message["output"].get("error") or "nothing was said")
                    return message["output"]["data"][0]
        raise RuntimeError("the stream ended without a result")

    async def fetch(self, path: str) -> httpx.Response:
        """A file of the server's, by address."""
        return await self._http.get(f"{API}/file={path}")

    async def _stay(self) -> None:
        async with self._http.stream("GET", f"{API}/heartbeat/{self.session}") as stream:
            async for _ in stream.aiter_raw():
                pass


async def _messages(stream: httpx.Response) -> AsyncIterator[dict]:
    async for line in stream.aiter_lines():
        if line.startswith("data:"):
            yield json.loads(line.removeprefix("data:"))


def metrics(address: str) -> dict[str, float]:
    """The server's figures by name, labels included."""
    # Without the authorities' certificates, which httpx would read again each time; it is this machine.
    text = httpx.get(f"{address.rstrip('/')}/metrics", timeout=30, trust_env=False, verify=False).text
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}
