"""Everything that is measured of one held-out person: a record of small arrays, ready to be put together over persons.

The generator is called through `Reactor.set_listener` and `react` alone, so any weights can be measured.
"""

import numpy as np
from scipy.ndimage import uniform_filter1d

from perfrdiff.behaviour import events
from perfrdiff.coefficients import CHANNEL, FPS
from perfrdiff.data.simulator.speaker import SimulatedSpeaker
from perfrdiff.evaluation import movement, timing
from perfrdiff.evaluation.dyads import (
    EVERY,
    GALLERY,
    Dyad,
    SharedSimulation,
    describe,
    draw_dyad,
    style_of_person,
)
from perfrdiff.evaluation.records import PersonRecord
from perfrdiff.features.attributes import facial_attributes
from perfrdiff.metrics import challenge as metrics
from perfrdiff.reactor import Reactor

SMILE_ONSETS = (0.2, 2.5)  # seconds after the beginning of a speaker's smile or laugh
SMILE_LEVELS = (0.8, 3.5)
REDRAWS_FOR_DISTANCE = 4  # redraws that time-warped distances are taken to, and as many samples: they cost most


def measure_person(reactor: Reactor, shared: SharedSimulation, index: int) -> PersonRecord:
    """The record of held-out person `index`.

    Names in it: "personal" for reactions in that person's style, as shipped; "alone", the same without calibration;
    "generic", without weight shift; "long", in the style of a 2-minute clip; "simulator", the person's own redraws.
    """
    dyad = draw_dyad(shared, index)
    settings = shared.settings
    first = dyad.speakers[0]

    def react(speaker: SimulatedSpeaker) -> np.ndarray:
        return generate(reactor, shared, speaker, settings.samples, index)

    reactor.set_listener(dyad.style)
    reactions = {"personal": react(first)}
    to_other_speaker = react(dyad.speakers[1] if len(dyad.speakers) > 1 else shared.pool[index % len(shared.pool)])
    more = [react(speaker) for speaker in dyad.speakers[2:]]
    record: PersonRecord = {}
    if dyad.long_reaction is not None:
        long = generate(reactor, shared, dyad.long_speaker, 1, index)
        record |= movement.drift("personal", long[0]) | movement.drift("simulator", dyad.long_reaction)
    if reactor.checkpoint.calibration is None:
        reactions["alone"] = reactions["personal"]
    else:
        reactor.set_listener(dyad.style, calibrate=False)
        reactions["alone"] = react(first)
    reactor.set_listener(None)
    reactions["generic"] = react(first)
    if dyad.long_style is not None:
        reactor.set_listener(dyad.long_style)
        reactions["long"] = react(first)
    record |= _listening(dyad, shared, reactions, to_other_speaker)
    record |= _diversity(dyad, reactions["personal"])
    record |= _descriptions(dyad, reactions)
    for name, clips in (*reactions.items(), ("simulator", dyad.redraws)):
        record |= {f"{name}/{key}": value for key, value in movement.amounts(clips).items()}
    record |= movement.courses(reactions["personal"], dyad.redraws, reactor.checkpoint.window_frames)
    every_clip = np.concatenate([reactions["personal"], to_other_speaker, *more])
    record |= movement.shapes("personal", every_clip) | movement.shapes("simulator", dyad.redraws)
    if index % EVERY == 0:
        record |= _listener_swap(reactor, shared, dyad, index, reactions["personal"])
    return {key: np.asarray(value, np.float64) for key, value in record.items()}


def generate(
    reactor: Reactor, shared: SharedSimulation, speaker: SimulatedSpeaker, samples: int, seed: int
) -> np.ndarray:
    """Reactions (samples, frames, 58) of the listener that is set."""
    settings = shared.settings
    return reactor.react(
        speaker.audio,
        speaker.coefficients,
        hearing=speaker.hearing,
        face_seen=speaker.face_seen,
        samples=samples,
        seed=seed,
        steps=settings.steps,
        guidance=settings.guidance,
    ).coefficients


# --- They listen ---


def _listening(
    dyad: Dyad, shared: SharedSimulation, reactions: dict[str, np.ndarray], to_other_speaker: np.ndarray
) -> PersonRecord:
    speaker = dyad.speakers[0]
    sources = {
        "personal": reactions["personal"], "alone": reactions["alone"], "generic": reactions["generic"],
        "simulator": dyad.redraws, "shuffled": to_other_speaker,
    }  # fmt: skip
    record: PersonRecord = {}
    for name, clips in sources.items():
        record |= {f"{name}/{key}": value for key, value in responses_to_events(clips, speaker).items()}

    appropriate = _attributes(dyad.redraws)
    speaker_attributes = facial_attributes(speaker.coefficients)
    rng = np.random.default_rng(len(appropriate))
    nearest = np.square(shared.bank_speakers - speaker_attributes).mean(axis=(1, 2)).argmin()
    attributes = {
        **{name: _attributes(sources[name]) for name in ("personal", "generic", "shuffled")},
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
    """What reactions (clips, frames, 58) do after events of the speaker, and elsewhere.

    "nods": counts and minutes (kinds, 2, 2) as `timing.tally`; "smiles after smiles": the same (2, 2); "smile level
    after smiles": sums of the smile and frames (2, 2).
    """
    frames = clips.shape[1]

    def times(*kinds: str) -> np.ndarray:
        return np.array([event.time for event in speaker.events if event.kind in kinds])

    after_smile = timing.near(times("smile", "laugh"), frames, SMILE_ONSETS)
    smile_answered = timing.near(times("smile", "laugh"), frames, SMILE_LEVELS)
    smiles, levels = np.zeros((2, 2)), np.zeros((2, 2))
    for clip in clips:
        starts = events.smiles(clip).start
        inside = after_smile[np.minimum((starts * FPS).astype(int), frames - 1)]
        smiles[0] += inside.sum(), after_smile.sum() / FPS / 60
        smiles[1] += (~inside).sum(), (~after_smile).sum() / FPS / 60
        smile = clip[:, [CHANNEL["mouthSmileLeft"], CHANNEL["mouthSmileRight"]]].mean(axis=1)
        levels[0] += smile[smile_answered].sum(), smile_answered.sum()
        levels[1] += smile[~smile_answered].sum(), (~smile_answered).sum()
    nods = timing.tally(timing.Nodding.of(clips), times("phrase_end"))
    return {"nods": nods, "smiles after smiles": smiles, "smile level after smiles": levels}


# --- They differ ---


def _diversity(dyad: Dyad, to_first: np.ndarray) -> PersonRecord:
    return {
        "personal/FRDiv": metrics.diversity(_attributes(to_first)[None]),
        "simulator/FRDiv": metrics.diversity(_attributes(dyad.redraws)[None]),
        "personal/FRVar": metrics.variance(_attributes(to_first)),
        "simulator/FRVar": metrics.variance(_attributes(dyad.redraws)),
    }


# --- They are somebody ---


def _descriptions(dyad: Dyad, reactions: dict[str, np.ndarray]) -> PersonRecord:
    """`dyads.describe` of every clip, (clips, N + M)."""
    sources = reactions | {"simulator": dyad.redraws, "truth": dyad.truth, "clip": dyad.style[None]}
    if dyad.long_style is not None:
        sources["long clip"] = dyad.long_style[None]
    record = {f"{name}/descriptions": np.stack([describe(clip) for clip in clips]) for name, clips in sources.items()}
    record["gallery/descriptions"] = record["truth/descriptions"][:GALLERY]
    return record


def _timing_curves(clip: np.ndarray) -> np.ndarray:
    """Curves (3, frames) whose timing an eye follows: smile, nodding strength, brows; smoothed over half a second."""
    smile = clip[:, [CHANNEL["mouthSmileLeft"], CHANNEL["mouthSmileRight"]]].mean(axis=1)
    pitch = np.degrees(clip[:, CHANNEL["rotationX"]])
    nodding = np.abs(np.gradient(pitch - uniform_filter1d(pitch, 2 * FPS)))
    return uniform_filter1d(np.stack([smile, nodding, clip[:, CHANNEL["browInnerUp"]]]), FPS // 2, axis=1)


def _listener_swap(
    reactor: Reactor, shared: SharedSimulation, dyad: Dyad, index: int, reactions: np.ndarray
) -> PersonRecord:
    """Another listener at the same seed: how much changes, and whether the same things happen at the same time."""
    reactor.set_listener(style_of_person(shared, index + 1))
    count = min(3, shared.settings.samples)
    swapped, personal = generate(reactor, shared, dyad.speakers[0], count, index), reactions[:count]

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
