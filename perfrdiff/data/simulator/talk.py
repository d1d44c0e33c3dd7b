"""What a simulated speaker says: a real voice or a made-up one, as it left the mouth and as a microphone has it."""

from dataclasses import dataclass

import numpy as np

from perfrdiff.coefficients import FPS
from perfrdiff.data.simulator.acoustics import record, speech_level
from perfrdiff.data.simulator.speech import RATE, VOWELS, Syllable, draw_voice, synthesize_speech
from perfrdiff.data.simulator.utterances import draw_pause, join_utterances
from perfrdiff.data.simulator.voices import Voices
from perfrdiff.features import speech_activity
from perfrdiff.features.speech_activity import Phrase

__all__ = ["Talk", "draw_talk", "loudness"]

MADE_UP_SHARE = 0.25  # of the talks, where there are real voices
ATTEMPTS = 4  # at a talk of which most phrases are heard: noise drowns some, some made-up voices are taken for music
LAUGH_CHANCE = 0.04  # after a phrase of a made-up voice
STRESS_RISE = 3.0  # dB over the middle of the phrase
STRESS_DISTANCE = 8  # frames to either side in which nothing is louder


@dataclass(frozen=True)
class Talk:
    """The sound of a talk, mono at 16 kHz, with what is heard in the clean voice. Times are in seconds."""

    clean: np.ndarray  # (N,) float32, as it left the mouth
    waveform: np.ndarray  # (N,) float32 in -1 … 1, in a room, through a microphone
    phrases: tuple[Phrase, ...]  # of the clean voice, by the hearing code
    laughs: tuple[Phrase, ...]  # bursts of laughter, which are heard as speech, too

    @property
    def seconds(self) -> float:
        return len(self.clean) / RATE

    @property
    def phrase_ends(self) -> list[float]:
        """Times at which a phrase ends before a pause, as `speech_activity.phrase_ends` has them."""
        return speech_activity.ends_before_pauses(self.phrases, self.seconds)

    def stresses(self) -> list[float]:
        """Times of the loudest syllables in phrases."""
        level = loudness(self.clean)
        times = []
        for phrase in self.phrases:
            first, last = int(phrase.start * FPS), int(phrase.end * FPS)
            middle = np.median(level[first:last])
            for frame in range(first, min(last, len(level))):
                around = level[max(first, frame - STRESS_DISTANCE) : frame + STRESS_DISTANCE + 1]
                if level[frame] >= around.max() and level[frame] > middle + STRESS_RISE:
                    times.append((frame + 0.5) / FPS)
        return times


def draw_talk(rng: np.random.Generator, seconds: float, voices: Voices | None = None) -> Talk:
    """A talk with one of the voices, or with a made-up one: always where there are none, else now and then."""
    for _ in range(ATTEMPTS):
        laughs: tuple[Phrase, ...] = ()
        if voices is not None and rng.random() >= MADE_UP_SHARE:
            clean = join_utterances(rng, voices.draw_speaker(rng), seconds)
            phrases = speech_activity.phrases(clean)
            spoken = len(phrases)
        else:
            clean, spoken, laughs = _made_up(rng, seconds)
            phrases = speech_activity.phrases(clean)
        waveform = record(rng, clean, voices)
        if 2 * min(len(phrases), len(speech_activity.phrases(waveform))) > spoken:
            break
    return Talk(clean, waveform, tuple(phrases), laughs)


def loudness(samples: np.ndarray) -> np.ndarray:
    """(N,) sound -> (frames,) dB about the louder parts of speech, a mean over three frames, -60 at least."""
    power = np.square(samples[: len(samples) // 640 * 640].reshape(-1, RATE // FPS).astype(np.float64)).mean(axis=1)
    power = np.convolve(np.pad(power, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    return np.maximum(10 * np.log10(power + 1e-12) - speech_level(samples), -60.0)


def _made_up(rng: np.random.Generator, seconds: float) -> tuple[np.ndarray, int, tuple[Phrase, ...]]:
    """A made-up voice with phrases of about 2 s: its sound, how many phrases it has, and its laughs."""
    voice = draw_voice(rng)
    syllables: list[Syllable] = []
    laughs: list[Phrase] = []
    now, phrases = rng.uniform(-1.0, 1.2), 0
    while now < seconds - 0.4:
        count = max(3, round(rng.lognormal(np.log(8.5), 0.45)))
        for i in range(count):
            stress = 1.0 if i % rng.integers(2, 5) == 1 else rng.uniform(0.45, 0.75)
            last = i == count - 1
            length = rng.uniform(0.75, 1.25) / voice.tempo * (1.35 if last else 1.0)
            if 0 <= now < seconds:
                syllables.append(Syllable(now, length * 0.92, stress, int(rng.integers(len(VOWELS))), last))
            now += length
        phrases += 1
        if rng.random() < LAUGH_CHANCE:
            begin = now + 0.1
            now = begin + 0.21 * rng.integers(3, 7)
            syllables += [Syllable(at, 0.13, 0.7, 0, False, laugh=True) for at in np.arange(begin, now - 0.1, 0.21)]
            laughs.append(Phrase(begin, now))
        now += draw_pause(rng)
    syllables = [syllable for syllable in syllables if 0 <= syllable.start < seconds]
    return synthesize_speech(syllables, voice, seconds, rng), phrases, tuple(laughs)
