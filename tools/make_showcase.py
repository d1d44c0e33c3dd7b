"""Makes assets/showcase: what the page opens with, four reactions to the example speaker, made by the demo weights.

    python -m tools.make_showcase

The same run as the page's button "Make it again": the same files, seed and settings. Nobody real is in it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from page.showcase import LISTENER, NOTE, SPEAKER, TITLE, settings
from page.watch_data import write_watch_files
from perfrdiff.features.clip import read_listener, read_speaker
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.pipeline.run import react
from renderer.face_model import load_face_model
from renderer.identity.fit import fit_identity
from renderer.identity.identity import Identity
from renderer.resources import asset

FOLDER = asset("showcase")
LARGEST = 3_000_000  # bytes of all videos together


def main() -> None:
    speaker, listener = asset(SPEAKER), asset(LISTENER)
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "run"
        result = react(ReactRequest(speaker=speaker, listener=listener, out=out, **settings()))
        FOLDER.mkdir(exist_ok=True)
        for earlier in FOLDER.iterdir():
            if earlier.name != "LICENSE.md":
                earlier.unlink()
        videos = {
            str(reaction.number): {view: Path(shutil.copy(file, FOLDER)).name for view, file in reaction.videos.items()}
            for reaction in result.reactions
        }
        coefficients = np.load(result.coefficients)["coefficients"]
        description = write_watch_files(
            FOLDER, coefficients, read_speaker(speaker), style=result.style, head=_head(listener)
        )
    about = {"title": TITLE, "note": NOTE, "speaker": SPEAKER, "videos": videos}
    (FOLDER / "showcase.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    size = sum(file.stat().st_size for file in FOLDER.glob("*.mp4"))
    assert size < LARGEST, f"{size} bytes of video are too many for a page that opens with them"
    print(f"{description.parent}: {size / 1e6:.1f} MB of video, {len(coefficients)} reactions")


def _head(photo: Path) -> Identity:
    """The listener's head."""
    listener = read_listener(photo)
    assert listener.photo is not None and listener.landmarks is not None and listener.photo_coefficients is not None
    return fit_identity(load_face_model(), listener.photo, listener.landmarks, listener.photo_coefficients)


if __name__ == "__main__":
    main()
