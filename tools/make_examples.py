"""Makes assets/examples: a talking speaker, a listener's portrait and a listener's clip, all from the built-in head.

    apt-get install espeak-ng
    python -m tools.make_examples

Nobody real is in them, so they may be shown, tested with and shipped. The mouth follows the synthetic voice: jaw from
the loudness, lips from where the sound's energy lies. The rest (blinks, nods, glances, smiles) is written down as small
bumps in time. They are examples to try the program with, not data to judge it by.
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter1d
from scipy.signal import stft

from perfrdiff.coefficients import CHANNEL, FPS, WIDTH, neutral
from renderer.face_model import load_face_model
from renderer.mesh import MeshRenderer
from renderer.resources import asset
from renderer.video.writer import VideoWriter

FOLDER = asset("examples")
SIZE = 512
TEXT = (
    "You will not believe what happened this morning. I missed the bus, and then, guess who stopped to give me a lift?"
)
VOICE = ("espeak-ng", "-v", "en-gb+m3", "-s", "165", "-p", "42", "-g", "3")
METADATA = {"title": "Computer-made example, nobody real", "comment": "CC0, made by tools/make_examples.py"}


def speech() -> tuple[np.ndarray, int]:
    """The sentence, spoken by espeak-ng: (N,) float32 mono and its rate in Hz, with a short rest at both ends."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run([*VOICE, "-w", str(path), TEXT], check=True)
        with wave.open(str(path)) as file:
            rate = file.getframerate()
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
    rest = np.zeros(round(0.4 * rate), np.float32)
    samples = np.concatenate([rest, 0.7 * samples / np.abs(samples).max(), rest])
    whole = -len(samples) % (rate // FPS)
    return np.pad(samples, (0, whole)), rate


def bump(frames: int, at: float, length: float, height: float) -> np.ndarray:
    """(frames,) a smooth rise and fall: a Gaussian centred at second `at`, about `length` seconds wide."""
    return height * np.exp(-0.5 * ((np.arange(frames) / FPS - at) / (length / 2.4)) ** 2)


def drift(frames: int, seconds: float, size: float, seed: int) -> np.ndarray:
    """(frames,) slow wandering of standard deviation `size`, changing over about `seconds`."""
    noise = np.random.default_rng(seed).standard_normal(frames + 400)
    smooth = gaussian_filter1d(noise, seconds * FPS)[200:-200]
    return size * smooth / smooth.std()


class Take:
    """A clip's coefficients (T, 58), filled channel by channel; left and right together where the name has sides."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.rows = np.repeat(neutral()[None], frames, 0)

    def add(self, name: str, values: np.ndarray) -> None:
        for side in ("", "Left", "Right"):
            if name + side in CHANNEL:
                self.rows[:, CHANNEL[name + side]] += values

    def blink(self, *seconds: float) -> None:
        for at in seconds:
            self.add("eyeBlink", bump(self.frames, at, 0.16, 0.95))
            self.add("eyeLookDown", bump(self.frames, at, 0.16, 0.3))

    def nod(self, at: float, degrees: float) -> None:
        self.add(
            "rotationX",
            -np.radians(bump(self.frames, at, 0.35, degrees) - bump(self.frames, at + 0.3, 0.4, 0.3 * degrees)),
        )

    def smile(self, at: float, length: float, height: float) -> None:
        values = bump(self.frames, at, length, height)
        for name, share in (("mouthSmile", 1), ("cheekSquint", 0.7), ("eyeSquint", 0.4), ("mouthUpperUp", 0.2)):
            self.add(name, share * values)

    def sway(self, seed: int, size: float) -> None:
        for index, (name, degrees) in enumerate((("rotationX", 0.8), ("rotationY", 2.2), ("rotationZ", 1.2))):
            self.add(name, np.radians(drift(self.frames, 0.7, degrees * size, seed + index)))
        for index, name in enumerate(("translationX", "translationY")):
            self.add(name, drift(self.frames, 1.2, 0.012 * size, seed + 5 + index))

    def glance(self, at: float, length: float, height: float) -> None:
        """Eyes to the subject's left and back."""
        values = bump(self.frames, at, length, height)
        self.rows[:, CHANNEL["eyeLookOutLeft"]] += values
        self.rows[:, CHANNEL["eyeLookInRight"]] += values

    def done(self) -> np.ndarray:
        rows = self.rows.astype(np.float32)
        rows[:, :52] = rows[:, :52].clip(0, 1)
        assert rows.shape[1] == WIDTH
        return rows


def speaker(samples: np.ndarray, rate: int) -> np.ndarray:
    """Coefficients (T, 58) of somebody who says `samples`."""
    frames = len(samples) * FPS // rate
    hop = rate // FPS
    _, _, spectrum = stft(samples, rate, nperseg=2 * hop, noverlap=hop)
    power = np.abs(spectrum[:, :frames]) ** 2
    frequency = np.linspace(0, rate / 2, len(power))
    loud = np.sqrt(power.sum(0))
    loud = gaussian_filter1d(loud / np.quantile(loud, 0.95), 0.8).clip(0, 1.2)
    bright = power[frequency > 2500].sum(0) / (power.sum(0) + 1e-9)  # hisses: teeth together, lips wide
    dark = power[(frequency > 80) & (frequency < 450)].sum(0) / (power.sum(0) + 1e-9)  # oo and m: round or closed
    bright, dark = gaussian_filter1d(bright, 0.8), gaussian_filter1d(dark, 0.8)
    talking = gaussian_filter1d((loud > 0.05).astype(float), 3)

    take = Take(frames)
    take.add("jawOpen", 0.55 * loud * (1 - 0.7 * bright) * (1 - 0.5 * dark))
    take.add("mouthLowerDown", 0.35 * loud * (1 - dark))
    take.add("mouthUpperUp", 0.15 * loud)
    take.add("mouthStretch", 0.3 * bright * talking)
    take.add("mouthFunnel", 0.45 * loud * dark)
    take.add("mouthPucker", 0.35 * loud * gaussian_filter1d((dark - dark.mean()).clip(0, 1), 1))
    take.sway(seed=3, size=1.2)
    take.blink(0.5, 2.35, 2.65, 4.9, 6.3)
    for at, degrees in ((0.75, 5), (1.7, 4), (3.3, 4), (4.4, 5), (5.6, 3)):
        take.nod(at, degrees)
    for at, length, height in ((1.0, 0.9, 0.5), (3.4, 0.7, 0.35), (4.7, 1.4, 0.7)):
        take.add("browInnerUp", bump(frames, at, length, height))
        take.add("browOuterUp", bump(frames, at, length, 0.8 * height))
    take.add("browDown", bump(frames, 2.9, 0.8, 0.35))
    take.glance(3.0, 0.8, 0.5)
    end = frames / FPS
    take.smile(end - 0.6, 1.8, 0.65)
    take.add("rotationZ", np.radians(bump(frames, end - 0.9, 1.5, 5)))
    return take.done()


def listener(frames: int) -> np.ndarray:
    """Coefficients (T, 58) of somebody who listens: small nods, a smile that comes and stays a little, raised brows."""
    take = Take(frames)
    take.sway(seed=20, size=0.8)
    take.blink(0.8, 2.1, 3.9, 4.3, 6.4, 7.2)
    for at in (1.4, 1.85, 3.2, 5.1, 5.5, 5.9):
        take.nod(at, 6)
    take.add("browInnerUp", bump(frames, 2.7, 1.0, 0.6))
    take.add("browOuterUp", bump(frames, 2.7, 1.0, 0.45))
    take.smile(5.4, 3.0, 0.6)
    take.smile(1.6, 1.2, 0.25)
    take.add("rotationZ", np.radians(4 / (1 + np.exp(-(np.arange(frames) / FPS - 3.6) * 4))))
    take.glance(3.7, 0.5, 0.35)
    return take.done()


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    face = load_face_model()

    samples, rate = speech()
    talking = speaker(samples, rate)
    with VideoWriter(FOLDER / "speaker.mp4", (SIZE, SIZE), audio=(samples, rate), metadata=METADATA) as video:
        for frame in MeshRenderer(face, SIZE, mesh_identity="Kofi").render(talking):
            video.write(frame)

    listening = listener(8 * FPS)
    with VideoWriter(FOLDER / "listener.mp4", (SIZE, SIZE), metadata=METADATA) as video:
        for frame in MeshRenderer(face, SIZE, mesh_identity="Omar").render(listening):
            video.write(frame)

    still = Take(1)
    still.add("mouthSmile", np.array([0.12]))
    (portrait,) = MeshRenderer(face, SIZE, mesh_identity="Mara").render(still.done())
    Image.fromarray(portrait).save(FOLDER / "portrait.jpg", quality=92)

    for file in sorted(FOLDER.iterdir()):
        print(f"{file.name}: {file.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
