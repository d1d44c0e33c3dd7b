"""Everything loaded and compiled before the first visitor comes, by tiny runs that go the whole way."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from perfrdiff.coefficients import neutral
from perfrdiff.features.attributes import ATTRIBUTE_NAMES
from perfrdiff.features.clip import LISTENER_SECONDS
from perfrdiff.features.hearing import HEARING_NAMES
from perfrdiff.features.tables import AUDIO_NAMES, FeatureTable, write_table
from perfrdiff.pipeline.request import DEFAULTS, ReactRequest
from perfrdiff.pipeline.run import load_reactor, react
from perfrdiff.weights import available
from renderer import jit
from renderer.resources import asset, pirender_weights

PHOTO = asset("examples/portrait.jpg")
FRAMES = 25  # of a tiny run; a speaker has a second at least
STEPS = 2


def warm_up(weights: str = "demo", compile_all: bool = False) -> None:
    """Load the generator of these weights, the tracker and the face, by an ordinary run; and where that had to compile
    anything, compile every loop that any other run can come to.

    What was compiled is kept on disk (renderer.jit), so that only the first call on a machine takes long: half a minute
    of processor time. `compile_all`: do all of it in any case. Raises InputError for weights that cannot be used.
    """
    load_reactor(weights)
    with tempfile.TemporaryDirectory(prefix="perfrdiff-warm-up-") as name:
        folder = Path(name)
        speaker = _features_file(folder / "speaker.npz", FRAMES)
        listener = _features_file(folder / "listener.npz", round(LISTENER_SECONDS * 25))
        quickest = str(DEFAULTS["weights"]) if DEFAULTS["weights"] in available() else weights
        tiny = {"speaker": speaker, "samples": 1, "steps": STEPS, "weights": quickest}
        react(ReactRequest(**tiny, listener=PHOTO, out=folder / "photo"))
        if not (compile_all or jit.compilations()):
            return
        react(ReactRequest(**tiny, listener=PHOTO, out=folder / "transparent", views=("mesh",), transparent=True))
        react(ReactRequest(**tiny, listener=listener, out=folder / "grey", mesh_style="grey", transparent=True))
        if pirender_weights() is not None:  # it drew the photo
            react(ReactRequest(**tiny, listener=PHOTO, out=folder / "warp", views=("photo",), animator="warp"))


def _features_file(path: Path, frames: int) -> Path:
    """A features file of somebody who does nothing."""
    rows = np.repeat(neutral()[None], frames, axis=0)
    columns = (ATTRIBUTE_NAMES, AUDIO_NAMES, HEARING_NAMES)
    attributes, audio, hearing = (np.zeros((frames, len(names)), np.float32) for names in columns)
    write_table(path, FeatureTable(rows, attributes, audio, np.zeros(frames, np.uint8), hearing))
    return path
