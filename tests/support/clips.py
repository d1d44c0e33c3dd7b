"""Clips that tests make themselves, and clips cut from the examples that come with the program."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from renderer.resources import asset

EXAMPLES = asset("examples")
RATE = 16000


def write_clip(
    path: Path,
    pictures: Iterable[np.ndarray],
    times: Sequence[float],
    *,
    codec: str = "libx264",
    turn: int = 0,
    aspect: Fraction | None = None,
    audio_tracks: Sequence[tuple[float, np.ndarray]] = (),
) -> Path:
    """Write (H, W, 3) pictures at given times in seconds, and audio tracks given as (start, mono samples at 16 kHz)."""
    with av.open(str(path), "w") as container:
        video = None
        tracks = []
        for picture, time in zip(pictures, times, strict=True):
            if video is None:
                video = container.add_stream(codec, rate=1000)
                video.height, video.width = picture.shape[:2]
                video.pix_fmt = "yuv420p"
                video.codec_context.time_base = Fraction(1, 1000)
                if codec == "libx264":
                    video.options = {"crf": "12", "preset": "ultrafast"}
                if aspect is not None:
                    video.codec_context.sample_aspect_ratio = aspect
                if turn:
                    video.set_display_rotation(turn)
                audio_codec = "pcm_s16le" if path.suffix == ".mov" else "aac"
                tracks = [container.add_stream(audio_codec, rate=RATE, layout="mono") for _ in audio_tracks]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for track, (start, samples) in zip(tracks, audio_tracks, strict=True):
            audio = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
            audio.sample_rate, audio.pts, audio.time_base = RATE, round(start * RATE), Fraction(1, RATE)
            container.mux(track.encode(audio))
            container.mux(track.encode(None))
    return path


def grey(value: float, width: int = 64, height: int = 64) -> np.ndarray:
    return np.full((height, width, 3), value, dtype=np.uint8)


def ramp(count: int, width: int = 64, height: int = 64) -> list[np.ndarray]:
    """Pictures that get steadily brighter, so that a picture tells its number: 16 … 235."""
    return [grey(value, width, height) for value in np.linspace(16, 235, count)]


def click(seconds: float, at: float) -> np.ndarray:
    """Silence of a length with a 20 ms burst that begins at ``at`` seconds."""
    samples = np.zeros(round(seconds * RATE))
    start = round(at * RATE)
    samples[start : start + 320] = 0.8 * np.sin(np.arange(320) * 0.8)
    return samples


def corners(width: int, height: int) -> np.ndarray:
    """A picture whose four quarters are red, green, blue, white from top left in reading order."""
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    middle, centre = height // 2, width // 2
    picture[:middle, :centre, 0] = 220
    picture[:middle, centre:, 1] = 220
    picture[middle:, :centre, 2] = 220
    picture[middle:, centre:] = 220
    return picture


def two_people(path: Path, face: np.ndarray, frames: int = 30) -> Path:
    """A clip in which a (1024 or more, square) picture of a face is seen large on the left and smaller on the right."""
    picture = grey(120, 640, 320)
    for size, x, y in ((256, 20, 20), (170, 440, 60)):
        step = face.shape[0] // size
        small = face[: size * step, : size * step].astype(np.float32).reshape(size, step, size, step, 3)
        picture[y : y + size, x : x + size] = small.mean(axis=(1, 3)).astype(np.uint8)
    return write_clip(path, [picture] * frames, np.arange(frames) / 25)


def cut(source, target, seconds, audio=True):
    """The packets of a clip up to a time, copied: no pixel changes."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        streams = [old.streams.video[0], *(old.streams.audio if audio else ())]
        copies = {stream.index: new.add_stream_from_template(stream) for stream in streams}
        for packet in old.demux(streams):
            if packet.dts is not None and packet.pts * packet.time_base < seconds - 1e-6:
                packet.stream = copies[packet.stream.index]
                new.mux(packet)
    return target
