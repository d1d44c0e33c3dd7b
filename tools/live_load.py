"""Live sessions beside offline runs: python -m tools.live_load FILM [--seconds 600] [--sessions 2] [--runs 1]

Starts the page in a process of its own, tracks the film once, and then lets so many programs talk over the socket, each
as its own speaker in real time, while so many runs after one another are asked for over the programming interface.
Prints how late the listener's frames came (from the beginning of the speaker's frame to the arrival of the listener's;
a player adds 0.03 s), the processor time and the memory of the server over time, and how long the runs took.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from gradio_client import Client, handle_file
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from perfrdiff.coefficients import FPS
from perfrdiff.features.media.input import open_input
from perfrdiff.features.tracking.landmarker import FaceTracker
from perfrdiff.live import protocol
from perfrdiff.live.film import LONG_SIDE
from perfrdiff.live.session import HOP
from tools.live_check import server_process, wait_until_still
from tools.processor import processor_seconds

LOOK = 10.0  # seconds between two looks at the memory
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Measured:
    """What was seen of all sessions and runs."""

    late: list[tuple[float, float]] = field(default_factory=list)  # seconds since the start, and how late
    ends: list[str] = field(default_factory=list)  # sentences with which the server ended a session
    runs: list[float] = field(default_factory=list)  # seconds of each
    memory: list[tuple[float, float]] = field(default_factory=list)  # seconds since the start, MB


def speaker_messages(film: Path, seconds: float) -> list[tuple[bytes, np.ndarray | None]]:
    """For each frame of a film the sound's message, and what a FACE message is packed from."""
    frames = []
    with open_input(film, 3600) as media, FaceTracker(streaming=True) as tracker:
        audio = media.audio()
        for number, picture in enumerate(media.frames(LONG_SIDE)):
            if number == round(seconds * FPS):
                break
            samples = np.zeros(HOP) if audio is None else audio.samples[number * HOP : (number + 1) * HOP]
            sound = protocol.pack_sound(np.pad(samples, (0, HOP - len(samples))))
            face = next(iter(tracker.detect(picture)), None)
            height, width = picture.shape[:2]
            packed = None
            if face is not None:
                matrix = np.eye(4)
                matrix[:3, :3], matrix[:3, 3] = face.rotation, face.position
                scores = np.concatenate([[0.0], face.expressions[:51]])
                points = face.landmarks / [width, height, width]
                packed = np.frombuffer(protocol.pack_face(0.0, points, scores, matrix, (width, height)), np.uint8)
            frames.append((sound, packed))
    return frames


def talk(address: str, frames: list, seconds: float, samples: int, measured: Measured, began: float) -> None:
    """One session, over and over the same film."""
    with connect(address.replace("http", "ws") + "live", max_size=None) as socket:
        socket.send(json.dumps({"type": "start", "samples": samples}))
        answer = json.loads(socket.recv(timeout=120))
        if answer["type"] != "ready":
            measured.ends.append(answer["sentence"])
            return
        start = time.monotonic()

        def listen() -> None:
            with suppress(ConnectionClosed):
                for message in socket:
                    now = time.monotonic()
                    if isinstance(message, str):
                        ended = f"after {now - start:.0f} s: {json.loads(message)['sentence']}"
                        measured.ends.append(ended)
                        print(ended, flush=True)
                    elif message[0] == protocol.REACTIONS:
                        first, _ = protocol.unpack_reactions(message)
                        measured.late.append((now - began, now - start - first / FPS))

        ear = threading.Thread(target=listen)
        ear.start()
        for number in range(round(seconds * FPS)):
            time.sleep(max(0.0, start + (number + 1) / FPS - time.monotonic()))
            sound, face = frames[number % len(frames)]
            moment = np.float64((number + 0.5) / FPS)
            try:
                if face is None:
                    socket.send(protocol.pack_nobody(float(moment)))
                else:
                    message = face.copy()
                    message[8:16] = np.frombuffer(moment.tobytes(), np.uint8)
                    socket.send(message.tobytes())
                socket.send(sound)
            except ConnectionClosed:
                break
        with suppress(ConnectionClosed):
            socket.send(json.dumps({"type": "stop"}))
        ear.join(timeout=30)


def run_offline(address: str, film: Path, listener: Path, until: float, measured: Measured) -> None:
    """One run after the other."""
    client = Client(address, verbose=False)
    while time.monotonic() < until:
        began = time.monotonic()
        files = {"speaker": handle_file(film), "listener": handle_file(listener)}
        client.predict(**files, samples=3, api_name="/react")
        measured.runs.append(time.monotonic() - began)


def resident_megabytes(process: int) -> float:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE / 1e6


def check(film: Path, listener: Path, wishes: argparse.Namespace) -> tuple[Measured, float]:
    """What was measured, and the server's share of a core."""
    frames = speaker_messages(film, min(wishes.seconds, 20))
    measured = Measured()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept"
        kept.mkdir()
        longest = f"{wishes.seconds / 60 + 5:.1f}"  # else a session ends after a quarter of an hour
        with server_process(kept, PERFRDIFF_LIVE_MINUTES=longest) as (address, server):
            wait_until_still(server)
            began = time.monotonic()
            used = processor_seconds(server)
            jobs = [(talk, (address, frames, wishes.seconds, wishes.samples, measured, began))] * wishes.sessions
            jobs += [(run_offline, (address, film, listener, began + wishes.seconds, measured))] * wishes.runs
            threads = [threading.Thread(target=work, args=given, daemon=True) for work, given in jobs]
            for thread in threads:
                thread.start()
            while (passed := time.monotonic() - began) < wishes.seconds:
                measured.memory.append((passed, resident_megabytes(server)))
                time.sleep(min(LOOK, wishes.seconds - passed))
            share = (processor_seconds(server) - used) / (time.monotonic() - began)
            for thread in threads:
                thread.join(timeout=300)
    return measured, share


def report(measured: Measured, share: float) -> str:
    """What was measured, in words."""
    lines = [f"server {share:.2f} of a core; {len(measured.runs)} runs"]
    if measured.runs:
        lines[0] += f", {np.median(measured.runs):.0f} s each"
    if measured.late:
        late = np.array([value for _, value in measured.late])
        quantiles = ", ".join(f"{name} {np.quantile(late, share):.2f} s" for name, share in
                              (("median", 0.5), ("p95", 0.95), ("p99", 0.99), ("most", 1.0)))  # fmt: skip
        lines.append(f"{len(late)} pieces, late by {quantiles}")
    memory = [(moment, value) for moment, value in measured.memory if moment > measured.memory[-1][0] / 4]
    if len(memory) > 2:
        slope, _ = np.polyfit(*np.transpose(memory), 1)
        lines.append("memory " + ", ".join(f"{value:.0f}" for _, value in measured.memory[:: max(1, len(memory) // 8)])
                     + f" MB; {60 * slope:+.1f} MB a minute after the first quarter")  # fmt: skip
    return "\n".join([*lines, *(f"ended: {sentence}" for sentence in measured.ends)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("--listener", type=Path, default=Path("assets/examples/portrait.jpg"))
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--runs", type=int, default=1, help="offline runs that are always going on")
    parser.add_argument("--samples", type=int, default=1, help="reactions of each session")
    wishes = parser.parse_args()
    print(report(*check(wishes.film, wishes.listener, wishes)))


if __name__ == "__main__":
    main()
