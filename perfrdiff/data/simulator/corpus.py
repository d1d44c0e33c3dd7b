"""A corpus of simulated conversations, held in memory as tokens and kept on disk between runs."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perfrdiff.behaviour.event_features import event_features
from perfrdiff.data.simulator.habits import REST_SCALE, ListenerHabits, draw_habits, left_right_columns
from perfrdiff.data.simulator.listener import simulate_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.data.simulator.tracking import add_wander, simulate_tracking
from perfrdiff.data.simulator.voices import Voices
from perfrdiff.features.speaker_face import relative_face
from perfrdiff.models.listening_codec import ListeningCodec


@dataclass(frozen=True)
class CorpusConfig:
    """How much is simulated. The same configuration and voices give the same corpus."""

    seed: int = 1
    persons: int = 3000
    clips_per_person: int = 4
    speakers: int = 1200
    seconds: float = 30.0
    version: int = 6  # of the simulator: raise it when what it makes changes


SPANS = ((0.0, 1.0), (0.0, 0.5), (0.5, 1.0))
"""Parts of a clip, as shares of its length, of which event features are kept."""


@dataclass(frozen=True)
class Corpus:
    """Listener clip i belongs to person `person[i]` and answers speaker clip `speaker[i]`; tokens of `codec`."""

    listener: Tensor  # (clips, tokens, D) float16, as the person moves
    tracked: Tensor  # (clips, tokens, D) float16, as a tracker would see it
    features: Tensor  # (clips, events) event features as the person moves
    tracked_features: Tensor  # (clips, SPANS, events) the same as tracked, of parts of the clip
    person: Tensor  # (clips,) int
    speaker: Tensor  # (clips,) int
    habits: Tensor  # (persons, habits), of `habits_as_vector`, standardised over persons
    speaker_coefficients: Tensor  # (speakers, tokens, patch * 13) float16
    speaker_audio: Tensor  # (speakers, tokens, patch * 9) float16
    codec: ListeningCodec

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
    not_logarithmic = {
        "nod_follow", "smile_gain", "smile_latency", "smile_asymmetry", "gaze_side", "nod_speed", "laugh_gain",
    }  # fmt: skip
    numbers = [
        value if name in not_logarithmic or name.startswith("rest_") else np.log(value)
        for name, value in habits.numbers().items()
    ]
    rest_levels = [np.sqrt(habits.rest_face[left_right_columns(name)[0]]) for name in REST_SCALE]
    return np.array([*numbers, *rest_levels], np.float32)


def _simulate_part(task: tuple[CorpusConfig, Voices | None, int, int]) -> dict[str, np.ndarray]:
    """A self-contained part of the corpus, with persons and speakers of its own; `task`: what, voices, part, parts."""
    config, voices, part, parts = task
    rng = np.random.default_rng([config.seed, part])
    speakers = [simulate_speaker(rng, config.seconds, voices) for _ in range(config.speakers // parts)]
    listener, tracked, features, tracked_features, person, speaker, habit_vectors = [], [], [], [], [], [], []
    for p in range(config.persons // parts):
        habits = draw_habits(rng)
        habit_vectors.append(habits_as_vector(habits))
        for s in rng.choice(len(speakers), config.clips_per_person, replace=False):
            clip = simulate_listener(speakers[s], habits, rng)
            seen = add_wander(simulate_tracking(clip, rng), rng)
            listener.append(clip)
            tracked.append(seen)
            features.append(event_features(clip))
            tracked_features.append([event_features(piece) for piece in _spans(seen)])
            person.append(p)
            speaker.append(s)
    return {
        "listener": np.stack(listener),
        "tracked": np.stack(tracked),
        "features": np.array(features, np.float32),
        "tracked_features": np.array(tracked_features, np.float32),
        "person": np.array(person) + part * (config.persons // parts),
        "speaker": np.array(speaker) + part * (config.speakers // parts),
        "habits": np.stack(habit_vectors),
        "face": relative_face(np.stack([s.coefficients for s in speakers]), np.stack([s.face_seen for s in speakers])),
        "hearing": np.stack([s.hearing for s in speakers]),
    }


def _spans(clip: np.ndarray) -> list[np.ndarray]:
    return [clip[round(first * len(clip)) : round(last * len(clip))] for first, last in SPANS]


def _simulate(
    config: CorpusConfig, voices: Voices | None, codec: ListeningCodec | None = None, parts: int = 8
) -> Corpus:
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = list(pool.map(_simulate_part, [(config, voices, part, parts) for part in range(parts)]))
    arrays = {key: np.concatenate([result.pop(key) for result in results]) for key in list(results[0])}
    codec = codec or ListeningCodec.fit(arrays["listener"], arrays["hearing"])
    habits = torch.tensor(arrays["habits"])
    return Corpus(
        _tokens_in_parts(codec.coefficients, arrays["listener"]),
        _tokens_in_parts(codec.coefficients, arrays["tracked"]),
        torch.tensor(arrays["features"]),
        torch.tensor(arrays["tracked_features"]),
        torch.tensor(arrays["person"]),
        torch.tensor(arrays["speaker"]),
        (habits - habits.mean(0)) / habits.std(0).clamp(min=1e-6),
        _tokens_in_parts(codec.speaker, arrays["face"]),
        _tokens_in_parts(codec.audio, arrays["hearing"]),
        codec,
    )


def _tokens_in_parts(tokens_of: Callable[[Tensor], Tensor], clips: np.ndarray) -> Tensor:
    return torch.cat([tokens_of(torch.tensor(part)).half() for part in np.array_split(clips, len(clips) // 500 + 1)])


def _fingerprint(parts: Iterable[tuple[str, np.ndarray]]) -> str:
    """Of named arrays, in their order."""
    digest = hashlib.sha256()
    for name, array in parts:
        digest.update(name.encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def load_corpus(
    config: CorpusConfig, folder: Path, voices: Voices | None = None, codec: ListeningCodec | None = None
) -> Corpus:
    """The corpus of this configuration, simulated once and kept in `folder`.

    voices: None: all are made up.
    codec: of networks that are to be trained further; None: fitted to the corpus.
    """
    heard = None if voices is None else _fingerprint((one.name, one.pcm) for one in voices.recordings)
    described = asdict(config) | {"voices": heard}
    if codec is not None:
        described["codec"] = _fingerprint((name, tensor.cpu().numpy()) for name, tensor in codec.state_dict().items())
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]
    path = folder / f"corpus_{key}.pt"
    if path.exists():
        saved = torch.load(path, weights_only=True)
        return Corpus(codec=ListeningCodec(**saved.pop("codec")), **saved)
    corpus = _simulate(config, voices, codec)
    folder.mkdir(parents=True, exist_ok=True)
    saved = {name: getattr(corpus, name) for name in Corpus.__dataclass_fields__ if name != "codec"}
    unfinished = path.with_suffix(".part")
    torch.save({**saved, "codec": corpus.codec.state_dict()}, unfinished)
    unfinished.rename(path)
    return corpus
