"""Starting and stopping the page: what `python app.py` does."""

from __future__ import annotations

import argparse
import gc
import os
import secrets
import shutil
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType

from page import settings as server_settings
from page.memory import use_few_pools
from page.settings import ServerSettings
from perfrdiff.errors import InputError
from perfrdiff.leftovers import hold_folder
from perfrdiff.pipeline.request import DEFAULTS

QUEUE_SECONDS = 0.05  # Gradio looks for work a thousand times a second, a few per cent of a core; on Windows as here
MOST_EVENTS = 200  # of all visitors at a time; runs have a queue of their own, in page/jobs.py
MOST_SESSIONS = 50  # of which Gradio remembers what their page shows, a third of a megabyte each; none is missed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the page's options: the weights, and every one of `ServerSettings`. Host and port are environment variables,
    which Gradio reads."""
    weights = DEFAULTS["weights"]
    parser.add_argument("--weights", default=weights, metavar="NAME", help=f"name of the weights (default: {weights})")
    server_settings.add_arguments(parser)


def main(arguments: list[str] | None = None) -> None:
    """Serve the page until the process is stopped; a sentence and exit code 2 if the weights cannot be used."""
    parser = argparse.ArgumentParser(
        description="Open the page. Host and port: GRADIO_SERVER_NAME, GRADIO_SERVER_PORT."
    )
    add_arguments(parser)
    try:
        run(parser.parse_args(arguments))
    except InputError as error:
        print(f"perfrdiff: {error}", file=sys.stderr)
        sys.exit(2)


def run(options: argparse.Namespace) -> None:
    """Serve the page as the options of `add_arguments`, and the environment, say.

    Raises InputError: a setting that is none, a page that would be open to others unsaid, or what `launch` raises.
    """
    settings = ServerSettings.read(server_settings.given(options), os.environ)
    settings.check_address(os.environ)
    launch(options.weights, settings)


def launch(weights: str, settings: ServerSettings = server_settings.DEFAULTS) -> None:
    """Serve the page until Ctrl-C or SIGTERM; then everything that visitors left is deleted.

    Raises InputError if there are no such weights, they cannot be loaded, no place can be had for files, the file of
    visitors cannot be read, or the key for content credentials cannot sign. Works once a process: Gradio reads the
    environment when it is imported.
    """
    stop = _Stop()  # a stopped server cleans up as one left by Ctrl-C does
    # A folder of this process alone, inside the one that was named, if any.
    parent, users = os.environ.get("GRADIO_TEMP_DIR"), settings.users()
    if settings.credentials_key is not None and settings.credentials_certificate is not None:
        from perfrdiff.pipeline.credentials import Credentials  # its libraries: not for --help

        Credentials(settings.credentials_key, settings.credentials_certificate)
    try:
        folder = hold_folder("perfrdiff-page-", parent)  # those of killed processes go
    except OSError as error:
        where = parent or "the system's folder for temporary files"
        raise InputError(
            f"Nothing can be written to {where} ({error.strerror}); name another: GRADIO_TEMP_DIR."
        ) from None
    print("\n".join(settings.lines()), flush=True)
    os.environ |= {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "False"}
    try:
        _serve(weights, folder, settings, users, stop)
    except KeyboardInterrupt:  # before all was loaded; later Gradio takes it
        pass
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Stop:
    """The answer to SIGTERM and Ctrl-C, at any moment of the loading.

    In the middle of an import Python's own locks would stay taken, and other threads wait for them for ever: there it
    waits a moment. And a library that is being loaded may swallow the exit, so `is_wanted` remembers it.
    """

    AGAIN_SECONDS = 0.05

    def __init__(self) -> None:
        self.is_wanted = False
        signal.signal(signal.SIGTERM, self)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it is ignored in a shell's background
            signal.signal(signal.SIGINT, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.is_wanted = True
        if frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
            again = threading.Timer(self.AGAIN_SECONDS, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            sys.exit(0)


def _serve(weights: str, folder: Path, settings: ServerSettings, users: dict[str, str], stop: _Stop) -> None:
    """Answer first: torch and all else that is heavy is loaded here, in the main thread, while the page is served."""
    gc.disable()  # it would look through ever more modules that are never given back: a fifth of the start
    from gradio import processing_utils
    from starlette.middleware import Middleware

    from page import web_libraries
    from page.build import build  # imports gradio: not before the environment is set, nor for --help
    from page.gate import Gate
    from page.health import Health
    from page.jobs import Jobs
    from page.library import EXAMPLES
    from page.live import LiveLimits, LiveServer
    from page.live_heads import LiveHeads
    from page.loading import heavy
    from page.manners import Manners
    from page.owners import Owners
    from page.results import ASSETS
    from page.theme import THEME
    from perfrdiff.features.media import apart
    from perfrdiff.features.media.pixels import cap_pixels

    processing_utils.hash_seed = secrets.token_bytes(32)  # names of uploads, which nobody can work out from the content
    use_few_pools()
    cap_pixels(round(settings.megapixels * 1e6))
    limits = LiveLimits(settings.live_sessions, settings.live_minutes, settings.live_idle_seconds)
    live = LiveServer(lambda: heavy("perfrdiff.pipeline.run").load_reactor(weights), limits=limits)
    live.loaded.clear()
    heads = LiveHeads()
    owners, jobs = Owners(folder), Jobs(settings)
    health = Health(jobs, live, folder, settings.metrics)
    page = build(weights, folder, live, heads, jobs, owners).queue(max_size=MOST_EVENTS)
    page._queue.sleep_when_free = QUEUE_SECONDS
    if settings.decode_apart:
        try:
            apart.turn_on()
        except OSError as error:
            raise InputError(
                f"Uploads cannot be decoded in processes of their own here ({error.strerror}); --no-decode-apart does "
                "so in the server's."
            ) from None
    page.launch(
        theme=THEME,
        css_paths=[ASSETS / name for name in ("page.css", "watch.css", "live.css")],
        js=(ASSETS / "manners.js").read_text(encoding="utf-8").split("\n", 2)[2],
        footer_links=[],  # the page has lines of its own to copy, which work as they are
        run_history=False,
        state_session_capacity=MOST_SESSIONS,
        ssr_mode=False,
        max_file_size=round(settings.upload_mb * 1e6),
        allowed_paths=[str(EXAMPLES)],
        auth=list(users.items()) or None,
        ssl_certfile=str(settings.ssl_certfile) if settings.ssl_certfile else None,
        ssl_keyfile=str(settings.ssl_keyfile) if settings.ssl_keyfile else None,
        ssl_verify=False,  # of Gradio's question to itself, whether it is there
        prevent_thread_lock=True,
        app_kwargs={
            "routes": [*web_libraries.routes(), *live.routes(), *heads.routes(), *health.routes()],
            "middleware": [Middleware(Manners), Middleware(Gate, owners=owners, settings=settings)],
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
