"""The widget that plays a run on a page of its own, without Gradio: quick to open, and with any run in it."""

import contextlib
import json
import socket
import threading
import time

import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from page import web_libraries
from renderer.resources import asset

PAGE = """<!doctype html><html lang="en"><head><title>Watch</title><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><link rel="stylesheet" href="assets/page/page.css">
<link rel="stylesheet" href="assets/page/watch.css"></head>
<body style="margin: 0"><main id="watch" style="padding: 10px !important"><h1>Watch</h1><div class="watch"></div></main>
<script type="module">
import { mount } from "./assets/page/watch.js";
const props = { value: JSON.stringify(%s) };
let changed;
const watch = (_, call) => { changed = call; };
window.widget = mount(document.querySelector("#watch"), props, watch, () => { window.again = true; });
window.give = (value) => { props.value = JSON.stringify(value); changed(); };
</script></body></html>"""


@contextlib.contextmanager
def served_widget(run_folder, value):
    """The address of a page with the widget, given `value`; the files of `run_folder` are at run/."""
    app = Starlette(
        routes=[
            Route("/", lambda _: HTMLResponse(PAGE % json.dumps(value))),
            Mount("/assets", StaticFiles(directory=asset(""))),
            Mount("/run", StaticFiles(directory=run_folder)),
            *web_libraries.routes(),
        ]
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
