"""The round trip: faces drawn from known coefficients, tracked, and compared, channel by channel.

    python -m benchmarks.round_trip [--people Alex Mara …] [--frames 520]

The six named people of the renderer, none of whom the tracker was calibrated on, in the studio style, at 224, 320 and
448 px, under uneven lights, turned by up to 30 degrees about each axis at once. Prints Markdown:

* alone: only this channel moves, or (in a third) none. Correlation with the head within ±15° and ±30°, gain and error.
* mixed: one movement in each region of the face at a time (tools/drawn_faces.py); in brackets the network alone.
* still: what the channel reads (rms) while it is at rest and others move.
"""

import argparse

import numpy as np

from perfrdiff.coefficients import EXPRESSION_NAMES, react_mean, trusted_channels
from perfrdiff.features.tracking.pose import CAMERA_DISTANCE, model_origins, tracked_angles, translations
from perfrdiff.features.tracking.signals import neutral_offset, without_offset
from perfrdiff.features.tracking.units import face_shape, read_units, response
from renderer.mesh_identities import MESH_IDENTITIES
from tools.drawn_faces import Observed, observe, rows

INVERSE_DEPTH = np.radians(15)
AIMED_CHANNELS = ("mouthSmile", "jawOpen", "eyeBlink", "brow", "eyeLook")  # the aim for these is 0.9


def correlation(read: np.ndarray, true: np.ndarray) -> float:
    """Pearson's r; 0 where either does not vary."""
    spread = read.std() * true.std()
    return float(((read - read.mean()) * (true - true.mean())).mean() / spread) if spread > 1e-9 else 0.0


def both_readings(sets: dict[str, Observed]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The program's units and the network's alone, of all frames of a person read as one clip."""
    shapes = np.stack([face_shape(points) for observed in sets.values() for points in observed.landmarks])
    network = np.concatenate([observed.network for observed in sets.values()])
    angles = np.concatenate([observed.angles for observed in sets.values()])
    offset = neutral_offset(network)
    units, alone = read_units(shapes, network, angles, offset), without_offset(network, offset)
    ends = np.cumsum([len(observed.units) for observed in sets.values()])[:-1]
    return dict(zip(sets, zip(np.split(units, ends), np.split(alone, ends), strict=True), strict=True))


def channel_table(people: list[tuple[dict[str, Observed], dict]]) -> tuple[list[str], dict[str, np.ndarray]]:
    """Markdown rows and the columns (52,) behind them, over the frames of all people together."""

    def joined(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        true = np.concatenate([sets[kind].units for sets, _ in people])
        angles = np.concatenate([sets[kind].true_angles for sets, _ in people])
        units, network = (np.concatenate([read[kind][which] for _, read in people]) for which in (0, 1))
        return true, angles, units, network

    true, angles, units, network = joined("own")
    resting = np.flatnonzero(true.sum(axis=1) < 1e-6)
    far = np.abs(angles).max(axis=1) >= INVERSE_DEPTH
    table = {name: np.zeros(52) for name in ("near", "network near", "far", "network far", "gain", "error", "still")}
    for c in range(52):
        moving = np.flatnonzero(true[:, c] > 0)
        for where, frames in (("near", ~far), ("far", np.ones(len(true), bool))):
            moved, rest = moving[frames[moving]], resting[frames[resting]]
            pick = np.concatenate([moved, rest[np.linspace(0, len(rest) - 1, len(moved) // 2).astype(int)]])
            table[where][c] = correlation(units[pick, c], true[pick, c])
            table["network " + where][c] = correlation(network[pick, c], true[pick, c])
        table["gain"][c] = np.cov(true[pick, c], units[pick, c])[0, 1] / true[pick, c].var(ddof=1)
        table["error"][c] = np.sqrt(np.square(units[pick, c] - true[pick, c]).mean())
        table["still"][c] = np.sqrt(np.square(units[true[:, c] == 0, c]).mean())
    true, _, units, network = joined("natural")
    table["mixed"] = np.array([correlation(units[:, c], true[:, c]) for c in range(52)])
    table["network mixed"] = np.array([correlation(network[:, c], true[:, c]) for c in range(52)])
    share = response().fit_share
    lines = [
        "| channel | fit's weight | alone ±15° (network) | alone ±30° (network) | gain | error | mixed (network) | "
        "still |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for channel, name in enumerate(EXPRESSION_NAMES):
        t = {key: values[channel] for key, values in table.items()}
        if name not in trusted_channels():
            lines.append(f"| {name} | cannot be read, always 0 | ({t['network near']:.2f}) | | | | | |")
            continue
        lines.append(
            f"| {name} | {share[channel]:.2f} | {t['near']:.2f} ({t['network near']:.2f}) | {t['far']:.2f} "
            f"({t['network far']:.2f}) | {t['gain']:.2f} | {t['error']:.2f} | {t['mixed']:.2f} "
            f"({t['network mixed']:.2f}) | {t['still']:.3f} |"
        )
    return lines, table


def summary(table: dict[str, np.ndarray]) -> list[str]:
    lines = ["", "| channels with correlation | ≥ 0.8 | ≥ 0.9 | mean |", "|---|---|---|---|"]
    titles = {
        "near": "alone, head within ±15°", "network near": "— the network alone", "far": "alone, ±30°",
        "network far": "— the network alone ", "mixed": "mixed, ±30°", "network mixed": "— the network alone  ",
    }  # fmt: skip
    for key, title in titles.items():
        r = table[key]
        lines.append(f"| {title} | {(r >= 0.8).sum()} of 52 | {(r >= 0.9).sum()} of 52 | {r.mean():.2f} |")
    aimed = [c for c, name in enumerate(EXPRESSION_NAMES) if name.startswith(AIMED_CHANNELS)]
    good = sum(table["near"][aimed] >= 0.9)
    return [*lines, f"\nSmile, jaw, blink, brows, gaze (±15°): {good} of {len(aimed)} at 0.9 or more."]


def pose_table(people: list[dict[str, Observed]]) -> list[str]:
    """Angles and places of resting faces about each person's own seat, and the seat's own error."""
    angle_errors, seats, place_errors, moved = [], [], [], []
    for sets in people:
        observed = sets["pose"]
        read = tracked_angles(observed.rotations) - [np.pi, 0, 0]
        error = np.degrees(read - observed.true_angles)
        seats.append(np.median(error, axis=0))
        angle_errors.append(error - seats[-1])
        origins = model_origins(observed.positions, observed.rotations)
        seat = np.median(origins, axis=0)
        place = translations(origins, seat) - react_mean()[-3:]
        true = observed.coefficients[:, -3:] - observed.coefficients[:, -3:].mean(axis=0)
        place_errors.append((place - place.mean(axis=0)) - true)
        moved.append(true)
    angle, place, true = np.concatenate(angle_errors), np.concatenate(place_errors), np.concatenate(moved)
    lines = ["", "| of a resting face turned by up to ±30° | X | Y | Z |", "|---|---|---|---|"]
    for title, values in (
        ("angle: mean error, degrees", np.abs(angle).mean(axis=0)),
        ("angle: rms error, degrees", np.sqrt(np.square(angle).mean(axis=0))),
        ("angle: constant error of a person, degrees", np.abs(seats).mean(axis=0)),
        ("place: rms error, model units", np.sqrt(np.square(place).mean(axis=0))),
        ("place: rms error, % of the camera's distance",
         100 * np.sqrt(np.square(place).mean(axis=0)) / (CAMERA_DISTANCE - react_mean()[-1])),
        ("place: gain", 1 + (place * true).mean(axis=0) / true.var(axis=0)),
    ):  # fmt: skip
        lines.append(f"| {title} | {values[0]:.3g} | {values[1]:.3g} | {values[2]:.3g} |")
    return lines


def measure(names: list[str], frames: int, seed: int = 0) -> list[tuple[dict[str, Observed], dict]]:
    """Draw and read the people of these names; see the module's text."""
    measured = []
    for number, name in enumerate(names):
        rng = np.random.default_rng([seed, number])
        counts = {"pose": frames // 3, "own": frames, "natural": frames * 2 // 3}
        sets = {kind: observe(name, rows(kind, count, rng), rng) for kind, count in counts.items()}
        measured.append((sets, both_readings(sets)))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--people", nargs="+", choices=tuple(MESH_IDENTITIES), default=list(MESH_IDENTITIES), metavar="NAME"
    )
    parser.add_argument("--frames", type=int, default=520, help="of each person in which one channel moves alone")
    options = parser.parse_args()
    measured = measure(options.people, options.frames)
    lines, table = channel_table(measured)
    seen = np.mean([observed.seen for sets, _ in measured for observed in sets.values()])
    count = sum(len(observed.units) for sets, _ in measured for observed in sets.values())
    print(f"{len(measured)} people, {count} frames, a face found in {seen:.1%}\n")
    print("\n".join([*lines, *summary(table), *pose_table([sets for sets, _ in measured])]))


if __name__ == "__main__":
    main()
