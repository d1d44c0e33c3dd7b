"""Everything that is measured of one held-out person: a record of small arrays, ready to be put together over persons.

The generator is called through `Reactor.set_listener`, `react` and `style_of` alone, so any weights can be measured.
"""

import numpy as np
from scipy.ndimage import uniform_filter1d

from perfrdiff.behaviour import events
from perfrdiff.behaviour.signature import signature
from perfrdiff.behaviour.statistics import quantities
from perfrdiff.coefficients import CHANNEL, FPS, ROTATION
from perfrdiff.data.simulator.conversation import MOVING_COLUMNS, SimulatedSpeaker
from perfrdiff.evaluation.dyads import DRIFT_EVERY, GALLERY, Dyad, World, after, draw_dyad, style_of_person
from perfrdiff.features.attributes import affect_attributes
from perfrdiff.metrics import challenge as metrics
from perfrdiff.reactor import Reactor

Record = dict[str, np.ndarray]
NOD_WINDOW = (0.0, 1.2)  # seconds after a phrase end
SMILE_ONSETS = (0.2, 2.5)  # seconds after the beginning of a speaker's smile or laugh
SMILE_LEVELS = (0.8, 3.5)
TRUTHS_FOR_DISTANCE = 4  # redraws that time-warped distances are taken to, and as many samples: they cost most
EXAMPLES = 4  # reactions of a person whose events' shapes are kept


def record_of(reactor: Reactor, world: World, index: int) -> Record:
    """Let the reactor listen as person `index`, and measure."""
    dyad = draw_dyad(world, index)
    made = {"personal": _react(reactor, world, dyad, index, dyad.style)}
    # The same listener, answering somebody else.
    stranger = world.pool[index % len(world.pool)]
    elsewhere = (
        made["personal"][1] if len(dyad.speakers) > 1 else _ask(reactor, world, stranger, world.setting.samples, index)
    )
    made["generic"] = _react(reactor, world, dyad, index, None, first_only=True)
    if world.setting.long_style:
        made["long"] = _react(reactor, world, dyad, index, dyad.long_style)
    record = {f"vector/{name}": np.float64(value) for name, value in dyad.habits.numbers().items()}
    record |= _listening(dyad, world, made, elsewhere)
    record |= _variety(dyad, made["personal"])
    record |= _person(reactor, dyad, world, made)
    record |= _swap(reactor, world, dyad, index, made["personal"])
    record |= _motion(reactor, made["personal"][0], dyad.redraws)
    record |= _shapes("personal", [clip for clips in made["personal"] for clip in clips][:EXAMPLES])
    record |= _shapes("simulator", list(dyad.redraws[:EXAMPLES]))
    if world.setting.long_style and index % DRIFT_EVERY == 0:
        record |= _drift(reactor, world, dyad, index)
    return {key: np.asarray(value, np.float64) for key, value in record.items()}


def _ask(reactor: Reactor, world: World, speaker: SimulatedSpeaker, samples: int, seed: int) -> np.ndarray:
    setting = world.setting
    return reactor.react(
        speaker.audio, speaker.coefficients, samples=samples, seed=seed, steps=setting.steps, guidance=setting.guidance
    ).coefficients


def _react(
    reactor: Reactor, world: World, dyad: Dyad, index: int, listener: np.ndarray | None, first_only: bool = False
) -> list[np.ndarray]:
    """Reactions (samples, frames, 58) to each of the dyad's speakers, or to the first."""
    reactor.set_listener(listener)
    speakers = dyad.speakers[:1] if first_only else dyad.speakers
    return [_ask(reactor, world, speaker, world.setting.samples, index) for speaker in speakers]


# --- They listen ---


def _listening(dyad: Dyad, world: World, made: dict[str, list[np.ndarray]], elsewhere: np.ndarray) -> Record:
    speaker = dyad.speakers[0]
    sources = {
        "personal": made["personal"][0], "generic": made["generic"][0], "simulator": dyad.redraws,
        "shuffled": elsewhere,
    }  # fmt: skip
    record = {}
    for name, clips in sources.items():
        record |= {f"{name}/{key}": value for key, value in _follows(clips, speaker).items()}

    real = _attributes(dyad.redraws)
    heard = affect_attributes(speaker.coefficients)
    rng = np.random.default_rng(len(real))
    nearest = np.square(world.bank_speaker - heard).mean(axis=(1, 2)).argmin()
    reactions = {
        **{name: _attributes(clips) for name, clips in sources.items() if name != "simulator"},
        "random": rng.random((1, *heard.shape)),
        "mime": heard[None],
        "mean sequence": world.mean_sequence[None],
        "nearest neighbour": world.bank_listener[nearest][None],
    }
    for name, clips in reactions.items():
        record[f"{name}/FRCorr"] = metrics.concordance(clips, real).max(axis=1).mean()
        record[f"{name}/FRDist"] = _distance(clips, real)
    others = [np.delete(real, i, axis=0) for i in range(len(real))]  # a redraw against the other redraws
    record["simulator/FRCorr"] = np.mean(
        [metrics.concordance(real[i : i + 1], rest).max() for i, rest in enumerate(others) if len(rest)]
    )
    record["simulator/FRDist"] = np.mean([_distance(real[i : i + 1], others[i]) for i in range(min(2, len(real)))])
    return record


def _attributes(clips: np.ndarray) -> np.ndarray:
    return np.stack([affect_attributes(clip) for clip in clips])


def _distance(clips: np.ndarray, real: np.ndarray) -> float:
    """Sound FRDist of some of the clips to some of the appropriate reactions."""
    some = real[:TRUTHS_FOR_DISTANCE]
    return float(np.mean([min(metrics.warping_distance(clip, other) for other in some) for clip in clips[:4]]))


def _follows(clips: np.ndarray, speaker: SimulatedSpeaker) -> Record:
    """Counts and times of nods after phrase ends and of smiles after smiles, inside and elsewhere: (2, 2)."""
    frames = clips.shape[1]
    ends = after(speaker, ("phrase_end",), *NOD_WINDOW, frames)
    smiled = after(speaker, ("smile", "laugh"), *SMILE_ONSETS, frames)
    beamed = after(speaker, ("smile", "laugh"), *SMILE_LEVELS, frames)
    nods, smiles, levels = (np.zeros((2, 2)) for _ in range(3))
    for clip in clips:
        for counted, starts, near in (
            (nods, events.nods(clip).start, ends),
            (smiles, events.smiles(clip).start, smiled),
        ):
            inside = near[np.minimum((starts * FPS).astype(int), frames - 1)]
            counted[0] += inside.sum(), near.sum() / FPS / 60
            counted[1] += (~inside).sum(), (~near).sum() / FPS / 60
        smile = clip[:, [CHANNEL["mouthSmileLeft"], CHANNEL["mouthSmileRight"]]].mean(axis=1)
        levels[0] += smile[beamed].sum(), beamed.sum()
        levels[1] += smile[~beamed].sum(), (~beamed).sum()
    return {"nods after phrase ends": nods, "smiles after smiles": smiles, "smile level after smiles": levels}


# --- They differ ---


def _variety(dyad: Dyad, made: list[np.ndarray]) -> Record:
    return {
        "personal/FRDiv": metrics.diversity(_attributes(made[0])[None]),
        "simulator/FRDiv": metrics.diversity(_attributes(dyad.redraws)[None]),
        "personal/FRVar": metrics.variance(_attributes(made[0])),
        "simulator/FRVar": metrics.variance(_attributes(dyad.redraws)),
    }


# --- They are somebody ---


def _person(reactor: Reactor, dyad: Dyad, world: World, made: dict[str, list[np.ndarray]]) -> Record:
    every = {name: np.concatenate(clips) for name, clips in made.items()}
    sources = every | {"truth": dyad.truth, "clip": dyad.style[None]}
    if dyad.long_style is not None:
        sources["long clip"] = dyad.long_style[None]
    record = {f"{name}/habits": np.stack([quantities(clip) for clip in clips]) for name, clips in sources.items()}
    for name, clips in (
        ("personal", every["personal"]), ("generic", made["generic"][0]), ("simulator", dyad.redraws),
        ("gallery", dyad.truth[:GALLERY]),
    ):  # fmt: skip
        record[f"{name}/signatures"] = np.stack([signature(clip, MOVING_COLUMNS) for clip in clips])
    for name, clips in (("personal", made["personal"][0][:1]), ("simulator", dyad.redraws[:1]),
                        ("gallery", dyad.truth[:GALLERY])):  # fmt: skip
        record[f"{name}/styles"] = np.stack([reactor.style_of(clip).cpu().numpy() for clip in clips])
    return record


def _courses(clip: np.ndarray) -> np.ndarray:
    """What an eye follows in time, (3, frames): smile, nodding strength, brows; smoothed over half a second."""
    smile = clip[:, [CHANNEL["mouthSmileLeft"], CHANNEL["mouthSmileRight"]]].mean(axis=1)
    pitch = np.degrees(clip[:, CHANNEL["rotationX"]])
    nodding = np.abs(np.gradient(pitch - uniform_filter1d(pitch, 2 * FPS)))
    return uniform_filter1d(np.stack([smile, nodding, clip[:, CHANNEL["browInnerUp"]]]), FPS // 2, axis=1)


def _swap(reactor: Reactor, world: World, dyad: Dyad, index: int, made: list[np.ndarray]) -> Record:
    """Another listener at the same seed: how much changes, and whether the same things happen at the same time."""
    if world.setting.persons < 2:
        return {}
    reactor.set_listener(style_of_person(world, (index + 1) % world.setting.persons))
    count = min(3, world.setting.samples)
    other, own = _ask(reactor, world, dyad.speakers[0], count, index), made[0][:count]

    def alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.array([_correlation(x, y) for x, y in zip(_courses(a), _courses(b), strict=True)])

    pairs = [(a, b) for a in range(count) for b in range(count) if a != b]
    return {
        "swap/change": np.sqrt(np.square(other - own).mean()),
        "swap/same seed": _mean_of([alike(own[k], other[k]) for k in range(count)]),
        "swap/other seed": _mean_of([alike(own[a], other[b]) for a, b in pairs]),
        "swap/between samples": np.sqrt(np.mean([np.square(own[a] - own[b]).mean() for a, b in pairs] or [np.nan])),
    }


def _mean_of(rows: list[np.ndarray]) -> np.ndarray:
    """Mean over rows (·, 3), undefined ones left out; undefined where there is none."""
    counted = np.isfinite(np.reshape(rows, (-1, 3)))
    total = np.where(counted, np.reshape(rows, (-1, 3)), 0.0).sum(axis=0)
    return np.divide(total, counted.sum(axis=0), out=np.full(3, np.nan), where=counted.any(axis=0))


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 1e-9 else float("nan")


# --- They are plausible ---


def _speed(clips: np.ndarray) -> np.ndarray:
    """Frame-to-frame change (clips, frames - 1): mean over expressions, and head angles in radians."""
    return np.abs(np.diff(clips[..., : ROTATION.stop], axis=1)).mean(axis=2)


def _motion(reactor: Reactor, clips: np.ndarray, redraws: np.ndarray) -> Record:
    record = {}
    speed = _speed(clips)
    window, slide = reactor.checkpoint.window_frames
    seams = np.arange(window - 1, speed.shape[1], slide)  # speed[i] is from frame i to i + 1
    if len(seams):
        record["seams"] = np.array([speed[:, seams].mean(), np.delete(speed, seams, axis=1).mean()])
    usual = np.median(_speed(redraws))
    third = speed.shape[1] // 3
    for name, all_of in (("personal", clips), ("simulator", redraws)):
        moving = uniform_filter1d(_speed(all_of), FPS, axis=1)
        record[f"{name}/frozen"] = (moving < 0.25 * usual).mean()
        record[f"{name}/speed"] = _speed(all_of).mean()
        record[f"{name}/late speed"] = np.array([_speed(all_of)[:, -third:].mean(), _speed(all_of)[:, :third].mean()])
    return record


def _drift(reactor: Reactor, world: World, dyad: Dyad, index: int) -> Record:
    """Two minutes: distance of the last 20 s from the first 20 s, and their speeds, beside the simulator's."""
    reactor.set_listener(dyad.style)
    clips = _ask(reactor, world, dyad.long_speaker, 1, index)
    record, part = {}, 20 * FPS
    for name, both in (("personal", clips), ("simulator", dyad.long_style[None])):
        face = both[..., : ROTATION.stop]
        record[f"{name}/2 min drift"] = np.abs(face[:, -part:].mean(axis=1) - face[:, :part].mean(axis=1)).mean()
        record[f"{name}/2 min speed"] = np.array([_speed(both[:, -part:]).mean(), _speed(both[:, :part]).mean()])
    return record


def _shapes(name: str, clips: list[np.ndarray]) -> Record:
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
