"""The jitter filter: how steady a still face is read, and how much of a blink and of a nod remains.

    python -m benchmarks.steadiness

Drawn heads are filmed by a bad camera (noise on every pixel, H.264 at an ordinary quality) and tracked:

* still: standard deviation of the angles (asked for: under 0.2 degrees) and of the units (asked for: under 0.02).
* blink: height of blinks of 100 ms against that of the same frames unsmoothed (asked for: within 10 %).
* nod: height of nods of 3 a second and 4 degrees, of that drawn, as tracked and as smoothed.
"""

import tempfile
from pathlib import Path

import av
import numpy as np

from perfrdiff.coefficients import CHANNEL, EXPRESSION, FPS, ROTATION, neutral
from perfrdiff.features.tracking import signals
from perfrdiff.features.tracking.face_track import track_video
from renderer.face_model import load_face_model
from renderer.mesh import MeshRenderer

SECONDS, SIZE = 6, 384
NOISE = 6.0  # of 255, standard deviation


def film(path: Path, rows: np.ndarray, identity: str, seed: int = 0) -> Path:
    """Write (T, 58) coefficients as a noisy video."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "23", "preset": "veryfast"}
        for picture in MeshRenderer(load_face_model(), SIZE, mesh_identity=identity).render(rows):
            noisy = np.clip(picture + rng.normal(0, NOISE, picture.shape), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def unsmoothed(path: Path) -> np.ndarray:
    """The clip's coefficients without any smoothing."""
    original = signals.filter_jitter
    signals.filter_jitter = lambda track, smallest: track
    try:
        return track_video(path).coefficients
    finally:
        signals.filter_jitter = original


def measure(identity: str, folder: Path) -> dict[str, float]:
    """The numbers of one named person's row in the table."""
    frames = SECONDS * FPS
    time = np.arange(frames) / FPS
    rest = np.tile_size(neutral(), (frames, 1))
    still = film(folder / "still.mp4", rest, identity)
    raw, smooth = unsmoothed(still), track_video(still).coefficients
    out = {}
    for name, rows in (("raw", raw), ("smooth", smooth)):
        out[f"{name} angle"] = float(np.degrees(rows[:, ROTATION].std(axis=0)).max())
        out[f"{name} unit"] = float(rows[:, EXPRESSION].std(axis=0).max())

    blinking = rest.copy()
    times = np.arange(1.0, SECONDS - 0.5, 0.9)
    lids = np.exp(-(((time[:, None] - times) / 0.06) ** 2)).max(axis=1)  # 100 ms at half height
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        blinking[:, CHANNEL[name]] = lids
    path = film(folder / "blinks.mp4", blinking, identity)
    lid = CHANNEL["eyeBlinkLeft"]
    raw, smooth = unsmoothed(path)[:, lid], track_video(path).coefficients[:, lid]
    tops = [slice(max(0, round(t * FPS) - 3), round(t * FPS) + 4) for t in times]
    out["blink kept"] = float(np.mean([smooth[top].max() / max(raw[top].max(), 1e-3) for top in tops]))

    nodding = rest.copy()
    nodding[:, CHANNEL["rotationX"]] += np.radians(2.0) * np.sin(2 * np.pi * 3.0 * time)
    path = film(folder / "nods.mp4", nodding, identity)
    wave = np.exp(-2j * np.pi * 3.0 * time)
    for name, read in (("raw", unsmoothed(path)), ("smooth", track_video(path).coefficients)):
        pitch = read[:, CHANNEL["rotationX"]]
        out[f"{name} nod"] = float(2 * abs(((pitch - pitch.mean()) * wave).mean()) / np.radians(2.0))
    return out


def main() -> None:
    print("| person | angle: raw, smoothed (deg) | unit: raw, smoothed | blink kept | 3 Hz nod: raw, smoothed |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for person in ("Alex", "Mara", "Kofi"):
            m = measure(person, Path(folder))
            print(
                f"| {person} | {m['raw angle']:.2f}, {m['smooth angle']:.2f} | {m['raw unit']:.3f}, "
                f"{m['smooth unit']:.3f} | {m['blink kept']:.0%} | {m['raw nod']:.0%}, {m['smooth nod']:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
