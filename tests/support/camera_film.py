"""A film as Chromium's camera and microphone."""

from __future__ import annotations

import shutil
import wave
from pathlib import Path

import cv2
import numpy as np

from perfrdiff.coefficients import FPS
from perfrdiff.features.media.audio_track import RATE
from perfrdiff.features.media.input import open_input

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run",
    "--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage", "--mute-audio",
)  # fmt: skip
FAKE_DEVICES = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
MOST_SECONDS = 30  # of pictures, which are not compressed


def camera_files(film: Path, folder: Path, seconds: float = MOST_SECONDS, long_side: int = 480) -> tuple[str, str]:
    """Chromium's arguments that make a film its camera and its microphone, over and over."""
    pictures, sound = folder / "camera.y4m", folder / "microphone.wav"
    with open_input(film, 3600) as media:
        audio = media.audio()
        frames = round(seconds * FPS)
        with pictures.open("wb") as file:
            count = 0
            for picture in media.frames(long_side):
                height, width = (side // 2 * 2 for side in picture.shape[:2])
                if not count:
                    file.write(f"YUV4MPEG2 W{width} H{height} F{FPS}:1 Ip A1:1 C420jpeg\n".encode())
                planes = cv2.cvtColor(np.ascontiguousarray(picture[:height, :width]), cv2.COLOR_RGB2YUV_I420)
                file.write(b"FRAME\n" + planes.tobytes())
                count += 1
                if count == frames:
                    break
    samples = np.zeros(count * RATE // FPS) if audio is None else audio.samples[: count * RATE // FPS]
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return f"--use-file-for-fake-video-capture={pictures}", f"--use-file-for-fake-audio-capture={sound}"
