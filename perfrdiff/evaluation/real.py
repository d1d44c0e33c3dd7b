"""The same measurements on videos of real people, of whom no truth is known: speakers, and styles taken from videos."""

from pathlib import Path

import numpy as np

from perfrdiff.behaviour import events
from perfrdiff.behaviour.statistics import HABITS, quantities, read_habits
from perfrdiff.coefficients import FPS
from perfrdiff.data.simulator.conversation import Event, SimulatedSpeaker, simulate_speaker
from perfrdiff.errors import InputError
from perfrdiff.evaluation import intervals
from perfrdiff.evaluation.behaviour import Row
from perfrdiff.evaluation.dyads import HELD_OUT
from perfrdiff.evaluation.observe import _follows
from perfrdiff.features.clip import Speaker, read_speaker
from perfrdiff.reactor import Reactor

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".m4v")
SHORTEST = 6.0  # seconds of a video that is used
PAUSE = 0.4  # seconds of quiet that end a phrase
MOVED = ("nod rate", "smile level", "blink rate", "rest pitch", "rest yaw", "rest tilt", "brow activity")


def read_videos(folder: Path) -> dict[str, Speaker]:
    """Name -> tracked video, of every video in the folder that shows a face for long enough.

    Raises InputError where there is none.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in VIDEOS)
    if not paths:
        raise InputError(f"There are no videos ({', '.join(VIDEOS)}) in {folder}; --real needs some of people talking.")
    found = {}
    for path in paths:
        try:
            video = read_speaker(path)
        except InputError as error:
            print(f"{path.name} is left out: {error}")
            continue
        if len(video.coefficients) >= SHORTEST * FPS:
            found[path.name] = video
    if not found:
        raise InputError(f"None of the videos in {folder} shows a face for {SHORTEST:g} s.")
    return found


def heard(video: Speaker) -> SimulatedSpeaker:
    """The video with the events a listener may answer: ends of phrases from the sound, smiles from the face."""
    seen = [Event(start, "smile", 1.0, 1.0) for start in events.smiles(video.coefficients).start]
    return SimulatedSpeaker(video.coefficients, video.audio, (*_phrase_ends(video), *seen))


def _phrase_ends(video: Speaker) -> list[Event]:
    """Where at least half a second of voice is followed by a pause: loudness 12 dB under the loud parts."""
    if video.sound is None:
        return []
    hop = video.sound.rate // FPS
    count = min(len(video.sound.samples) // hop, len(video.coefficients))
    power = np.square(video.sound.samples[: count * hop].reshape(count, hop).astype(np.float64)).mean(axis=1)
    loudness = 10 * np.log10(power + 1e-10)
    voiced = loudness > np.percentile(loudness, 90) - 12
    found, quiet = [], int(PAUSE * FPS)
    for i in range(FPS // 2, count - quiet):
        if voiced[i - 1] and not voiced[i : i + quiet].any() and voiced[i - FPS // 2 : i].mean() > 0.5:
            found.append(Event(i / FPS, "phrase_end", 1.0, 0.0))
    return found


def measure(weights: str, folder: Path, *, device: str = "cpu", samples: int = 4, seed: int = 0) -> list[Row]:
    """Reactions of every named style to every video, and to each in the style of another video's person.

    `folder` holds videos of speakers, or the folders `speakers` and, for the styles, `listeners`.
    """
    videos = read_videos(folder / "speakers" if (folder / "speakers").is_dir() else folder)
    people = read_videos(folder / "listeners") if (folder / "listeners").is_dir() else videos
    reactor = Reactor.load(weights, device)

    def answers(video: Speaker | SimulatedSpeaker, listener) -> np.ndarray:
        reactor.set_listener(listener)
        return reactor.react(video.audio, video.coefficients, samples=samples, seed=seed).coefficients

    simulated = [simulate_speaker(np.random.default_rng([HELD_OUT, i]), 30.0) for i in range(len(videos))]
    columns = []
    for speakers in ([heard(video) for video in videos.values()], simulated):
        made = [np.concatenate([answers(speaker, style) for style in reactor.styles]) for speaker in speakers]
        columns.append(_statistics(speakers, made))
    rows = [
        Row("real", f"{what}, named styles to {len(videos)} videos", found, columns[1][what])
        for what, found in columns[0].items()
    ]
    return [*rows, *_moved(list(videos.values()), people, answers)]


def _statistics(speakers: list[SimulatedSpeaker], made: list[np.ndarray]) -> dict[str, intervals.Estimate]:
    """Mean habits of the reactions (samples, frames, 58) to each speaker, and what they follow."""
    counted = np.stack([_total(clips) for clips in made])
    found = {name: intervals.mean(habit.read(counted)) for name, habit in HABITS.items()}
    for what in ("nods after phrase ends", "smiles after smiles"):
        pairs = np.stack([_follows(clips, speaker)[what] for speaker, clips in zip(speakers, made, strict=True)])
        found[f"rate of {what}, by the rate elsewhere"] = intervals.rate_ratio(pairs[:, 0], pairs[:, 1])
    return found


def _moved(speakers: list[Speaker], people: dict[str, Speaker], answers) -> list[Row]:
    """Does a real person's style move the reaction from the generic one towards that person's own habits?"""
    names = list(people)
    own, generic, personal = [], [], []
    for i, person in enumerate(people.values()):
        other = speakers[(i + 1) % len(speakers)]
        own.append(quantities(person.coefficients)[None])
        generic.append(_total(answers(other, None)))
        personal.append(_total(answers(other, person.coefficients)))
    own, generic, personal = (read_habits(np.stack(x)) for x in (own, generic, personal))
    rows = []
    for habit in MOVED:
        column = list(HABITS).index(habit)
        want, got = own[:, column] - generic[:, column], personal[:, column] - generic[:, column]
        slope = intervals.estimate(lambda i: _slope(want[i], got[i]), len(names))  # noqa: B023
        nearer = np.mean(np.abs(want - got) < np.abs(want))
        rows.append(
            Row("real", f"{habit}: share of the way from generic to the video's own", slope, None, "> 0",
                bool(slope.value > 0), note=f"nearer for {nearer:.0%} of {len(names)} persons")
        )  # fmt: skip
    return rows


def _total(clips: np.ndarray) -> np.ndarray:
    return np.mean([quantities(clip) for clip in clips], axis=0)[None]


def _slope(want: np.ndarray, got: np.ndarray) -> float:
    size = (want**2).sum()
    return float((want * got).sum() / size) if size > 0 else float("nan")
