"""The challenge's metrics on a data set in the layout of REACT 2024, with baselines in the same table."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from perfrdiff.data.react2024.dataset import (
    FRAMES,
    ReactData,
    emotion_path,
    matrix_name,
    open_split,
    read_attributes,
    read_index,
)
from perfrdiff.errors import InputError
from perfrdiff.features.attributes import affect_attributes
from perfrdiff.metrics import challenge as metrics
from perfrdiff.metrics.challenge import Scores
from perfrdiff.reactor import Reactions, Reactor

METHODS = ("this listener", "generic", "ground truth", "random", "mime", "nearest neighbour", "mean sequence")
GENERATED = METHODS[:2]
COARSE = 25  # frames averaged before speakers are compared for the nearest neighbour
BETTER = {"FRCorr": "↑", "FRDist": "↓", "FRDiv": "↑", "FRVar": "↑", "FRDvs": "↑", "FRSyn": "↓", "FRRea": "↓"}
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Line:
    """One method's scores in both columns."""

    method: str
    published: Scores
    sound: Scores
    frrea: float | None = None


@dataclass(frozen=True)
class Report:
    """What was evaluated, and how it came out."""

    weights: str
    split: str
    clips: int
    samples: int
    neighbours: str  # "generic" or "person-specific": what FRCorr and FRDist take as appropriate
    matrix: str  # the file that says so
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()


def attributes_of(reactor: Reactor, reactions: Reactions) -> np.ndarray:
    """Attributes (K, frames, 25) of reactions: the generator's own where it predicts them, those of the paper's second
    autoencoder where the weights have one, the rules of features.affect otherwise."""
    if reactions.attributes is not None:
        return reactions.attributes
    regressor = reactor.checkpoint.coefficient_autoencoder
    if regressor is None:
        return np.stack([affect_attributes(clip) for clip in reactions.coefficients])
    with torch.inference_mode():
        rows = torch.tensor(reactions.coefficients, device=reactor.device)
        return regressor.regress(reactor.checkpoint.normalizer.coefficients(rows)).cpu().numpy()


def evaluate(
    reactor: Reactor,
    folder: Path,
    split: str = "test",
    *,
    samples: int = 10,
    personal: bool = False,
    limit: int | None = None,
    methods: Sequence[str] = METHODS,
    steps: int | None = None,
    guidance: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Generate `samples` reactions to every speaker of the split, as its listener and as nobody, and score them.

    `personal` takes the person-specific index and matrix, as the paper's personalised evaluation does. `limit` keeps
    the first clips of the split only, and the neighbours among them.

    Raises InputError for data that cannot be used, and for an unknown method.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise InputError(f"There is no method {', '.join(unknown)}; there are {', '.join(METHODS)}.")
    for what, number in (("samples", samples), ("clips", limit)):
        if number is not None and number < 1:
            raise InputError(f"{number} {what} asked for; at least 1 is needed.")
    data = open_split(folder, split, personal=personal)
    trained = _training_pairs(data.folder) if {"nearest neighbour", "mean sequence"} & set(methods) else None
    count = len(data) if limit is None else min(limit, len(data))
    truth = np.stack([data.listener(i).attributes for i in range(count)])
    speaker = np.stack([data.speaker(i).attributes for i in range(count)])
    neighbour = data.neighbours[:count, :count]
    generated = [method for method in methods if method in GENERATED]

    def made(method: str) -> np.ndarray | None:
        """Reactions (N, K, T, 25); of samples that are alike there is one."""
        if method in GENERATED:
            before = count * generated.index(method)

            def told(done: int) -> None:
                if progress is not None:
                    progress(before + done, count * len(generated))

            return _generated(reactor, data, count, method, samples, steps, guidance, seed, told)
        return _baseline(method, truth, speaker, trained, seed)

    lines = []
    for method in methods:  # one at a time: ten samples of every clip are large
        rows = made(method)
        if rows is not None:
            table = metrics.evaluate(rows, truth, speaker, neighbour)
            lines.append(Line(method, _as_if(table.published, rows.shape[1], samples), table.sound))
    notes = [f"Mean face: {data.mean_from}."]
    if reactor.checkpoint.denoiser.config.variant == "render" and reactor.checkpoint.coefficient_autoencoder is None:
        notes.append(
            "These weights predict faces; their attributes are read off by rules (features.affect). Those of REACT "
            "2024 come from networks, so the two differ even for the same face; those of 'simulate' do not."
        )
    if isinstance(trained, str):
        notes.append(trained)
    if count < len(data):
        notes.append(f"Only the first {count} of {len(data)} clips were taken, and the neighbours among them.")
    kind = "person-specific" if personal else "generic"
    return Report(
        reactor.checkpoint.name, split, count, samples, kind, matrix_name(split, personal), tuple(lines), tuple(notes)
    )


def _generated(reactor, data: ReactData, count, name, samples, steps, guidance, seed, told) -> np.ndarray:
    out = np.empty((count, samples, FRAMES, metrics.ATTRIBUTES), np.float32)
    last = None
    for i in range(count):
        style = data.style_clip(i) if name == "this listener" else None
        if style != last or i == 0:
            reactor.set_listener(None if style is None else data.clips[style].coefficients + data.mean)
            last = style
        talk = data.speaker(i)
        reactions = reactor.react(
            talk.audio, talk.coefficients + data.mean, affect=talk.attributes, samples=samples, seed=seed + i,
            steps=steps, guidance=guidance,
        )  # fmt: skip
        out[i] = attributes_of(reactor, reactions)
        told(i + 1)
    return out


def _baseline(method: str, truth, speaker, trained, seed: int) -> np.ndarray | None:
    """(N, 1 or 2, T, 25), or None where it needs a training split that is not there.

    Random is uniform noise in 0 … 1, as published; two samples are enough to know what ten would score.
    """
    if method == "ground truth":
        return truth[:, None]
    if method == "mime":
        return speaker[:, None]
    if method == "random":
        return np.random.default_rng(seed).random((len(truth), 2, *truth.shape[1:]), np.float32)
    if trained is None or isinstance(trained, str):
        return None
    if method == "mean sequence":
        return np.repeat(trained[1].mean(axis=0)[None, None], len(truth), axis=0)
    return _nearest(trained, speaker)[:, None]


def _as_if(scores: Scores, made: int, samples: int) -> Scores:
    """Published sums over samples, where fewer than `samples` alike ones were scored."""
    factor = samples / made
    return Scores(**asdict(scores) | {"FRCorr": scores.FRCorr * factor, "FRDist": scores.FRDist * factor})


def _training_pairs(folder: Path) -> tuple[np.ndarray, np.ndarray] | str:
    """Attributes of speakers and listeners of the training split, (M, T, 25) each, or why there are none."""
    if not (folder / "train.csv").is_file():
        return "No training split is there, so no nearest neighbour and no mean sequence."
    entries = read_index(folder / "train.csv")
    places = {
        path: folder / "train" / "Emotion" / f"{emotion_path(path)}.csv" for e in entries for path in vars(e).values()
    }
    missing = [str(place) for place in places.values() if not place.is_file()]
    if missing:
        return (
            f"The training split lacks {len(missing)} files ({missing[0]}, …): no nearest neighbour, no mean sequence."
        )
    rows = {path: read_attributes(place) for path, place in places.items()}
    return tuple(np.stack([rows[getattr(e, who)] for e in entries]) for who in ("speaker", "listener"))


def _nearest(trained: tuple[np.ndarray, np.ndarray], speaker: np.ndarray) -> np.ndarray:
    """The listener of the training speaker who behaves most alike, for every speaker (N, T, 25)."""

    def coarse(rows: np.ndarray) -> np.ndarray:
        return rows[:, : FRAMES - FRAMES % COARSE].reshape(len(rows), -1, COARSE, rows.shape[-1]).mean(axis=2)

    known, asked = coarse(trained[0]).reshape(len(trained[0]), -1), coarse(speaker).reshape(len(speaker), -1)
    apart = (asked**2).sum(axis=1)[:, None] + (known**2).sum(axis=1)[None] - 2 * asked @ known.T
    return trained[1][apart.argmin(axis=1)]


def markdown(report: Report) -> str:
    """Both columns as one table."""
    names = [field.name for field in fields(Scores)]
    with_pictures = any(line.frrea is not None for line in report.lines)
    heads = [f"{name} {BETTER[name]}" for name in names] + (["FRRea ↓"] if with_pictures else [])
    lines = [
        f"{report.weights} on {report.clips} clips ({report.split}), {report.samples} samples each. FRCorr and FRDist "
        f"take the {report.neighbours} neighbours ({report.matrix}); as published they are sums over samples, in the "
        "sound table means. FRSyn is told twice because the published one is faulty (perfrdiff/metrics/challenge.py).",
    ]
    for title, column in (("As published", "published"), ("Sound", "sound")):
        lines += ["", f"| {title} | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
        for line in report.lines:
            values = [f"{getattr(getattr(line, column), name):.4f}" for name in names]
            if with_pictures:
                values.append("" if line.frrea is None else f"{line.frrea:.2f}")
            lines.append(f"| {line.method} | {' | '.join(values)} |")
    return "\n".join([*lines, "", *report.notes])
