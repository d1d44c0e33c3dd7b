"""A corpus of simulated conversations, held in memory as tokens and kept on disk between runs."""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perfrdiff.data.simulator.habits import REST_SCALE, ListenerHabits, draw_habits, left_right_columns
from perfrdiff.data.simulator.listener import simulate_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.models.motion_codec import MotionCodec


@dataclass(frozen=True)
class CorpusConfig:
    """How much is simulated. The same configuration gives the same corpus."""

    seed: int = 1
    persons: int = 4000
    clips_per_person: int = 4
    speakers: int = 2400
    seconds: float = 30.0
    version: int = 4  # of the simulator: raise it when what it makes changes


@dataclass(frozen=True)
class Corpus:
    """Listener clip i belongs to person `person[i]` and answers speaker clip `speaker[i]`; tokens of `codec`."""

    listener: Tensor  # (clips, tokens, D) float16
    person: Tensor  # (clips,) int
    speaker: Tensor  # (clips,) int
    habits: Tensor  # (persons, habits), of `habits_as_vector`, standardised over persons
    speaker_coefficients: Tensor  # (speakers, tokens, S) float16
    speaker_audio: Tensor  # (speakers, tokens, patch * 78) float16
    codec: MotionCodec

    @property
    def tokens(self) -> int:
        """Tokens in a clip."""
        return self.listener.shape[1]

    @property
    def device(self) -> torch.device:
        return self.listener.device

    def to(self, device: torch.device | str) -> "Corpus":
        """The same corpus on another device."""
        return Corpus(**{name: getattr(self, name).to(device) for name in self.__dataclass_fields__})

    def clips_of(self) -> Tensor:
        """(persons, clips per person): which clips belong to a person."""
        return torch.argsort(self.person, stable=True).reshape(int(self.person.max()) + 1, -1)


def habits_as_vector(habits: ListenerHabits) -> np.ndarray:
    """A person's habits as numbers of roughly even spread, (habits,): logarithms of rates and sizes, the rest face."""
    not_logarithmic = {"nod_follow", "smile_gain", "smile_latency", "smile_asymmetry", "gaze_side", "nod_speed"}
    numbers = [
        value if name in not_logarithmic or name.startswith("rest_") else np.log(value)
        for name, value in habits.numbers().items()
    ]
    rest_levels = [np.sqrt(habits.rest_face[left_right_columns(name)[0]]) for name in REST_SCALE]
    return np.array([*numbers, *rest_levels], np.float32)


def _simulate_part(task: tuple[CorpusConfig, int, int]) -> dict[str, np.ndarray]:
    """A self-contained part of the corpus, with persons and speakers of its own; `task`: configuration, part, parts."""
    config, part, parts = task
    rng = np.random.default_rng([config.seed, part])
    speakers = [simulate_speaker(rng, config.seconds) for _ in range(config.speakers // parts)]
    listener, person, speaker, habit_vectors = [], [], [], []
    for p in range(config.persons // parts):
        habits = draw_habits(rng)
        habit_vectors.append(habits_as_vector(habits))
        for s in rng.choice(len(speakers), config.clips_per_person, replace=False):
            listener.append(simulate_listener(speakers[s], habits, rng))
            person.append(p)
            speaker.append(s)
    return {
        "listener": np.stack(listener),
        "person": np.array(person) + part * (config.persons // parts),
        "speaker": np.array(speaker) + part * (config.speakers // parts),
        "habits": np.stack(habit_vectors),
        "speaker_coefficients": np.stack([s.coefficients for s in speakers]),
        "speaker_audio": np.stack([s.audio for s in speakers]),
    }


def _simulate(config: CorpusConfig, parts: int = 8) -> Corpus:
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = list(pool.map(_simulate_part, [(config, part, parts) for part in range(parts)]))
    arrays = {key: np.concatenate([result[key] for result in results]) for key in results[0]}
    face, voice = arrays["speaker_coefficients"], arrays["speaker_audio"]
    codec = MotionCodec.fit(arrays["listener"], face, voice)
    habits = torch.tensor(arrays["habits"])
    habits = (habits - habits.mean(0)) / habits.std(0).clamp(min=1e-6)
    return Corpus(
        _tokens_in_parts(codec.coefficients, arrays["listener"]),
        torch.tensor(arrays["person"]),
        torch.tensor(arrays["speaker"]),
        habits,
        _tokens_in_parts(codec.speaker, face),
        _tokens_in_parts(codec.audio, voice),
        codec,
    )


def _tokens_in_parts(tokens_of: Callable[[Tensor], Tensor], clips: np.ndarray) -> Tensor:
    return torch.cat([tokens_of(torch.tensor(part)).half() for part in np.array_split(clips, len(clips) // 500 + 1)])


def load_corpus(config: CorpusConfig, folder: Path) -> Corpus:
    """The corpus of this configuration, simulated once and kept in `folder`."""
    key = hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode()).hexdigest()[:12]
    path = folder / f"corpus_{key}.pt"
    if path.exists():
        saved = torch.load(path, weights_only=True)
        return Corpus(codec=MotionCodec(**saved.pop("codec")), **saved)
    corpus = _simulate(config)
    folder.mkdir(parents=True, exist_ok=True)
    saved = {name: getattr(corpus, name) for name in Corpus.__dataclass_fields__ if name != "codec"}
    unfinished = path.with_suffix(".part")
    torch.save({**saved, "codec": corpus.codec.state_dict()}, unfinished)
    unfinished.rename(path)
    return corpus
