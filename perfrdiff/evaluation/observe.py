"""Everything that is measured of one held-out person: a record of small arrays, ready to be put together over persons.

The generator is called through `Reactor.set_listener`, `react` and `style_of` alone, so any weights can be measured.
"""

import numpy as np
from scipy.ndimage import uniform_filter1d

from perfrdiff.behaviour import events
from perfrdiff.behaviour.signature import signature
from perfrdiff.behaviour.statistics import count_behaviour
from perfrdiff.coefficients import CHANNEL, FPS, ROTATION
from perfrdiff.data.simulator.speaker import SimulatedSpeaker
from perfrdiff.data.simulator.tracking import MOVING_COLUMNS
from perfrdiff.evaluation.dyads import (
    DRIFT_EVERY,
    GALLERY,
    Dyad,
    SharedSimulation,
    after_events,
    draw_dyad,
    style_of_person,
)
from perfrdiff.features.attributes import facial_attributes
from perfrdiff.metrics import challenge as metrics
from perfrdiff.reactor import Reactor

PersonRecord = dict[str, np.ndarray]
NOD_WINDOW = (0.0, 1.2)  # seconds after a phrase end
SMILE_ONSETS = (0.2, 2.5)  # seconds after the beginning of a speaker's smile or laugh
SMILE_LEVELS = (0.8, 3.5)
REDRAWS_FOR_DISTANCE = 4  # redraws that time-warped distances are taken to, and as many samples: they cost most
EXAMPLES = 4  # reactions of a person whose events' shapes are kept


def measure_person(reactor: Reactor, shared: SharedSimulation, index: int) -> PersonRecord:
    """The record of held-out person `index`: reactions in that style, generic ones, and the simulator's own."""
    dyad = draw_dyad(shared, index)
    reactions = {"personal": _react(reactor, shared, dyad, index, dyad.style)}
    other_speaker = shared.pool[index % len(shared.pool)]
    to_other_speaker = (
        reactions["personal"][1]
        if len(dyad.speakers) > 1
        else _generate(reactor, shared, other_speaker, shared.settings.samples, index)
    )
    reactions["generic"] = _react(reactor, shared, dyad, index, None, first_only=True)
    if shared.settings.long_style:
        reactions["long"] = _react(reactor, shared, dyad, index, dyad.long_style)
    record = {f"vector/{name}": np.float64(value) for name, value in dyad.habits.numbers().items()}
    record |= _listening(dyad, shared, reactions, to_other_speaker)
    record |= _diversity(dyad, reactions["personal"][0])
    record |= _habits(reactor, dyad, shared, reactions)
    record |= _listener_swap(reactor, shared, dyad, index, reactions["personal"])
    record |= _motion(reactor, reactions["personal"][0], dyad.redraws)
    record |= _shapes("personal", [clip for clips in reactions["personal"] for clip in clips][:EXAMPLES])
    record |= _shapes("simulator", list(dyad.redraws[:EXAMPLES]))
    if shared.settings.long_style and index % DRIFT_EVERY == 0:
        record |= _drift(reactor, shared, dyad, index)
    return {key: np.asarray(value, np.float64) for key, value in record.items()}


def _generate(
    reactor: Reactor, shared: SharedSimulation, speaker: SimulatedSpeaker, samples: int, seed: int
) -> np.ndarray:
    settings = shared.settings
    return reactor.react(
        speaker.audio,
        speaker.coefficients,
        samples=samples,
        seed=seed,
        steps=settings.steps,
        guidance=settings.guidance,
    ).coefficients


def _react(
    reactor: Reactor,
    shared: SharedSimulation,
    dyad: Dyad,
    index: int,
    listener: np.ndarray | None,
    first_only: bool = False,
) -> list[np.ndarray]:
    """Reactions (samples, frames, 58) to each of the dyad's speakers, or to the first."""
    reactor.set_listener(listener)
    speakers = dyad.speakers[:1] if first_only else dyad.speakers
    return [_generate(reactor, shared, speaker, shared.settings.samples, index) for speaker in speakers]


# --- They listen ---


def _listening(
    dyad: Dyad, shared: SharedSimulation, reactions: dict[str, list[np.ndarray]], to_other_speaker: np.ndarray
) -> PersonRecord:
    speaker = dyad.speakers[0]
    sources = {
        "personal": reactions["personal"][0], "generic": reactions["generic"][0], "simulator": dyad.redraws,
        "shuffled": to_other_speaker,
    }  # fmt: skip
    record = {}
    for name, clips in sources.items():
        record |= {f"{name}/{key}": value for key, value in responses_to_events(clips, speaker).items()}

    appropriate = _attributes(dyad.redraws)
    speaker_attributes = facial_attributes(speaker.coefficients)
    rng = np.random.default_rng(len(appropriate))
    nearest = np.square(shared.bank_speakers - speaker_attributes).mean(axis=(1, 2)).argmin()
    attributes = {
        **{name: _attributes(clips) for name, clips in sources.items() if name != "simulator"},
        "random": rng.random((1, *speaker_attributes.shape)),
        "mime": speaker_attributes[None],
        "mean sequence": shared.mean_sequence[None],
        "nearest neighbour": shared.bank_listeners[nearest][None],
    }
    for name, clips in attributes.items():
        record[f"{name}/FRCorr"] = metrics.concordance(clips, appropriate).max(axis=1).mean()
        record[f"{name}/FRDist"] = _distance(clips, appropriate)
    others = [np.delete(appropriate, i, axis=0) for i in range(len(appropriate))]  # a redraw against the other redraws
    record["simulator/FRCorr"] = np.mean(
        [
            metrics.concordance(appropriate[i : i + 1], other_redraws).max()
            for i, other_redraws in enumerate(others)
            if len(other_redraws)
        ]
    )
    record["simulator/FRDist"] = np.mean(
        [_distance(appropriate[i : i + 1], others[i]) for i in range(min(2, len(appropriate)))]
    )
    return record


def _attributes(clips: np.ndarray) -> np.ndarray:
    return np.stack([facial_attributes(clip) for clip in clips])


def _distance(clips: np.ndarray, appropriate: np.ndarray) -> float:
    """Corrected FRDist of some of the clips to some of the appropriate reactions."""
    compared = appropriate[:REDRAWS_FOR_DISTANCE]
    return float(np.mean([min(metrics.warping_distance(clip, redraw) for redraw in compared) for clip in clips[:4]]))


def responses_to_events(clips: np.ndarray, speaker: SimulatedSpeaker) -> PersonRecord:
    """Counts and times of nods after phrase ends and of smiles after smiles, inside and elsewhere: (2, 2)."""
    frames = clips.shape[1]
    after_phrase = after_events(speaker, ("phrase_end",), *NOD_WINDOW, frames)
    after_smile = after_events(speaker, ("smile", "laugh"), *SMILE_ONSETS, frames)
    smile_answered = after_events(speaker, ("smile", "laugh"), *SMILE_LEVELS, frames)
    nods, smiles, levels = (np.zeros((2, 2)) for _ in range(3))
    for clip in clips:
        for tally, starts, window in (
            (nods, events.nods(clip).start, after_phrase),
            (smiles, events.smiles(clip).start, after_smile),
        ):
            inside = window[np.minimum((starts * FPS).astype(int), frames - 1)]
            tally[0] += inside.sum(), window.sum() / FPS / 60
            tally[1] += (~inside).sum(), (~window).sum() / FPS / 60
        smile = clip[:, [CHANNEL["mouthSmileLeft"], CHANNEL["mouthSmileRight"]]].mean(axis=1)
        levels[0] += smile[smile_answered].sum(), smile_answered.sum()
        levels[1] += smile[~smile_answered].sum(), (~smile_answered).sum()
    return {"nods after phrase ends": nods, "smiles after smiles": smiles, "smile level after smiles": levels}


# --- They differ ---


def _diversity(dyad: Dyad, to_first: np.ndarray) -> PersonRecord:
    return {
        "personal/FRDiv": metrics.diversity(_attributes(to_first)[None]),
        "simulator/FRDiv": metrics.diversity(_attributes(dyad.redraws)[None]),
        "personal/FRVar": metrics.variance(_attributes(to_first)),
        "simulator/FRVar": metrics.variance(_attributes(dyad.redraws)),
    }


# --- They are somebody ---


def _habits(
    reactor: Reactor, dyad: Dyad, shared: SharedSimulation, reactions: dict[str, list[np.ndarray]]
) -> PersonRecord:
    all_clips = {name: np.concatenate(clips) for name, clips in reactions.items()}
    sources = all_clips | {"truth": dyad.truth, "clip": dyad.style[None]}
    if dyad.long_style is not None:
        sources["long clip"] = dyad.long_style[None]
    record = {f"{name}/habits": np.stack([count_behaviour(clip) for clip in clips]) for name, clips in sources.items()}
    for name, clips in (
        ("personal", all_clips["personal"]), ("generic", reactions["generic"][0]), ("simulator", dyad.redraws),
        ("gallery", dyad.truth[:GALLERY]),
    ):  # fmt: skip
        record[f"{name}/signatures"] = np.stack([signature(clip, MOVING_COLUMNS) for clip in clips])
    for name, clips in (("personal", reactions["personal"][0][:1]), ("simulator", dyad.redraws[:1]),
                        ("gallery", dyad.truth[:GALLERY])):  # fmt: skip
        record[f"{name}/styles"] = np.stack([reactor.style_of(clip).cpu().numpy() for clip in clips])
    return record


def _timing_curves(clip: np.ndarray) -> np.ndarray:
    """Curves (3, frames) whose timing an eye follows: smile, nodding strength, brows; smoothed over half a second."""
    smile = clip[:, [CHANNEL["mouthSmileLeft"], CHANNEL["mouthSmileRight"]]].mean(axis=1)
    pitch = np.degrees(clip[:, CHANNEL["rotationX"]])
    nodding = np.abs(np.gradient(pitch - uniform_filter1d(pitch, 2 * FPS)))
    return uniform_filter1d(np.stack([smile, nodding, clip[:, CHANNEL["browInnerUp"]]]), FPS // 2, axis=1)


def _listener_swap(
    reactor: Reactor, shared: SharedSimulation, dyad: Dyad, index: int, reactions: list[np.ndarray]
) -> PersonRecord:
    """Another listener at the same seed: how much changes, and whether the same things happen at the same time."""
    if shared.settings.persons < 2:
        return {}
    reactor.set_listener(style_of_person(shared, (index + 1) % shared.settings.persons))
    count = min(3, shared.settings.samples)
    swapped, personal = _generate(reactor, shared, dyad.speakers[0], count, index), reactions[0][:count]

    def curve_correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.array([_correlation(x, y) for x, y in zip(_timing_curves(a), _timing_curves(b), strict=True)])

    pairs = [(a, b) for a in range(count) for b in range(count) if a != b]
    return {
        "swap/change": np.sqrt(np.square(swapped - personal).mean()),
        "swap/same seed": _mean_of([curve_correlations(personal[k], swapped[k]) for k in range(count)]),
        "swap/other seed": _mean_of([curve_correlations(personal[a], swapped[b]) for a, b in pairs]),
        "swap/between samples": np.sqrt(
            np.mean([np.square(personal[a] - personal[b]).mean() for a, b in pairs] or [np.nan])
        ),
    }


def _mean_of(rows: list[np.ndarray]) -> np.ndarray:
    """Mean over rows (·, 3), undefined ones left out; undefined where there is none."""
    tally = np.isfinite(np.reshape(rows, (-1, 3)))
    total = np.where(tally, np.reshape(rows, (-1, 3)), 0.0).sum(axis=0)
    return np.divide(total, tally.sum(axis=0), out=np.full(3, np.nan), where=tally.any(axis=0))


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 1e-9 else float("nan")


# --- They are plausible ---


def _speed(clips: np.ndarray) -> np.ndarray:
    """Frame-to-frame change (clips, frames - 1): mean over expressions, and head angles in radians."""
    return np.abs(np.diff(clips[..., : ROTATION.stop], axis=1)).mean(axis=2)


def _motion(reactor: Reactor, clips: np.ndarray, redraws: np.ndarray) -> PersonRecord:
    record = {}
    speed = _speed(clips)
    window, slide = reactor.checkpoint.window_frames
    seams = np.arange(window - 1, speed.shape[1], slide)  # speed[i] is from frame i to i + 1
    if len(seams):
        record["seams"] = np.array([speed[:, seams].mean(), np.delete(speed, seams, axis=1).mean()])
    typical_speed = np.median(_speed(redraws))
    third = speed.shape[1] // 3
    for name, source_clips in (("personal", clips), ("simulator", redraws)):
        smoothed_speed = uniform_filter1d(_speed(source_clips), FPS, axis=1)
        record[f"{name}/frozen"] = (smoothed_speed < 0.25 * typical_speed).mean()
        record[f"{name}/speed"] = _speed(source_clips).mean()
        record[f"{name}/late speed"] = np.array(
            [_speed(source_clips)[:, -third:].mean(), _speed(source_clips)[:, :third].mean()]
        )
    return record


def _drift(reactor: Reactor, shared: SharedSimulation, dyad: Dyad, index: int) -> PersonRecord:
    """Two minutes: distance of the last 20 s from the first 20 s, and their speeds, beside the simulator's."""
    reactor.set_listener(dyad.style)
    clips = _generate(reactor, shared, dyad.long_speaker, 1, index)
    record, span = {}, 20 * FPS
    for name, pair_clips in (("personal", clips), ("simulator", dyad.long_style[None])):
        face = pair_clips[..., : ROTATION.stop]
        record[f"{name}/2 min drift"] = np.abs(face[:, -span:].mean(axis=1) - face[:, :span].mean(axis=1)).mean()
        record[f"{name}/2 min speed"] = np.array(
            [_speed(pair_clips[:, -span:]).mean(), _speed(pair_clips[:, :span]).mean()]
        )
    return record


def _shapes(name: str, clips: list[np.ndarray]) -> PersonRecord:
    """Shapes of the events of some clips, one row per event; rates per minute as sums."""
    nods = [events.nods(clip) for clip in clips]
    blinks = [events.blinks(clip) for clip in clips]
    smiles = [events.smiles(clip) for clip in clips]

    def joined(found: list, *fields: str) -> np.ndarray:
        return np.concatenate([np.stack([getattr(one, field) for field in fields], axis=1) for one in found])

    return {
        f"{name}/shapes/nods": joined(nods, "size", "frequency", "strokes"),
        f"{name}/shapes/blinks": joined(blinks, "peak", "width", "closing", "opening"),
        f"{name}/shapes/smiles": joined(smiles, "size", "onset", "length"),
    }
