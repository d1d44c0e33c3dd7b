"""A live session without a browser, at the pace of time: what the server's answers lag behind the sound."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from websockets.asyncio.client import connect

from perfrdiff.coefficients import FPS
from perfrdiff.live import protocol

RATE = 16_000
PIECE = 640  # samples of a message, 40 ms


@dataclass
class LiveDelays:
    """Seconds from the sound of a frame to the listener's frame, of every message of reactions."""

    seconds: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.seconds:
            return "nothing"
        late = statistics.quantiles(self.seconds, n=20)[-1] if len(self.seconds) > 1 else self.seconds[0]
        median = statistics.median(self.seconds)
        return f"median {median:.2f} s, 95 of 100 below {late:.2f} s, {len(self.seconds)} messages"


async def talk(
    address: str, delays: LiveDelays, *, seconds: float = float("inf"), until: asyncio.Event | None = None
) -> None:
    """Hold a session for so many seconds, or until the event: bursts of noise, which stand for speech."""
    rng = np.random.default_rng(5)
    async with connect(f"{address.rstrip('/').replace('http', 'ws', 1)}/live", proxy=None) as socket:
        await socket.send(json.dumps({"type": "start", "camera": False}))
        while json.loads(await socket.recv())["type"] != "ready":
            pass
        began = time.monotonic()
        reader = asyncio.create_task(_listen(socket, began, delays))
        number = 0
        while time.monotonic() - began < seconds and not (until is not None and until.is_set()) and not reader.done():
            loud = 0.1 if (number // 40) % 2 else 0.001
            await socket.send(protocol.pack_sound(rng.normal(0, loud, PIECE)))
            number += 1
            await asyncio.sleep(max(0.0, began + number * PIECE / RATE - time.monotonic()))
        with suppress(Exception):
            await socket.send(json.dumps({"type": "stop"}))
        with suppress(Exception):
            await asyncio.wait_for(reader, 20)


async def _listen(socket, began: float, delays: LiveDelays) -> None:
    async for message in socket:
        if isinstance(message, bytes) and message[0] == protocol.REACTIONS:
            first, reactions = protocol.unpack_reactions(message)
            last = (first + reactions.shape[1]) / FPS
            delays.seconds.append(time.monotonic() - began - last)
