"""Simulated conversations on disk in the layout of REACT 2024, so that one loader serves both.

A *talk* is one person speaking for 30 s. Several sessions hear the same talk, each with a listener of their own; those
are appropriate for one another, which is what the neighbour matrices say. A session is NoXI/<number>: the expert talks,
the novice listens. Every split has its own persons, talks and chance.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from perfrdiff.coefficients import FPS
from perfrdiff.data.react2024.dataset import FRAMES, MEAN_FACE, SPLITS, Entry, emotion_path, personal_mask
from perfrdiff.data.simulator.habits import ListenerHabits, draw_habits
from perfrdiff.data.simulator.listener import simulate_tracked_listener
from perfrdiff.data.simulator.speaker import SimulatedSpeaker, simulate_speaker
from perfrdiff.data.simulator.speech import RATE
from perfrdiff.data.simulator.voices import Voices
from perfrdiff.errors import InputError
from perfrdiff.features.attributes import ATTRIBUTE_NAMES, facial_attributes
from perfrdiff.files import check_disk_space

SECONDS = (FRAMES + 1) / FPS  # 751 frames, as in REACT 2024
CLIP_BYTES = 1_400_000  # wav, npy and csv of one clip, rounded up
ROOM_NOISE = 10 ** (-62 / 20)  # of a listener who says nothing: full scale
SEED = 1_224_000  # keeps these dyads apart from those of training and evaluation


@dataclass(frozen=True)
class DatasetSize:
    """How much is simulated, and from which seed; the same size gives the same folder."""

    dyads: int = 120  # clips of a speaker and a listener, in the training split; the other two have a fifth each
    clips: int = 4  # of one session: of one listener
    listeners: int = 3  # sessions that hear the same talks
    seed: int = 0

    def sessions(self, split: str) -> int:
        share = self.dyads if split == "train" else max(self.dyads // 5, self.clips * self.listeners)
        return max(1, round(share / self.clips))


def write_dataset(
    size: DatasetSize, out: Path, progress: Callable[[int, int], None] | None = None, voices: Voices | None = None
) -> dict[str, int]:
    """Write all splits to `out/data`, the mean face to `out/external`; returns dyads per split.

    Most talks are built of `voices`, all are made up where there are none.

    Raises InputError before anything is written: for impossible numbers, a folder that holds something, too little
    disk. A killed run leaves `out` without `train.csv`, which is written last.
    """
    for name in ("dyads", "clips", "listeners"):
        if getattr(size, name) < 1:
            raise InputError(f"--{name} is {getattr(size, name)}; at least 1 is needed.")
    if size.clips < 2:
        raise InputError(
            "--clips is 1; a style is learnt from another clip of the same listener, so at least 2 are needed."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder; give a new one.")
    counts = {split: size.sessions(split) * size.clips for split in SPLITS}
    total, needed = sum(counts.values()), 2 * CLIP_BYTES * sum(counts.values())
    check_disk_space(next(parent for parent in (out, *out.resolve().parents) if parent.exists()), needed)
    data, done, faces = out / "data", 0, []
    for number, split in sorted(enumerate(SPLITS), reverse=True):
        rows: list[Entry] = []
        talks: list[int] = []
        for entry, talk, mean in _write_split(size, number, split, data / split, voices):
            rows.append(entry)
            talks.append(talk)
            if split == "train":
                faces.append(mean)
            done += 1
            if progress is not None:
                progress(done, total)
        _write_matrices(data, split, rows, talks)
        if split == "train":
            mean_file = out / "external" / MEAN_FACE
            mean_file.parent.mkdir(parents=True)
            np.save(mean_file, np.mean(faces, axis=0).astype(np.float32))
        _write_index(data, split, rows)
    return counts


def _write_split(
    size: DatasetSize, number: int, split: str, root: Path, voices: Voices | None
) -> Iterator[tuple[Entry, int, np.ndarray]]:
    """Write the clips of a split; yields each dyad, the number of its talk, and the mean face of both clips."""
    talks: list[SimulatedSpeaker] = []
    for session in range(size.sessions(split)):
        rng = np.random.default_rng([SEED, size.seed, number, session])
        if session % size.listeners == 0:
            talks = [simulate_speaker(rng, SECONDS, voices) for _ in range(size.clips)]
        habits: ListenerHabits = draw_habits(rng)
        for clip in range(size.clips):
            speaker = talks[clip]
            paths = [f"NoXI/{session + 1:03}/{seat}/{clip + 1}" for seat in ("Expert_video", "Novice_video")]
            reaction = simulate_tracked_listener(speaker, habits, rng)
            silence = ROOM_NOISE * rng.standard_normal(len(speaker.waveform))
            _write_clip(root, paths[0], speaker.coefficients, speaker.waveform)
            _write_clip(root, paths[1], reaction, silence)
            mean = (speaker.coefficients.mean(axis=0) + reaction.mean(axis=0)) / 2
            yield Entry(*paths), session // size.listeners * size.clips + clip, mean


def _write_clip(root: Path, path: str, coefficients: np.ndarray, waveform: np.ndarray) -> None:
    face, voice = root / "3D_FV_files" / f"{path}.npy", root / "Audio_files" / f"{path}.wav"
    emotion = root / "Emotion" / f"{emotion_path(path)}.csv"
    for file in (face, voice, emotion):
        file.parent.mkdir(parents=True, exist_ok=True)
    np.save(face, coefficients[:, None].astype(np.float32))
    wavfile.write(voice, RATE, np.round(np.clip(waveform, -1, 1) * 32767).astype(np.int16))
    with emotion.open("w", newline="", encoding="utf-8") as file:
        file.write(",".join(ATTRIBUTE_NAMES) + "\n")
        np.savetxt(file, facial_attributes(coefficients), fmt="%.5f", delimiter=",")


def _write_index(data: Path, split: str, rows: list[Entry]) -> None:
    for name in (f"person_specific_{split}.csv", f"{split}.csv"):
        with (data / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("id", "speaker", "listener"))
            writer.writerows((i, row.speaker, row.listener) for i, row in enumerate(rows))


def _write_matrices(data: Path, split: str, rows: list[Entry], talks: list[int]) -> None:
    """Listeners of the same talk are appropriate for one another; with roles swapped, so are those who gave it."""
    data.mkdir(parents=True, exist_ok=True)
    same = np.equal.outer(talks, talks)
    matrix = np.kron(np.eye(2, dtype=bool), same)
    entries = rows + [row.swapped for row in rows]
    np.save(data / f"neighbour_emotion_{split}.npy", matrix.astype(np.uint8))
    masked = personal_mask(matrix, entries) | np.eye(len(entries), dtype=bool)
    np.save(data / f"person_specific_masked_neighbour_emotion_{split}.npy", masked.astype(np.uint8))
