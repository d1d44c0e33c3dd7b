"""Whether browser and server see the same face: python -m tools.live_agreement FILM [--frames 200]

The film's pictures go, one by one, through assets/page/live_worker.js in Chromium and through the server's own tracker;
both ways end in the features of a live session. Printed: the correlation of every unit that moves, and how far the
head's angles are apart.
"""

from __future__ import annotations

import argparse
import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from page import web_libraries
from perfrdiff.coefficients import COEFFICIENT_NAMES, EXPRESSION, FPS, ROTATION
from perfrdiff.features.media.input import open_input
from perfrdiff.features.stream import SpeakerStream
from perfrdiff.features.tracking.landmarker import FaceTracker
from perfrdiff.live.film import LONG_SIDE
from perfrdiff.live.protocol import parse
from renderer.resources import asset
from tests.support.camera_film import CHROMIUM, QUIET

LEAST_MOVEMENT = 0.02  # standard deviation of a unit that moves
START = """async ([script, web, model]) => {
  const absolute = (path) => new URL(path, document.baseURI).href;
  window.worker = new Worker(absolute(script));
  window.answer = () => new Promise((done) => { worker.onmessage = ({ data }) => done(data); });
  const ready = answer();
  worker.postMessage({ type: "load", web: absolute(web), model: absolute(model) });
  return await ready;
}"""
FOLLOW = """async ([picture, seconds]) => {
  const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes]));
  const found = answer();
  worker.postMessage({ type: "picture", picture: bitmap, seconds }, [bitmap]);
  const { message } = await found;
  return btoa(String.fromCharCode(...new Uint8Array(message)));
}"""


@contextmanager
def assets_served() -> Iterator[str]:
    """The address of a small server of the page's scripts and libraries."""
    routes = [
        Route("/", lambda request: HTMLResponse("<!doctype html>")),
        Mount("/assets", StaticFiles(directory=asset(""))),
        *web_libraries.routes(),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join()


def seen_by_browser(pictures: list[np.ndarray]) -> list:
    """Faces of pictures (H, W, 3), as the worker sends them; None where it saw nobody."""
    from playwright.sync_api import sync_playwright

    faces = []
    with assets_served() as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_page()
        page.goto(address)
        model = "assets/tracker/face_landmarker.task"
        started = page.evaluate(START, ["assets/page/live_worker.js", web_libraries.base_address(), model])
        assert started["type"] == "ready", started
        for frame, picture in enumerate(pictures):
            png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
            message = page.evaluate(FOLLOW, [base64.b64encode(png).decode(), (frame + 0.5) / FPS])
            faces.append(parse(base64.b64decode(message)).face)
        browser.close()
    return faces


def seen_by_server(pictures: list[np.ndarray]) -> list:
    """The same by the server's own tracker."""
    with FaceTracker(streaming=True) as tracker:
        return [next(iter(tracker.detect(picture)), None) for picture in pictures]


def coefficients(faces: list) -> np.ndarray:
    """(T, 58) of a live session with these faces and no sound."""
    stream = SpeakerStream(has_audio=False, has_camera=True)
    stream.push_faces(faces)
    return np.concatenate([stream.take().coefficients, stream.finish().coefficients])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    wishes = parser.parse_args()
    with open_input(wishes.film, 3600) as media:
        pictures = [np.array(picture) for picture in islice(media.frames(LONG_SIDE), wishes.frames)]
    ours, theirs = seen_by_server(pictures), seen_by_browser(pictures)
    both = [a is not None and b is not None for a, b in zip(ours, theirs, strict=True)]
    print(f"{len(pictures)} pictures, a face in {sum(a is not None for a in ours)} on the server, "
          f"in {sum(b is not None for b in theirs)} in the browser")  # fmt: skip
    one, other = coefficients(ours)[both], coefficients(theirs)[both]
    moving = [k for k in range(*EXPRESSION.indices(58)) if one[:, k].std() > LEAST_MOVEMENT]
    r = {COEFFICIENT_NAMES[k]: np.corrcoef(one[:, k], other[:, k])[0, 1] for k in moving}
    for name, value in sorted(r.items(), key=lambda item: item[1]):
        print(f"  {name:22s} r {value:.4f}")
    apart = np.degrees(np.abs(one[:, ROTATION] - other[:, ROTATION]))
    print(f"units that move: {len(r)}, lowest r {min(r.values()):.4f}, median {np.median(list(r.values())):.4f}")
    print(f"angles apart: mean {apart.mean():.3f}°, largest {apart.max():.3f}°")


if __name__ == "__main__":
    main()
