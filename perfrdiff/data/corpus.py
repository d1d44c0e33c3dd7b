"""A corpus of simulated conversations, held in memory in network units and kept on disk between runs."""

import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perfrdiff.data.habits import draw_habits
from perfrdiff.data.normalizer import Normalizer
from perfrdiff.data.simulated import simulate_listener, simulate_speaker


@dataclass(frozen=True)
class CorpusConfig:
    """How much is simulated. The same configuration gives the same corpus."""

    seed: int = 1
    persons: int = 2400
    clips_per_person: int = 3
    speakers: int = 1200
    seconds: float = 30.0


@dataclass(frozen=True)
class Corpus:
    """Listener clip i belongs to person `person[i]` and answers speaker clip `speaker[i]`; all in network units."""

    listener: Tensor  # (clips, frames, 58) float16
    person: Tensor  # (clips,) int
    speaker: Tensor  # (clips,) int
    speaker_coefficients: Tensor  # (speakers, frames, 58) float16
    speaker_audio: Tensor  # (speakers, frames, 78) float16
    normalizer: Normalizer

    @property
    def frames(self) -> int:
        return self.listener.shape[1]

    def clips_of(self) -> Tensor:
        """(persons, clips per person): which clips belong to a person."""
        return torch.argsort(self.person, stable=True).reshape(int(self.person.max()) + 1, -1)


def _simulate_part(args: tuple[CorpusConfig, int, int]) -> dict[str, np.ndarray]:
    """A self-contained share of the corpus: its own persons and its own speakers."""
    config, part, parts = args
    rng = np.random.default_rng([config.seed, part])
    speakers = [simulate_speaker(rng, config.seconds) for _ in range(config.speakers // parts)]
    listener, person, speaker = [], [], []
    for p in range(config.persons // parts):
        habits = draw_habits(rng)
        for s in rng.choice(len(speakers), config.clips_per_person, replace=False):
            listener.append(simulate_listener(speakers[s], habits, rng))
            person.append(p)
            speaker.append(s)
    return {
        "listener": np.stack(listener),
        "person": np.array(person) + part * (config.persons // parts),
        "speaker": np.array(speaker) + part * (config.speakers // parts),
        "speaker_coefficients": np.stack([s.coefficients for s in speakers]),
        "speaker_audio": np.stack([s.audio for s in speakers]),
    }


def _simulate(config: CorpusConfig, parts: int = 8) -> Corpus:
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        shares = list(pool.map(_simulate_part, [(config, part, parts) for part in range(parts)]))
    joined = {key: np.concatenate([share[key] for share in shares]) for key in shares[0]}
    normalizer = Normalizer.fit(joined["listener"].reshape(-1, 58), joined["speaker_audio"].reshape(-1, 78))
    return Corpus(
        normalizer.coefficients(torch.tensor(joined["listener"])).half(),
        torch.tensor(joined["person"]),
        torch.tensor(joined["speaker"]),
        normalizer.coefficients(torch.tensor(joined["speaker_coefficients"])).half(),
        normalizer.audio(torch.tensor(joined["speaker_audio"])).half(),
        normalizer,
    )


def load_corpus(config: CorpusConfig, folder: Path) -> Corpus:
    """The corpus of this configuration, simulated once and kept in `folder`."""
    key = hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode()).hexdigest()[:12]
    path = folder / f"corpus_{key}.pt"
    if path.exists():
        saved = torch.load(path, weights_only=True)
        return Corpus(normalizer=Normalizer(**saved.pop("normalizer")), **saved)
    corpus = _simulate(config)
    folder.mkdir(parents=True, exist_ok=True)
    saved = {name: getattr(corpus, name) for name in Corpus.__dataclass_fields__ if name != "normalizer"}
    part = path.with_suffix(".part")
    torch.save({**saved, "normalizer": corpus.normalizer.tensors()}, part)
    part.rename(path)
    return corpus
