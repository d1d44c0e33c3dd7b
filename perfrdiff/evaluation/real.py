"""The same measurements on videos of real people, of whom no truth is known: speakers, and styles taken from videos."""

from pathlib import Path

import numpy as np

from perfrdiff.behaviour import events
from perfrdiff.behaviour.statistics import BEHAVIOUR_MEASURES, count_behaviour, measures_from_counts
from perfrdiff.coefficients import FPS
from perfrdiff.data.simulator.speaker import Event, SimulatedSpeaker, simulate_speaker
from perfrdiff.errors import InputError
from perfrdiff.evaluation import intervals
from perfrdiff.evaluation.dyads import HELD_OUT
from perfrdiff.evaluation.observe import responses_to_events
from perfrdiff.evaluation.report import Row
from perfrdiff.features.clip import Speaker, read_speaker
from perfrdiff.reactor import Reactor

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".m4v")
MIN_SECONDS = 6.0  # shorter videos are left out
PAUSE = 0.4  # seconds of quiet that end a phrase
PERSONAL_MEASURES = ("nod rate", "smile level", "blink rate", "rest pitch", "rest yaw", "rest tilt", "brow activity")


def read_videos(folder: Path) -> dict[str, Speaker]:
    """Name -> tracked video, of every video in the folder that shows a face for long enough.

    Raises InputError where there is none.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in VIDEOS)
    if not paths:
        raise InputError(f"There are no videos ({', '.join(VIDEOS)}) in {folder}; --real needs some of people talking.")
    videos = {}
    for path in paths:
        try:
            video = read_speaker(path)
        except InputError as error:
            print(f"{path.name} is left out: {error}")
            continue
        if len(video.coefficients) >= MIN_SECONDS * FPS:
            videos[path.name] = video
    if not videos:
        raise InputError(f"None of the videos in {folder} shows a face for {MIN_SECONDS:g} s.")
    return videos


def with_events(video: Speaker) -> SimulatedSpeaker:
    """The video with the events a listener may answer: ends of phrases from the audio, smiles from the face."""
    smiles = [Event(start, "smile", 1.0, 1.0) for start in events.smiles(video.coefficients).start]
    waveform = None if video.waveform is None else video.waveform.samples
    seen = np.ones(len(video.coefficients), bool)
    return SimulatedSpeaker(video.coefficients, (*_phrase_ends(video), *smiles), seen, waveform)


def _phrase_ends(video: Speaker) -> list[Event]:
    """Where at least half a second of voice is followed by a pause: loudness 12 dB under the loud parts."""
    if video.waveform is None:
        return []
    hop = video.waveform.rate // FPS
    count = min(len(video.waveform.samples) // hop, len(video.coefficients))
    power = np.square(video.waveform.samples[: count * hop].reshape(count, hop).astype(np.float64)).mean(axis=1)
    loudness = 10 * np.log10(power + 1e-10)
    voiced = loudness > np.percentile(loudness, 90) - 12
    ends, quiet = [], int(PAUSE * FPS)
    for i in range(FPS // 2, count - quiet):
        if voiced[i - 1] and not voiced[i : i + quiet].any() and voiced[i - FPS // 2 : i].mean() > 0.5:
            ends.append(Event(i / FPS, "phrase_end", 1.0, 0.0))
    return ends


def measure(weights: str, folder: Path, *, device: str = "cpu", samples: int = 4, seed: int = 0) -> list[Row]:
    """Reactions of every named style to every video, and to each in the style of another video's person.

    `folder` holds videos of speakers, or the folders `speakers` and, for the styles, `listeners`.
    """
    videos = read_videos(folder / "speakers" if (folder / "speakers").is_dir() else folder)
    people = read_videos(folder / "listeners") if (folder / "listeners").is_dir() else videos
    reactor = Reactor.load(weights, device)

    def react(video: Speaker | SimulatedSpeaker, listener) -> np.ndarray:
        reactor.set_listener(listener)
        return reactor.react(video.audio, video.coefficients, samples=samples, seed=seed).coefficients

    simulated = [simulate_speaker(np.random.default_rng([HELD_OUT, i]), 30.0) for i in range(len(videos))]
    columns = []
    for speakers in ([with_events(video) for video in videos.values()], simulated):
        reactions = [np.concatenate([react(speaker, style) for style in reactor.styles]) for speaker in speakers]
        columns.append(_statistics(speakers, reactions))
    rows = [
        Row("real", f"{title}, named styles to {len(videos)} videos", estimate, columns[1][title])
        for title, estimate in columns[0].items()
    ]
    return [*rows, *_personal_rows(list(videos.values()), people, react)]


def _statistics(speakers: list[SimulatedSpeaker], reactions: list[np.ndarray]) -> dict[str, intervals.Estimate]:
    """Mean habits of the reactions (samples, frames, 58) to each speaker, and what they follow."""
    counted = np.stack([_mean_counts(clips) for clips in reactions])
    estimates = {name: intervals.mean(habit.from_counts(counted)) for name, habit in BEHAVIOUR_MEASURES.items()}
    for response in ("nods after phrase ends", "smiles after smiles"):
        pairs = np.stack(
            [responses_to_events(clips, speaker)[response] for speaker, clips in zip(speakers, reactions, strict=True)]
        )
        estimates[f"rate of {response}, by the rate elsewhere"] = intervals.rate_ratio(pairs[:, 0], pairs[:, 1])
    return estimates


def _personal_rows(speakers: list[Speaker], people: dict[str, Speaker], react) -> list[Row]:
    """Does a real person's style move the reaction from the generic one towards that person's own habits?"""
    names = list(people)
    true, generic, personal = [], [], []
    for i, person in enumerate(people.values()):
        other = speakers[(i + 1) % len(speakers)]
        true.append(count_behaviour(person.coefficients)[None])
        generic.append(_mean_counts(react(other, None)))
        personal.append(_mean_counts(react(other, person.coefficients)))
    true, generic, personal = (measures_from_counts(np.stack(x)) for x in (true, generic, personal))
    rows = []
    for habit in PERSONAL_MEASURES:
        column = list(BEHAVIOUR_MEASURES).index(habit)
        expected, moved = true[:, column] - generic[:, column], personal[:, column] - generic[:, column]
        slope = intervals.estimate(lambda i: _slope(expected[i], moved[i]), len(names))  # noqa: B023
        nearer = np.mean(np.abs(expected - moved) < np.abs(expected))
        rows.append(
            Row("real", f"{habit}: share of the way from generic to the video's own", slope, None, "> 0",
                bool(slope.value > 0), note=f"nearer for {nearer:.0%} of {len(names)} persons")
        )  # fmt: skip
    return rows


def _mean_counts(clips: np.ndarray) -> np.ndarray:
    return np.mean([count_behaviour(clip) for clip in clips], axis=0)[None]


def _slope(expected: np.ndarray, moved: np.ndarray) -> float:
    size = (expected**2).sum()
    return float((expected * moved).sum() / size) if size > 0 else float("nan")
