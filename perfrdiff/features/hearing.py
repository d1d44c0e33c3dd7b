"""What is heard of a speaker, frame by frame: eight numbers about speech, loudness and pitch (docs/method.md 2.5).

The row of video frame k, which covers 0.04 k … 0.04 (k + 1) s, knows the sound up to ``LOOK_AHEAD`` after its end and
nothing later. So it is the same whether the sound comes whole or in pieces, live or from a file. Loudness and pitch are
told against the speaker's own, which are learnt while they speak; no number is taken over the whole clip.
"""

from functools import cache
from math import inf, log1p

import numpy as np
from swift_f0 import SwiftF0

from perfrdiff.coefficients import FPS
from perfrdiff.features.media.audio_track import RATE
from perfrdiff.features.speech_activity import SPEECH_OFF, SPEECH_ON, WINDOW, SpeechStream, checked

__all__ = ["HEARING_NAMES", "HEARING_WIDTH", "LOOK_AHEAD", "Hearing", "hear"]

HEARING_NAMES = (
    "speech",  # probability, 0 … 1
    "loudness",  # 10 dB above the speaker's own speech, -4 … 2
    "above_floor",  # 20 dB above the noise floor, 0 … 3
    "voicing",  # confidence, 0 … 1
    "pitch",  # octaves above the speaker's own centre, -1 … 1
    "pitch_movement",  # quarter octaves in the last 0.2 s of voice, -2 … 2
    "since_start",  # log(1 + s / 0.5) since the phrase began, 0 … 2.57
    "since_end",  # log(1 + s / 0.1) since speech ended, 0 … 3.72
)
HEARING_WIDTH = len(HEARING_NAMES)
LOWEST = np.array([0, -4, 0, 0, -1, -2, 0, 0])
HIGHEST = np.array([1, 2, 3, 1, 1, 2, inf, inf])

HOP = RATE // FPS  # samples of a video frame
FRAME = 1 / FPS  # seconds
LOOK_AHEAD_FRAMES = 4  # the pitch of a frame is known 160 ms after its end
LOOK_AHEAD = LOOK_AHEAD_FRAMES * FRAME
SPEECH_LOOK_AHEAD = HOP  # samples; 40 ms tell ends 66 ms late to 16 early, beginnings 28 early (docs/features.md)
BLOCK = 200 * HOP  # samples heard at a time, 8 s; a long clip needs no more memory than that

SOFTEST = 1e-9  # power at which levels end: -90 dB of full scale
SPEECH_LEVEL = -28.0  # dB, of a speaker who has not spoken yet
SPEECH_LEVEL_SECONDS = 3.0  # over which the speaker's level is learnt
QUIETEST_FLOOR, FIRST_FLOOR = -75.0, -50.0  # dB
FLOOR_RISE, FLOOR_RISE_IN_SPEECH = 6.0, 1.0  # dB per second at most

LOWEST_PITCH, HIGHEST_PITCH = 50.0, 550.0  # Hz
PITCH_PERIOD = 256  # samples between pitches, 16 ms
VOICED = 0.5  # confidence
CENTRE_PITCH = 7.25  # log2 of Hz, of a speaker who has not spoken yet: 152 Hz, between men and women
CENTRE_SECONDS = 6.0  # of voice over which the speaker's pitch is learnt
CENTRE_REACH = 0.2  # octaves: what lies further from the centre moves it no more, so it is like a median
PRIOR_SECONDS = 0.2  # of speech that the guesses above weigh
MOVEMENT_FRAMES, MOVEMENT_REACH = 5, 10  # voiced frames over which pitch moves, and how old the first may be
MOVEMENT_SCALE = 4.0  # per octave
UNVOICED_DECAY = 0.6  # of pitch and its movement, per frame without voice

SHORTEST_PAUSE = 0.2  # seconds: a shorter gap begins no phrase
LONGEST_PHRASE, LONGEST_PAUSE = 6.0, 4.0  # seconds at which the two clocks stop


class Hearing:
    """Hears a signal that arrives in pieces; the rows are those of ``hear`` on the whole."""

    def __init__(self) -> None:
        self._speech = SpeechStream()
        self._pitch = _pitch_detector().stream(LOWEST_PITCH, HIGHEST_PITCH)
        self._samples = self._rows = 0  # heard in whole frames, and given
        self._waiting = np.zeros(0, np.float32)  # less than a frame, not heard yet
        self._sound = np.zeros(0, np.float32)  # heard, from the next row's first sample on
        self._probabilities = _Tail(1)
        self._pitches = _Tail(2)  # log2 of Hz, confidence
        self._adapted = _Adapted()

    def push(self, samples: np.ndarray) -> np.ndarray:
        """(n, 8) float32, columns ``HEARING_NAMES``: the rows that the next piece makes final.

        Args:
            samples: (N,) mono sound at 16 kHz, -1 … 1; what is louder is clipped.

        Raises:
            InputError: samples that are not one channel, or not finite.
        """
        signal = np.concatenate([self._waiting, checked(samples)])
        end = len(signal) // HOP * HOP
        self._waiting = signal[end:]
        rows = [self._heard(signal[start : min(start + BLOCK, end)]) for start in range(0, end, BLOCK)]
        return np.concatenate([np.zeros((0, HEARING_WIDTH), np.float32), *rows])

    def finish(self, frames: int | None = None) -> np.ndarray:
        """(m, 8) float32: the rows that are left, with silence after the end. Nothing can be pushed afterwards.

        Args:
            frames: number of rows in all, at least as many as are given already; None: as many as the sound has begun.
        """
        samples = self._samples + len(self._waiting)
        frames = -(-samples // HOP) if frames is None else frames
        missing = (frames + LOOK_AHEAD_FRAMES) * HOP - samples
        left = frames - self._rows
        return self.push(np.zeros(max(0, missing), np.float32))[: max(0, left)]

    def _heard(self, samples: np.ndarray) -> np.ndarray:
        self._samples += len(samples)
        self._sound = np.concatenate([self._sound, samples])
        self._probabilities.append(self._speech.push(samples)[:, None])
        found = self._pitch.push(samples, RATE)
        self._pitches.append(np.stack([np.log2(np.maximum(found.pitch_hz, 1)), found.confidence], axis=1))

        rows = np.arange(self._rows, max(self._rows, self._samples // HOP - LOOK_AHEAD_FRAMES))
        self._rows += len(rows)
        sound, self._sound = np.split(self._sound, [len(rows) * HOP])
        window = ((rows + 1) * HOP + SPEECH_LOOK_AHEAD) // WINDOW - 1  # the last that is complete
        speech = self._probabilities.take(window)[:, 0]
        octave, voicing = self._voice(rows)
        level = _level(sound.reshape(-1, HOP))
        numbers = np.stack([speech, level, octave, voicing], axis=1).tolist()
        heard = [self._adapted.row(*row) for row in numbers]
        return np.array(heard, np.float64).reshape(-1, HEARING_WIDTH).clip(LOWEST, HIGHEST).astype(np.float32)

    def _voice(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pitch, log2 of Hz or NaN, and voicing, 0 … 1, of (n,) rows: of the two or three pitches that end in each."""
        last = (rows + 1) * HOP // PITCH_PERIOD - 1
        first = rows * HOP // PITCH_PERIOD
        index = last[:, None] - np.arange(3)
        inside = index >= first[:, None]
        pitches = self._pitches.take(np.maximum(index, first[:, None]))
        confidence = pitches[..., 1] * inside
        voiced = confidence * (confidence >= VOICED)
        weight = voiced.sum(axis=1)
        octave = np.where(weight > 0, (voiced * pitches[..., 0]).sum(axis=1) / np.maximum(weight, VOICED), np.nan)
        return octave, confidence.sum(axis=1) / inside.sum(axis=1)


def hear(samples: np.ndarray, frames: int | None = None) -> np.ndarray:
    """What is heard in each video frame of a signal.

    Args:
        samples: (N,) mono sound at 16 kHz, -1 … 1, sample 0 at the start of video frame 0. Cut to ``frames``; silence
            is supposed after its end. What is louder is clipped.
        frames: number of video frames at 25 per second; None: as many as the sound has begun.

    Returns:
        (frames, 8) float32, columns ``HEARING_NAMES``, finite for every finite input.

    Raises:
        InputError: samples that are not one channel, or not finite.

    Source: docs/method.md 2.5.
    """
    samples = checked(samples)
    hearing = Hearing()
    return np.concatenate(
        [hearing.push(samples if frames is None else samples[: frames * HOP]), hearing.finish(frames)]
    )


class _Tail:
    """The end of a growing table of which older rows are no longer asked for."""

    KEPT = 64  # rows; no more are asked for before the newest that were new

    def __init__(self, width: int) -> None:
        self._values = np.zeros((0, width))
        self._start = 0

    def append(self, values: np.ndarray) -> None:
        dropped = max(0, len(self._values) - self.KEPT)
        self._start += dropped
        self._values = np.concatenate([self._values[dropped:], values])

    def take(self, index: np.ndarray) -> np.ndarray:
        return self._values[index - self._start]


class _Adapted:
    """What the rows so far have told about the speaker and the room."""

    def __init__(self) -> None:
        self.level, self.level_seconds = SPEECH_LEVEL, PRIOR_SECONDS
        self.floor = FIRST_FLOOR
        self.centre, self.centre_seconds = CENTRE_PITCH, PRIOR_SECONDS
        self.speaks = False
        self.since_start, self.since_end = LONGEST_PHRASE, LONGEST_PAUSE  # seconds
        self.pitch = self.movement = 0.0
        self.voiced: list[tuple[int, float]] = []  # the last voiced frames and their pitch
        self.frame = 0

    def row(self, speech: float, level: float, octave: float, voicing: float) -> tuple[float, ...]:
        """The eight numbers of the next frame, before they are clipped: speech and voicing 0 … 1, level in dB, octave
        as log2 of Hz, NaN without voice."""
        self.frame += 1
        self._tell_time(speech)
        if self.speaks:
            self.level_seconds += FRAME
            self.level += FRAME / min(self.level_seconds, SPEECH_LEVEL_SECONDS) * (level - self.level)
        rise = FRAME * (FLOOR_RISE_IN_SPEECH if self.speaks else FLOOR_RISE)
        self.floor = max(QUIETEST_FLOOR, min(level, self.floor + rise))
        self._follow_pitch(octave)
        return (
            speech,
            (level - self.level) / 10,
            (level - self.floor) / 20,
            voicing,
            self.pitch,
            self.movement,
            log1p(min(self.since_start, LONGEST_PHRASE) / 0.5),
            log1p(min(self.since_end, LONGEST_PAUSE) / 0.1),
        )

    def _tell_time(self, speech: float) -> None:
        self.since_start += FRAME
        self.since_end += FRAME
        if speech >= (SPEECH_OFF if self.speaks else SPEECH_ON):
            if not self.speaks and self.since_end > SHORTEST_PAUSE + FRAME / 2:
                self.since_start = 0.0
            self.speaks = True
            self.since_end = 0.0
        else:
            self.speaks = False

    def _follow_pitch(self, octave: float) -> None:
        if octave != octave:  # NaN
            self.pitch *= UNVOICED_DECAY
            self.movement *= UNVOICED_DECAY
            return
        if self.speaks:
            self.centre_seconds += FRAME
            reach = max(CENTRE_REACH, 0.3 / self.centre_seconds)
            gain = FRAME / min(self.centre_seconds, CENTRE_SECONDS)
            self.centre += gain * max(-reach, min(reach, octave - self.centre))
        self.voiced = [*self.voiced[-MOVEMENT_FRAMES:], (self.frame, octave)]
        earlier = next(value for frame, value in self.voiced if self.frame - frame <= MOVEMENT_REACH)
        self.pitch = octave - self.centre
        self.movement = MOVEMENT_SCALE * (octave - earlier)


def _level(frames: np.ndarray) -> np.ndarray:
    """(n, samples) -> (n,) dB of full scale about each frame's own mean, -90 at least."""
    return 10 * np.log10(np.maximum(frames.astype(np.float64).var(axis=1), SOFTEST))


@cache
def _pitch_detector() -> SwiftF0:
    """SwiftF0 on one thread; it may be used from several threads at once, each of its streams from one."""
    return SwiftF0(threads=1, spin=False)
