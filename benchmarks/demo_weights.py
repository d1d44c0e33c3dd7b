"""What the demo weights do on simulated dyads they never saw: `python -m benchmarks.demo_weights [--weights NAME]`.

Persons, speakers and chance come from seeds the training corpus does not use. Printed as a Markdown table, for
checkpoints/README.md:
* listening: how much more the head moves in nodding speed within 1.2 s after a phrase end; how smiles answer smiles;
* variety: spread between samples beside the spread between the simulator's own redraws;
* person: correlation over persons of a habit read from the reactions with the same habit read from many true clips,
  for the personalised and the generic generator, beside what one true 30-second clip reaches;
* smoothness: frame-to-frame speed at window seams beside elsewhere.
"""

import argparse

import numpy as np
from scipy.signal import butter, sosfiltfilt

from perfrdiff.data.habits import draw_habits
from perfrdiff.data.simulated import SimulatedSpeaker, simulate_listener, simulate_speaker
from perfrdiff.features.coefficients import CHANNEL, FPS
from perfrdiff.reactor import Reactor

HELD_OUT = 990_000  # training uses seeds [1, 0…7]
NOD_BAND = butter(2, (1.0, 4.0), btype="band", fs=FPS, output="sos")  # Hz, spec listener_statistics section 1


def nodding(clip: np.ndarray) -> np.ndarray:
    """Head pitch in the nodding band, degrees, (frames,)."""
    return sosfiltfilt(NOD_BAND, np.degrees(clip[:, CHANNEL["rotationX"]]))


def blinks(clip: np.ndarray) -> float:
    """Blinks a minute: upward crossings of 0.3 of eyeBlinkLeft."""
    shut = clip[:, CHANNEL["eyeBlinkLeft"]] > 0.3
    return float((shut[1:] & ~shut[:-1]).sum() * 60 * FPS / len(clip))


HABITS = {
    "nodding (deg, rms)": lambda c: np.log(nodding(c).std()),
    "smile level": lambda c: np.sqrt(c[:, 43:45].mean()),
    "blinks a minute": blinks,
    "rest pitch": lambda c: np.median(c[:, CHANNEL["rotationX"]]),
    "rest yaw": lambda c: np.median(c[:, CHANNEL["rotationY"]]),
    "rest tilt": lambda c: np.median(c[:, CHANNEL["rotationZ"]]),
    "brow raising": lambda c: np.log(c[:, CHANNEL["browInnerUp"]].mean() + 0.01),
    "lip pressing": lambda c: np.sqrt(c[:, CHANNEL["mouthPressLeft"]].mean()),
}


def after_phrase_ends(clip: np.ndarray, speaker: SimulatedSpeaker) -> tuple[float, float]:
    """Nodding power 0.2 … 1.4 s after phrase ends, and elsewhere."""
    power = nodding(clip) ** 2
    near = np.zeros(len(clip), bool)
    for event in speaker.events:
        if event.kind == "phrase_end":
            near[int((event.time + 0.2) * FPS) : int((event.time + 1.4) * FPS)] = True
    return power[near].sum() / max(near.sum(), 1), power[~near].sum() / max((~near).sum(), 1)


def around_smiles(clip: np.ndarray, speaker: SimulatedSpeaker) -> tuple[float, float]:
    """Mean smile 0.8 … 3.5 s after the start of a speaker's smile or laugh, and elsewhere."""
    near = np.zeros(len(clip), bool)
    for event in speaker.events:
        if event.kind in ("smile", "laugh"):
            near[int((event.time + 0.8) * FPS) : int((event.time + 3.5) * FPS)] = True
    smile = clip[:, 43:45].mean(1)
    return (smile[near].mean() if near.any() else np.nan), smile[~near].mean()


def spread(clips: np.ndarray) -> float:
    """Mean squared difference between samples (K, frames, 58) over expressions and head angles."""
    return float(clips[..., :55].var(axis=0, ddof=1).mean())


def measure(reactor: Reactor, persons: int, samples: int, steps: int | None, guidance: float | None) -> dict:
    rows: dict[str, list] = {key: [] for key in ("truth", "clip", "personal", "generic")}
    ratios: dict[str, list] = {"personal": [], "true": []}
    smiles: dict[str, list] = {"personal": [], "true": []}
    variety, seams = [], []
    slide = reactor.checkpoint.sampling.slide
    for i in range(persons):
        rng = np.random.default_rng([HELD_OUT, i])
        habits = draw_habits(rng)
        speaker = simulate_speaker(rng, 30.0)
        redraws = np.stack([simulate_listener(speaker, habits, rng) for _ in range(samples)])
        truth = [simulate_listener(simulate_speaker(rng, 30.0), habits, rng) for _ in range(8)]
        style_clip = simulate_listener(simulate_speaker(rng, 30.0), habits, rng)
        out = {}
        for name, listener in (("generic", None), ("personal", style_clip)):
            reactor.set_listener(listener)
            out[name] = reactor.react(
                speaker.audio, speaker.coefficients, samples=samples, seed=i, steps=steps, guidance=guidance
            ).coefficients
        rows["truth"].append([np.mean([f(c) for c in truth]) for f in HABITS.values()])
        rows["clip"].append([f(style_clip) for f in HABITS.values()])
        for name, clips in out.items():
            rows[name].append([np.mean([f(c) for c in clips]) for f in HABITS.values()])
        ratios["personal"] += [after_phrase_ends(c, speaker) for c in out["personal"]]
        ratios["true"] += [after_phrase_ends(c, speaker) for c in redraws]
        smiles["personal"] += [around_smiles(c, speaker) for c in out["personal"]]
        smiles["true"] += [around_smiles(c, speaker) for c in redraws]
        variety.append((spread(out["personal"]), spread(redraws)))
        speed = np.abs(np.diff(out["personal"], axis=1)).mean(axis=(0, 2))
        window = reactor.checkpoint.denoiser.config.window
        at = np.arange(window - 1, len(speed), slide)
        seams.append((speed[at].mean(), np.delete(speed, at).mean()))
    return {"rows": rows, "ratios": ratios, "smiles": smiles, "variety": variety, "seams": seams}


def table(found: dict) -> str:
    rows = {name: np.array(values) for name, values in found["rows"].items()}

    def r(name: str, column: int) -> str:
        a, b = rows[name][:, column], rows["truth"][:, column]
        return f"{np.corrcoef(a, b)[0, 1]:.2f}"

    lines = [
        "| habit: correlation with the person's own | personalised | generic | one true clip |",
        "|---|---|---|---|",
    ]
    for column, name in enumerate(HABITS):
        lines.append(f"| {name} | {r('personal', column)} | {r('generic', column)} | {r('clip', column)} |")
    lines += ["", "| | reactions | simulator |", "|---|---|---|"]
    power = {name: np.array(pairs).mean(0) for name, pairs in found["ratios"].items()}
    smile = {name: np.nanmean(np.array(pairs), axis=0) for name, pairs in found["smiles"].items()}
    variety = np.array(found["variety"]).mean(0)
    seams = np.array(found["seams"]).mean(0)
    for title, pairs in (
        ("nodding power after a phrase end / elsewhere", power),
        ("smile after a smile / else", smile),
    ):
        a, b = (pairs[name][0] / pairs[name][1] for name in ("personal", "true"))
        lines.append(f"| {title} | {a:.2f} | {b:.2f} |")
    lines.append(
        f"| nodding, rms degrees | {np.sqrt(power['personal'].mean()):.2f} | {np.sqrt(power['true'].mean()):.2f} |"
    )
    lines.append(f"| variance between samples, of the simulator's redraws | {variety[0] / variety[1]:.2f} | 1 |")
    lines.append(f"| speed at window seams / elsewhere | {seams[0] / seams[1]:.2f} | 1 |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="demo")
    parser.add_argument("--persons", type=int, default=40)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    arguments = parser.parse_args()
    reactor = Reactor.load(arguments.weights, "cpu")
    print(table(measure(reactor, arguments.persons, arguments.samples, arguments.steps, arguments.guidance)))


if __name__ == "__main__":
    main()
