"""The same measurements on videos of real people, of whom no truth is known: speakers, and styles taken from videos."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from perfrdiff.behaviour.bands import liveliness
from perfrdiff.behaviour.statistics import BEHAVIOUR_MEASURES, count_behaviour, measures_from_counts
from perfrdiff.coefficients import CHANNEL, FPS
from perfrdiff.data.simulator.speaker import idle_face
from perfrdiff.errors import InputError
from perfrdiff.evaluation import intervals, timing
from perfrdiff.evaluation.dyads import HELD_OUT
from perfrdiff.evaluation.report import Row
from perfrdiff.evaluation.timing import Nodding
from perfrdiff.evaluation.timing_rows import Mark, answer_rows
from perfrdiff.features.clip import Speaker, read_speaker
from perfrdiff.features.speech_activity import phrase_ends
from perfrdiff.reactor import Reactor

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".m4v")
MIN_SECONDS = 6.0  # shorter videos are left out
FACES = ("real face", "idle head")
MARKS = {"clear nods": Mark(1.5, low_above=1.0)}
RESTLESS = 1.3  # most nods elsewhere with the real face, by those with an idle head
SMILE_SMOOTHING = 0.5 * FPS  # frames of a Gaussian that leaves slow smiles
SMILE_LAGS = range(int(2.5 * FPS) + 1)  # frames by which a reaction may come later
LEAST_SMILE, MOST_SHUFFLED_SMILE = 0.5, 0.1  # correlations
HABIT_GROUPS: Mapping[str, tuple[str, ...]] = {
    "nods": ("nod rate", "nod size"),
    "smiles": ("smile level",),
    "blinks": ("blink rate",),
    "pose": ("rest pitch", "rest yaw", "rest tilt"),
}
OTHER_SPEAKERS = 2  # to whom each person listens
LEAST_SHARE = 0.5  # of the way from the generic reaction to the video's own habits


@dataclass(frozen=True)
class RealPeople:
    """Tracked videos, by name."""

    speakers: dict[str, Speaker]
    listeners: dict[str, Speaker]  # of whom styles are taken: these, and the speakers


def read_people(folder: Path) -> RealPeople:
    """The videos of a folder; or of its folders `speakers` and, for the styles, `listeners`.

    Raises InputError where there is none of a speaker.
    """
    speakers = folder / "speakers" if (folder / "speakers").is_dir() else folder
    listeners = folder / "listeners"
    return RealPeople(_read_videos(speakers), _read_videos(listeners) if listeners.is_dir() else {})


def _read_videos(folder: Path) -> dict[str, Speaker]:
    """Name -> tracked video, of every video that shows a face for long enough; the others are named on stdout."""
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
        if len(video.coefficients) < MIN_SECONDS * FPS:
            print(f"{path.name} is left out: it lasts less than {MIN_SECONDS:g} s.")
            continue
        videos[path.name] = video
    if not videos:
        raise InputError(f"None of the videos in {folder} shows a face for {MIN_SECONDS:g} s.")
    return videos


def liveliness_of(people: RealPeople) -> np.ndarray:
    """Movement (groups, bands) of the listeners, or of the speakers where there are none, as `bands.liveliness`."""
    videos = people.listeners or people.speakers
    power = [np.square(liveliness(video.coefficients)) for video in videos.values()]
    return np.sqrt(np.mean(power, axis=0))


ReactTo = Callable[[Speaker, np.ndarray | None], np.ndarray]
"""A speaker and another face in place of theirs, or None -> reactions (samples, frames, 58)."""


def measure(
    weights: str,
    people: RealPeople,
    *,
    device: str = "cpu",
    samples: int = 6,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
) -> list[Row]:
    """Reactions of every named style to every speaker, and of every person to some of the speakers."""
    reactor = Reactor.load(weights, device)

    def react(speaker: Speaker, face: np.ndarray | None = None) -> np.ndarray:
        return reactor.react(
            speaker.audio, speaker.coefficients if face is None else face, hearing=speaker.hearing,
            face_seen=speaker.face_seen if face is None else None, samples=samples, seed=seed, steps=steps,
            guidance=guidance,
        ).coefficients  # fmt: skip

    return [*_named_style_rows(reactor, people, react), *_personal_rows(reactor, people, react)]


# --- Named styles ---


def _named_style_rows(reactor: Reactor, people: RealPeople, react: ReactTo) -> list[Row]:
    talks = {
        name: video
        for name, video in people.speakers.items()
        if video.waveform is not None and not video.waveform.is_silent
    }
    for name in people.speakers.keys() - talks.keys():
        print(f"{name} has no sound and does not count for timing.")
    if not talks:
        return []
    ends = [phrase_ends(video.waveform.samples) for video in talks.values() if video.waveform is not None]
    nodding: dict[str, list[list[Nodding]]] = {face: [] for face in FACES}  # of each style to each speaker
    smiles = [np.zeros(len(video.coefficients)) for video in talks.values()]
    for style in reactor.styles:
        reactor.set_listener(style)
        real = [react(video, None) for video in talks.values()]
        idle = [
            react(video, idle_face(np.random.default_rng([HELD_OUT, number]), len(video.coefficients)))
            for number, video in enumerate(talks.values())
        ]
        for face, reactions in zip(FACES, (real, idle), strict=True):
            nodding[face].append([Nodding.of(clips) for clips in reactions])
        for total, clips in zip(smiles, real, strict=True):
            total += _slow_smile(clips.mean(axis=0)) / len(reactor.styles)
    rows = []
    for face in FACES:
        label = f"named styles, {face}"
        rows += answer_rows("real", label, "phrase ends", ends, nodding[face], MARKS if face == FACES[0] else None)
    return [*rows, _restless_row(ends, nodding), _smile_row(list(talks.values()), smiles)]


def _restless_row(ends: Sequence[np.ndarray], nodding: Mapping[str, list[list[Nodding]]]) -> Row:
    """Whether the speaker's own face makes a listener nod all the time."""
    nods = timing.KINDS.index("nods")
    elsewhere = {
        face: np.stack(
            [sum(timing.tally(of_style[i], ends[i])[nods, 1] for of_style in nodding[face]) for i in range(len(ends))]
        )
        for face in FACES
    }  # (speakers, 2): counts and minutes
    ratio = intervals.rate_ratio(elsewhere[FACES[0]], elsewhere[FACES[1]])
    rates = [intervals.ratio(*elsewhere[face].T) for face in FACES]
    note = f"{rates[0]:.1f} by {rates[1]:.1f} a minute"
    row = Row("real", "nods a minute elsewhere, real face by idle head", ratio, note=note)
    return row.asked(f"≤ {RESTLESS}", ratio.value <= RESTLESS)


def _slow_smile(clip: np.ndarray) -> np.ndarray:
    """The smile (frames,) of a clip (frames, 58) without its quick movement."""
    smile = clip[:, [CHANNEL["mouthSmileLeft"], CHANNEL["mouthSmileRight"]]].astype(np.float64).mean(axis=1)
    return gaussian_filter1d(smile, SMILE_SMOOTHING)


def _smile_row(speakers: Sequence[Speaker], reactions: Sequence[np.ndarray]) -> Row:
    """Do reactions smile with the speaker? Over the reactions to others they should not."""
    spoken = [_slow_smile(video.coefficients) for video in speakers]
    same = [(i, i) for i in range(len(spoken))]
    others = [(i, j) for i in range(len(spoken)) for j in range(len(spoken)) if i != j]

    def moments(pairs: Sequence[tuple[int, int]], lag: int) -> np.ndarray:
        """(speakers, 3): sums of products and squares of speaker i's smile and, `lag` frames later, reaction j."""
        out = np.zeros((len(spoken), 3))
        for i, j in pairs:
            frames = min(len(spoken[i]), len(reactions[j])) - lag
            x, y = spoken[i][:frames], reactions[j][lag : lag + frames]
            x, y = x - x.mean(), y - y.mean()
            out[i] += (x * y).sum(), (x * x).sum(), (y * y).sum()
        return out

    def pooled(sums: np.ndarray) -> float:
        product, x, y = sums.sum(axis=0)
        return float(product / np.sqrt(x * y)) if x * y > 0 else float("nan")

    shortest = min(map(len, spoken))
    best = max((lag for lag in SMILE_LAGS if lag < shortest // 2), key=lambda lag: pooled(moments(same, lag)))
    own, over_others = moments(same, best), moments(others, best)
    found = intervals.estimate(lambda i: pooled(own[i]), len(spoken))
    control = intervals.estimate(lambda i: pooled(over_others[i]), len(spoken))
    row = Row(
        "real", "slow smile of the speaker and of the mean reaction: correlation at the best lag", found,
        control if others else None, note=f"lag {best / FPS:.1f} s; control: reactions to the other videos",
    )  # fmt: skip
    met = found.value >= LEAST_SMILE and (not others or control.value <= MOST_SHUFFLED_SMILE)
    return row.asked(f"≥ {LEAST_SMILE}, control ≤ {MOST_SHUFFLED_SMILE}", met)


# --- Styles of real people ---


def _personal_rows(reactor: Reactor, people: RealPeople, react: ReactTo) -> list[Row]:
    """Does a real person's style move the reaction from the generic one towards that person's own habits?"""
    speakers = list(people.speakers.values())
    persons = [*people.listeners.values(), *speakers]
    reactor.set_listener(None)
    generic_counts = [_mean_counts(react(speaker, None)) for speaker in speakers]
    counts: dict[str, list[np.ndarray]] = {"true": [], "generic": [], "personal": []}
    for number, person in enumerate(persons):
        others = [i for i, speaker in enumerate(speakers) if speaker is not person] or [0]
        chosen = [others[(number + k) % len(others)] for k in range(min(OTHER_SPEAKERS, len(others)))]
        reactor.set_listener(person.coefficients)
        counts["true"].append(count_behaviour(person.coefficients)[None])
        counts["generic"].append(np.mean([generic_counts[i] for i in chosen], axis=0))
        counts["personal"].append(np.mean([_mean_counts(react(speakers[i], None)) for i in chosen], axis=0))
    habits_of = {name: measures_from_counts(np.stack(of_persons)) for name, of_persons in counts.items()}
    expected, moved = (habits_of[name] - habits_of["generic"] for name in ("true", "personal"))
    rows = []
    for group, habits in HABIT_GROUPS.items():
        columns = [list(BEHAVIOUR_MEASURES).index(habit) for habit in habits]
        row = _share_row(group, expected[:, columns], moved[:, columns])
        rows.append(row.asked(f"≥ {LEAST_SHARE}", row.estimate.value >= LEAST_SHARE))
        if len(habits) > 1:  # none of them goes the wrong way
            each = [
                _share_row(habit, expected[:, [i]], moved[:, [i]]) for habit, i in zip(habits, columns, strict=True)
            ]
            rows += [row.asked("> 0", row.estimate.value > 0) for row in each]
    return rows


def _share_row(name: str, expected: np.ndarray, moved: np.ndarray) -> Row:
    """How far habits (persons, n) move on the way that is expected of them, pooled over persons and habits."""
    share = intervals.estimate(lambda i: _slope(expected[i], moved[i]), len(expected))
    nearer = (np.abs(expected - moved) < np.abs(expected)).mean()
    note = f"nearer in {nearer:.0%} of {expected.size} cases"
    return Row("real", f"{name}: share of the way from generic to the video's own", share, note=note)


def _mean_counts(clips: np.ndarray) -> np.ndarray:
    return np.mean([count_behaviour(clip) for clip in clips], axis=0)[None]


def _slope(expected: np.ndarray, moved: np.ndarray) -> float:
    size = (expected**2).sum()
    return float((expected * moved).sum() / size) if size > 0 else float("nan")
