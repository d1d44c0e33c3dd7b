"""Starting and stopping the page: what `python app.py` does."""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path

from perfrdiff.errors import InputError
from perfrdiff.leftovers import hold_folder
from perfrdiff.pipeline.request import DEFAULTS

LARGEST_UPLOAD = "300mb"
QUEUE_SECONDS = 0.05  # Gradio looks for work a thousand times a second, a few per cent of a core; on Windows as here
MOST_EVENTS = 200  # of all visitors at a time; runs have a queue of their own, in page/jobs.py


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the page's options. Host and port are environment variables, which Gradio reads."""
    weights = DEFAULTS["weights"]
    parser.add_argument("--weights", default=weights, metavar="NAME", help=f"name of the weights (default: {weights})")


def main(arguments: list[str] | None = None) -> None:
    """Serve the page until the process is stopped; a sentence and exit code 2 if the weights cannot be used."""
    parser = argparse.ArgumentParser(
        description="Open the page. Host and port: GRADIO_SERVER_NAME, GRADIO_SERVER_PORT."
    )
    add_arguments(parser)
    try:
        launch(parser.parse_args(arguments).weights)
    except InputError as error:
        print(f"perfrdiff: {error}", file=sys.stderr)
        sys.exit(2)


def launch(weights: str) -> None:
    """Serve the page until Ctrl-C or SIGTERM; then everything that visitors left is deleted.

    Raises InputError if there are no such weights, or they cannot be loaded. Works once a process: Gradio reads the
    environment when it is imported.
    """
    stop = _Stop()
    signal.signal(signal.SIGTERM, stop)  # a stopped server cleans up as one left by Ctrl-C does
    # A folder of this process alone, inside the one that was named, if any.
    folder = hold_folder("perfrdiff-page-", os.environ.get("GRADIO_TEMP_DIR"))  # those of killed processes go
    os.environ |= {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "False"}
    try:
        _serve(weights, folder, stop)
    except KeyboardInterrupt:  # before all was loaded; later Gradio takes it
        pass
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Stop:
    """The answer to SIGTERM. A library that is being loaded may swallow the exit, so that it is asked for again."""

    def __init__(self) -> None:
        self.is_wanted = False

    def __call__(self, *_: object) -> None:
        self.is_wanted = True
        sys.exit(0)


def _serve(weights: str, folder: Path, stop: _Stop) -> None:
    """Answer first: torch and all else that is heavy is loaded here, in the main thread, while the page is served."""
    gc.disable()  # it would look through ever more modules that are never given back: a fifth of the start
    from starlette.middleware import Middleware

    from page import web_libraries
    from page.build import build  # imports gradio: not before the environment is set, nor for --help
    from page.library import EXAMPLES
    from page.live import LiveServer
    from page.live_heads import LiveHeads
    from page.loading import heavy
    from page.manners import Manners
    from page.results import ASSETS
    from page.theme import THEME

    live = LiveServer(lambda: heavy("perfrdiff.pipeline.run").load_reactor(weights))
    live.loaded.clear()
    heads = LiveHeads()
    page = build(weights, folder, live, heads).queue(max_size=MOST_EVENTS)
    page._queue.sleep_when_free = QUEUE_SECONDS
    page.launch(
        theme=THEME,
        css_paths=[ASSETS / name for name in ("page.css", "watch.css", "live.css")],
        js=(ASSETS / "manners.js").read_text(encoding="utf-8").split("\n", 2)[2],
        footer_links=[],  # the page has lines of its own to copy, which work as they are
        run_history=False,
        ssr_mode=False,
        max_file_size=LARGEST_UPLOAD,
        allowed_paths=[str(EXAMPLES), str(folder)],
        prevent_thread_lock=True,
        app_kwargs={
            "routes": [*web_libraries.routes(), *live.routes(), *heads.routes()],
            "middleware": [Middleware(Manners)],
        },
    )
    try:
        loaded = heavy("perfrdiff.pipeline.warm_up")
        gc.freeze()
        gc.enable()
        loaded.warm_up(weights)
    except InputError:  # the weights cannot be used
        raise
    except Exception:  # a page that is not warm is better than none
        if not stop.is_wanted:
            traceback.print_exc()
    if stop.is_wanted:
        sys.exit(0)
    live.loaded.set()
    page.block_thread()
