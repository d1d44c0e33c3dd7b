"""Do reactions answer real voices when their phrases end? In any folder of speech: `perfrdiff evaluate voices`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perfrdiff.coefficients import FPS, ROTATION
from perfrdiff.data.simulator.voices import Recording, read_voices
from perfrdiff.errors import InputError
from perfrdiff.evaluation import intervals, timing
from perfrdiff.evaluation.dyads import HELD_OUT
from perfrdiff.evaluation.intervals import Estimate
from perfrdiff.evaluation.pause_rule import rule_nods
from perfrdiff.evaluation.report import Row
from perfrdiff.evaluation.timing import Nodding
from perfrdiff.evaluation.timing_rows import Mark, answer_rows
from perfrdiff.evaluation.voice_heads import HEADS, voice_head
from perfrdiff.features.audio import mfcc
from perfrdiff.features.hearing import hear
from perfrdiff.features.media.audio_track import RATE
from perfrdiff.features.speech_activity import SHORTEST_PAUSE, Phrase, ends_before_pauses
from perfrdiff.reaction_stream import ReactionStream
from perfrdiff.reactor import Reactor

SHORTEST = 6.0  # seconds of a file that is measured
POOLED = "named styles"
SINGLE = "Attentive"  # the style that also has rows of its own
MARKS = {"clear nods": Mark(1.8, low_above=1.4, control=True), "small nods": Mark(1.0, 1.6)}
AMOUNTS: tuple[tuple[str, float, float | None, str], ...] = (
    ("clear nods a minute", 0.0, None, "/min"),
    ("nods a minute", 0.0, None, "/min"),
    ("small nods a minute", 20.0, 45.0, "/min"),
    ("rms of the pitch", 1.2, 2.6, "°"),
    ("rms of the yaw", 1.15, 4.6, "°"),
    ("rms of the roll", 0.77, 3.1, "°"),
)
"""Name, range asked for, unit; the first are those of timing.KINDS.

People who listen have 31.6 small nods a minute and an rms of 1.83° in pitch, 2.29° in yaw and 1.53° in roll; for yaw
and roll from half to double of that is asked for."""


@dataclass(frozen=True)
class Voice:
    """A recording of speech, and when its phrases end."""

    name: str
    samples: np.ndarray  # (N,) float32 at 16 kHz
    ends: np.ndarray  # (m,) seconds, heard
    ends_by_hand: np.ndarray | None  # (k,) seconds, where a .rttm file lies beside
    rule: np.ndarray  # (r,) seconds, when the rule to beat nods

    @property
    def frames(self) -> int:
        """Whole video frames."""
        return len(self.samples) * FPS // RATE


@dataclass(frozen=True)
class VoiceSettings:
    """How voices are reacted to."""

    head: str = "idle"  # of the speaker: one of voice_heads.HEADS
    style: str | None = None  # one named style; None: all of them
    samples: int = 6  # reactions to each voice in each style
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    stream: bool = False  # react as live, piece by piece


PIECE = 5  # frames that a live listener is given at a time


def read_folder(folder: Path) -> list[Voice]:
    """The voices in a folder and the folders in it that last 6 s or more; the others are named on stdout.

    Raises InputError where none is left.
    """
    voices = []
    for recording in read_voices(folder).recordings:
        if recording.seconds < SHORTEST:
            print(f"{recording.name} is left out: it lasts {recording.seconds:.1f} s, and {SHORTEST:g} s are needed.")
            continue
        voices.append(_voice(recording, folder))
    if not voices:
        raise InputError(f"No voice in {folder} lasts {SHORTEST:g} s or more; timing needs longer recordings.")
    return voices


def _voice(recording: Recording, folder: Path) -> Voice:
    samples = recording.sound(0.0, recording.seconds)
    phrases = [Phrase(start, end) for start, end in recording.phrases]
    ends = np.array(ends_before_pauses(phrases, recording.seconds))
    turns = (folder / recording.name).with_suffix(".rttm")
    by_hand = ends_of_talk(read_turns(turns), recording.seconds) if turns.is_file() else None
    return Voice(recording.name, samples, ends, by_hand, rule_nods(samples, phrases))


def read_turns(path: Path) -> list[Phrase]:
    """The turns of all speakers in a .rttm file, in order of time. Raises InputError for a line that is none."""
    turns = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            start, length = float(fields[3]), float(fields[4])
        except (IndexError, ValueError):
            raise InputError(
                f"{path.name} has no turn in line {number}; expected 'SPEAKER file channel start length'."
            ) from None
        turns.append(Phrase(start, start + length))
    return sorted(turns, key=lambda turn: turn.start)


def ends_of_talk(turns: Sequence[Phrase], seconds: float) -> np.ndarray:
    """(n,) seconds: when all speakers' turns have ended and nobody talks for 0.2 s or more."""
    ends: list[float] = []
    for turn in turns:
        if ends and turn.start - ends[-1] < SHORTEST_PAUSE:
            ends[-1] = max(ends[-1], turn.end)
        else:
            ends.append(turn.end)
    return np.array([end for end in ends if seconds - end >= SHORTEST_PAUSE])


@dataclass(frozen=True)
class _Heard:
    """What the reactions in one style to one voice do."""

    nodding: Nodding
    variance: np.ndarray  # (3,) of pitch, yaw and roll, square degrees: mean over reactions


def measure(
    weights: str,
    folder: Path,
    settings: VoiceSettings,
    *,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """The rows of the table, with 95 % bootstrap intervals over voices.

    Args:
        weights: name or path, as `Reactor.load` takes it.
        folder: of speech in sound files; turns by hand in a .rttm file beside a recording count, too.
        settings: how it is reacted to.
        device: where the networks run.
        progress: called with voices done and voices in all.

    Raises InputError for a folder without a voice, unknown styles and settings that cannot be measured.
    """
    if settings.head not in HEADS:
        raise InputError(f"There is no head '{settings.head}'; possible are {', '.join(HEADS)}.")
    reactor = Reactor.load(weights, device)
    styles = reactor.styles if settings.style is None else (settings.style,)
    for style in styles:  # an unknown one is told before half an hour of work
        reactor.set_listener(style)
    voices = read_folder(folder)
    heard: dict[str, list[_Heard]] = {style: [] for style in styles}
    for number, voice in enumerate(voices):
        for style, found in _react(reactor, voice, styles, settings, number):
            heard[style].append(found)
        if progress is not None:
            progress(number + 1, len(voices))
    pooled = [styles] if len(styles) == 1 else [styles, *([(SINGLE,)] if SINGLE in styles else [])]
    rows = []
    for chosen in pooled:
        label = POOLED if len(chosen) > 1 else chosen[0]
        rows += _timing_rows(label, voices, [heard[style] for style in chosen])
    return [*rows, *_rule_rows(voices), *_amount_rows(heard)]


def _react(
    reactor: Reactor, voice: Voice, styles: Sequence[str], settings: VoiceSettings, number: int
) -> Iterator[tuple[str, _Heard]]:
    rng = np.random.default_rng([HELD_OUT, settings.seed, number])
    face = voice_head(settings.head, voice.samples, RATE, voice.frames, rng)
    audio, hearing = mfcc(voice.samples, RATE, voice.frames), hear(voice.samples, voice.frames)
    for style in styles:
        reactor.set_listener(style)
        chosen = {"samples": settings.samples, "seed": settings.seed + number, "steps": settings.steps,
                  "guidance": settings.guidance}  # fmt: skip
        if settings.stream:
            clips = _streamed(reactor.stream(**chosen, frames=voice.frames), hearing, face)
        else:
            clips = reactor.react(audio, face, hearing=hearing, **chosen).coefficients
        angles = np.degrees(clips[..., ROTATION].astype(np.float64))
        yield style, _Heard(Nodding.of(clips), angles.var(axis=1).mean(axis=0))


def _streamed(stream: ReactionStream, hearing: np.ndarray, face: np.ndarray) -> np.ndarray:
    """The reactions (K, frames, 58) to a voice that is given in pieces."""
    starts = range(0, len(face), PIECE)
    pieces = [stream.push(hearing[start : start + PIECE], face[start : start + PIECE]) for start in starts]
    return np.concatenate([*pieces, stream.finish()], axis=1)


def _timing_rows(label: str, voices: Sequence[Voice], heard: Sequence[Sequence[_Heard]]) -> list[Row]:
    """Rows of nods after the ends of phrases; `heard`: of one or more styles, one for each voice."""
    nodding = [[found.nodding for found in of_style] for of_style in heard]
    rows = answer_rows("voices", label, "phrase ends", [voice.ends for voice in voices], nodding, MARKS)
    by_hand = [(number, voice.ends_by_hand) for number, voice in enumerate(voices) if voice.ends_by_hand is not None]
    if by_hand:
        some = [[of_style[number] for number, _ in by_hand] for of_style in nodding]
        rows += answer_rows("voices", label, "ends of talk by hand", [ends for _, ends in by_hand], some)
    return rows


def _rule_rows(voices: Sequence[Voice]) -> list[Row]:
    """The rule of Truong (2010) through the same measure. Ends that are heard are its own pauses: it cannot miss."""
    heard = [(voice, voice.ends) for voice in voices]
    by_hand = [(voice, voice.ends_by_hand) for voice in voices if voice.ends_by_hand is not None]
    rows = []
    for what, pairs in (("phrase ends", heard), ("ends of talk by hand", by_hand)):
        if not pairs:
            continue
        tallies = np.stack(
            [timing.tally(Nodding(1, v.frames, (v.rule,) * len(timing.KINDS)), ends) for v, ends in pairs]
        )[:, 0]
        ratio = intervals.rate_ratio(tallies[:, 0], tallies[:, 1])
        count, minutes = tallies[..., 0].sum(axis=0), tallies[..., 1].sum()
        answered = intervals.mean(np.array([timing.share_answered(voice.rule, ends) for voice, ends in pairs]))
        note = f"{count.sum() / minutes:.1f} nods a minute, {count[0]:.0f} of {count.sum():.0f} near; "
        note += f"{answered.value:.0%} of the ends answered"
        rows.append(
            Row(
                "voices",
                f"rule of Truong (2010): nods {timing.WINDOW_WORDS} from {what}, by elsewhere",
                ratio,
                note=note,
            )
        )
    return rows


def _amount_rows(heard: dict[str, list[_Heard]]) -> list[Row]:
    """How much the named styles move, with a row for all of them and each style's number beside."""
    numbers = {
        style: np.array([[*found.nodding.per_minute(), *found.variance] for found in of_voice])
        for style, of_voice in heard.items()
    }  # (voices, kinds + 3): nods a minute, variances of the angles
    together = np.mean(list(numbers.values()), axis=0)
    label = POOLED if len(heard) > 1 else next(iter(heard))
    rows = []
    for column, (name, low, high, unit) in enumerate(AMOUNTS):
        statistic = _root_mean if unit == "°" else intervals.mean
        found = statistic(together[:, column])
        met = None if high is None else bool(low <= found.value <= high)
        target = "" if high is None else f"{low:g} to {high:g} {unit}"
        each = ", ".join(f"{style} {statistic(values[:, column]).value:.1f}" for style, values in numbers.items())
        note = each if len(heard) > 1 else ""
        rows.append(Row("amounts", f"{label}: {name}", found, None, target, met, ".1f" if unit != "°" else ".2f", note))
    if len(heard) > 1:
        clear = {style: values[:, 0] for style, values in numbers.items()}
        quiet, lively = (pick(clear, key=lambda style: clear[style].mean()) for pick in (min, max))
        met = bool(clear[lively].mean() >= 4 * clear[quiet].mean() and clear[lively].any())
        note = f"{clear[lively].mean():.2f} by {clear[quiet].mean():.2f}"
        ratio = intervals.ratio(clear[lively], clear[quiet])
        title = f"clear nods a minute, {lively} by {quiet}"
        rows.append(Row("amounts", title, ratio, None, "≥ 4", met, ".1f", note))
    return rows


def _root_mean(variances: np.ndarray) -> Estimate:
    return intervals.estimate(lambda i: float(np.sqrt(variances[i].mean())), len(variances))
