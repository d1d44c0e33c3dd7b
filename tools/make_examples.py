"""Makes assets/examples: three talking speakers, and six listeners as portraits and clips, all from the built-in head.

    apt-get install espeak-ng
    python -m tools.make_examples

Nobody real is in them, so they may be shown, tested with and shipped. The mouth follows the synthetic voice: jaw from
the loudness, lips from where the sound's energy lies. The rest (blinks, nods, glances, smiles) is written down as small
bumps in time. They are examples to try the program with, not data to judge it by.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import wave
from collections.abc import Callable
from dataclasses import dataclass
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
THUMBNAIL = 144  # pixels of an entry's picture in the gallery
METADATA = {"title": "Computer-made example, nobody real", "comment": "CC0, made by tools/make_examples.py"}


def speech(text: str, voice: tuple[str, ...]) -> tuple[np.ndarray, int]:
    """A sentence, spoken by espeak-ng: (N,) float32 mono and its rate in Hz, with a short rest at both ends."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["espeak-ng", *voice, "-w", str(path), text], check=True)
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


def talk(samples: np.ndarray, rate: int) -> Take:
    """Somebody who says `samples`: the mouth alone."""
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
    return take


def gladly(take: Take) -> None:
    """Raised brows, nods on what is stressed, a smile at the end."""
    frames = take.frames
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


def sadly(take: Take) -> None:
    """A lowered head, inner brows up, corners of the mouth down, eyes that go to the floor."""
    frames, end = take.frames, take.frames / FPS
    take.sway(seed=41, size=0.7)
    take.blink(0.7, 2.2, 3.9, 4.3, 6.0)
    take.add("rotationX", np.radians(drift(frames, 1.5, 1.5, 44) + 5))
    take.add("browInnerUp", 0.45 + bump(frames, 1.2, 1.4, 0.3) + bump(frames, 4.6, 1.8, 0.35))
    take.add("mouthFrown", 0.25 + bump(frames, end - 0.8, 2.0, 0.3))
    for at, length, height in ((2.6, 1.2, 0.55), (end - 1.1, 1.6, 0.6)):
        take.add("eyeLookDown", bump(frames, at, length, height))
        take.add("eyeBlink", bump(frames, at, length, 0.2))
    take.add("rotationZ", np.radians(bump(frames, 3.4, 2.2, -4)))


def indignantly(take: Take) -> None:
    """Lowered brows, sharp nods, a shake of the head, wide eyes at the end."""
    frames, end = take.frames, take.frames / FPS
    take.sway(seed=63, size=1.5)
    take.blink(0.4, 1.9, 3.1, 4.6, 5.9)
    take.add("browDown", 0.3 + bump(frames, 1.3, 1.5, 0.4) + bump(frames, 3.6, 1.4, 0.35))
    take.add("noseSneer", bump(frames, 2.2, 0.9, 0.4))
    for at in (0.8, 1.5, 2.3, 3.2, 3.9):
        take.nod(at, 6)
    seconds = np.arange(frames) / FPS
    take.add("rotationY", np.radians(bump(frames, end - 1.6, 1.4, 1.0) * 7 * np.sin(2 * np.pi * 1.6 * seconds)))
    for name, height in (("eyeWide", 0.5), ("browOuterUp", 0.6), ("browInnerUp", 0.3)):
        take.add(name, bump(frames, end - 0.6, 1.1, height))


def attentively(take: Take) -> None:
    """Small nods, a smile that comes and stays a little, raised brows."""
    frames = take.frames
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


def warmly(take: Take) -> None:
    """Broad smiles, many nods, the head to one side."""
    frames = take.frames
    take.sway(seed=70, size=1.4)
    take.blink(0.6, 1.5, 2.9, 4.2, 5.0, 6.6)
    for at in (0.7, 1.1, 1.5, 2.6, 3.0, 4.4, 4.8, 5.2, 6.3, 6.7):
        take.nod(at, 9)
    for at, length, height in ((1.4, 2.0, 0.7), (4.2, 2.4, 0.8), (6.9, 1.4, 0.6)):
        take.smile(at, length, height)
    take.add("browOuterUp", bump(frames, 2.4, 1.2, 0.5) + bump(frames, 5.6, 1.0, 0.5))
    take.add("rotationZ", np.radians(5 * np.sin(2 * np.pi * np.arange(frames) / FPS / 6.5)))


def coolly(take: Take) -> None:
    """Hardly a movement: one nod, looks that wander off, brows that come down."""
    frames = take.frames
    take.sway(seed=90, size=0.35)
    take.blink(1.9, 4.8, 7.3)
    take.nod(5.5, 3)
    for at, length, height in ((1.2, 1.4, 0.6), (3.6, 1.8, 0.65), (6.4, 1.0, 0.5)):
        take.glance(at, length, height)
    take.add("browDown", 0.15 + bump(frames, 3.4, 1.6, 0.35))
    take.add("mouthPress", bump(frames, 4.6, 1.6, 0.4))


@dataclass(frozen=True)
class Entry:
    """One file of the gallery, and how it is made."""

    file: str
    title: str  # of its button
    words: str  # a second line
    looks: str  # a name in renderer.mesh_identities
    moves: Callable[[Take], None] | None = None  # None: a portrait
    text: str = ""  # a speaker's sentence
    voice: tuple[str, ...] = ()  # options of espeak-ng
    style: str = ""  # a portrait's: a named listening style of the demo weights

    @property
    def role(self) -> str:
        return "speaker" if self.text else "listener"


ENTRIES = (
    Entry(
        "speaker.mp4", "The lift", "surprised and glad", "Kofi", gladly,
        "You will not believe what happened this morning. I missed the bus, and then, guess who stopped to give me a "
        "lift?", ("-v", "en-gb+m3", "-s", "165", "-p", "42", "-g", "3"),
    ),
    Entry(
        "speaker_sad.mp4", "The station", "sad, and slow", "Edda", sadly,
        "I waited at the station for two hours. Nobody came, and nobody called. So I just went home.",
        ("-v", "en-gb+f2", "-s", "135", "-p", "38", "-g", "6"),
    ),
    Entry(
        "speaker_indignant.mp4", "The boss", "indignant, and fast", "Alex", indignantly,
        "And then he told me, to my face, that my work was not good enough. After six years! Can you believe that?",
        ("-v", "en-us+m7", "-s", "180", "-p", "50", "-g", "2"),
    ),
    Entry("portrait.jpg", "Mara", "photo, attentive", "Mara", style="Attentive"),
    Entry("portrait_yuna.jpg", "Yuna", "photo, lively", "Yuna", style="Lively"),
    Entry("portrait_kofi.jpg", "Kofi", "photo, doubtful", "Kofi", style="Doubtful"),
    Entry("listener.mp4", "Omar", "video, nods along", "Omar", attentively),
    Entry("listener_warm.mp4", "Edda", "video, warm and quick", "Edda", warmly),
    Entry("listener_cool.mp4", "Alex", "video, hardly moves", "Alex", coolly),
)  # fmt: skip
LISTENING_SECONDS = 8
MOMENT = 0.45  # of a clip, as a share of its length: its picture in the gallery


def make(entry: Entry) -> np.ndarray:
    """Write the file of an entry; (H, W, 3) uint8 RGB, its picture."""
    mesh = MeshRenderer(load_face_model(), SIZE, mesh_identity=entry.looks)
    if entry.moves is None:
        still = Take(1)
        still.add("mouthSmile", np.array([0.12]))
        (portrait,) = mesh.render(still.done())
        Image.fromarray(portrait).save(FOLDER / entry.file, quality=92)
        return portrait
    sound = speech(entry.text, entry.voice) if entry.text else None
    take = talk(*sound) if sound else Take(LISTENING_SECONDS * FPS)
    entry.moves(take)
    moment, picture = round(MOMENT * take.frames), np.empty(0)
    with VideoWriter(FOLDER / entry.file, (SIZE, SIZE), audio=sound, metadata=METADATA) as video:
        for index, frame in enumerate(mesh.render(take.done())):
            video.write(frame)
            picture = frame if index == moment else picture
    return picture


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    library = []
    for entry in ENTRIES:
        thumbnail = f"{Path(entry.file).stem}_small.jpg"
        picture = Image.fromarray(make(entry)).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        picture.save(FOLDER / thumbnail, quality=85)
        names = ("role", "file", "title", "words", "style")
        library.append({name: getattr(entry, name) for name in names} | {"picture": thumbnail})
    text = json.dumps({"entries": library}, indent=2)
    (FOLDER / "library.json").write_text(text + "\n", encoding="utf-8")
    for file in sorted(FOLDER.iterdir()):
        print(f"{file.name}: {file.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
