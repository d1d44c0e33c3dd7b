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
from perfrdiff.features.attributes import facial_attributes
from perfrdiff.metrics import challenge as metrics
from perfrdiff.metrics.challenge import Scores
from perfrdiff.reactor import Reactions, Reactor

METHODS = ("this listener", "generic", "ground truth", "random", "mime", "nearest neighbour", "mean sequence")
GENERATED = METHODS[:2]
COARSE = 25  # frames averaged before speakers are compared for the nearest neighbour
BETTER = {"FRCorr": "↑", "FRDist": "↓", "FRDiv": "↑", "FRVar": "↑", "FRDvs": "↑", "FRSyn": "↓", "FRRea": "↓"}
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ScoreSettings:
    """What is generated and scored."""

    split: str = "test"
    samples: int = 10  # reactions to every speaker
    personal: bool = False  # person-specific index and matrix, as in the paper's personalised evaluation
    limit: int | None = None  # only the first clips of the split, and the neighbours among them
    methods: Sequence[str] = METHODS
    steps: int | None = None  # None: those of the weights
    solver: str | None = None
    guidance: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class MethodScores:
    """One method's scores, as published and corrected."""

    method: str
    published: Scores
    corrected: Scores
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
    lines: tuple[MethodScores, ...]
    notes: tuple[str, ...] = ()


def attributes_of(reactor: Reactor, reactions: Reactions) -> np.ndarray:
    """Attributes (K, frames, 25) of reactions: the generator's own where it predicts them, those of the paper's second
    autoencoder where the weights have one, the rules of features.attributes otherwise."""
    if reactions.attributes is not None:
        return reactions.attributes
    regressor = reactor.checkpoint.coefficient_autoencoder
    if regressor is None:
        return np.stack([facial_attributes(clip) for clip in reactions.coefficients])
    with torch.inference_mode():
        rows = torch.tensor(reactions.coefficients, device=reactor.device)
        return regressor.regress(reactor.checkpoint.normalizer.coefficients(rows)).cpu().numpy()


def evaluate(reactor: Reactor, folder: Path, settings: ScoreSettings, progress: Progress | None = None) -> Report:
    """Generate reactions to every speaker of the split, with its listener's style and without a style, and score them.

    `progress` is called with the clips done and the clips in all.

    Raises InputError for data that cannot be used, and for an unknown method.
    """
    methods = settings.methods
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise InputError(f"There is no method {', '.join(unknown)}; there are {', '.join(METHODS)}.")
    for what, number in (("samples", settings.samples), ("clips", settings.limit)):
        if number is not None and number < 1:
            raise InputError(f"{number} {what} asked for; at least 1 is needed.")
    data = open_split(folder, settings.split, personal=settings.personal)
    training = _training_pairs(data.folder) if {"nearest neighbour", "mean sequence"} & set(methods) else None
    count = len(data) if settings.limit is None else min(settings.limit, len(data))
    truth = np.stack([data.listener(i).attributes for i in range(count)])
    speaker = np.stack([data.speaker(i).attributes for i in range(count)])
    neighbour = data.neighbours[:count, :count]
    generated = [method for method in methods if method in GENERATED]

    def reactions_of(method: str) -> np.ndarray | None:
        """Reactions (N, K, T, 25); of samples that are alike there is one."""
        if method in GENERATED:
            before = count * generated.index(method)

            def clip_done(done: int) -> None:
                if progress is not None:
                    progress(before + done, count * len(generated))

            return _generated(reactor, data, count, method == "this listener", settings, clip_done)
        return _baseline(method, truth, speaker, training, settings.seed)

    lines = []
    for method in methods:  # one at a time: ten samples of every clip are large
        rows = reactions_of(method)
        if rows is not None:
            table = metrics.evaluate(rows, truth, speaker, neighbour)
            published = _scaled_to_samples(table.published, rows.shape[1], settings.samples)
            lines.append(MethodScores(method, published, table.corrected))
    notes = [f"Mean face: {data.mean_source}."]
    if reactor.checkpoint.denoiser.config.variant == "render" and reactor.checkpoint.coefficient_autoencoder is None:
        notes.append(
            "These weights predict faces; their attributes are read off by rules (features.attributes). Those of REACT "
            "2024 come from networks, so the two differ even for the same face; those of 'simulate' do not."
        )
    if isinstance(training, str):
        notes.append(training)
    if count < len(data):
        notes.append(f"Only the first {count} of {len(data)} clips were taken, and the neighbours among them.")
    return Report(
        weights=reactor.checkpoint.name,
        split=settings.split,
        clips=count,
        samples=settings.samples,
        neighbours="person-specific" if settings.personal else "generic",
        matrix=matrix_name(settings.split, settings.personal),
        lines=tuple(lines),
        notes=tuple(notes),
    )


def _generated(
    reactor: Reactor, data: ReactData, count: int, with_style: bool, settings: ScoreSettings, clip_done: Callable
) -> np.ndarray:
    """Attributes (count, samples, T, 25) of reactions to the first clips."""
    out = np.empty((count, settings.samples, FRAMES, metrics.ATTRIBUTES), np.float32)
    previous = None
    for i in range(count):
        style = data.style_clip(i) if with_style else None
        if style != previous or i == 0:
            reactor.set_listener(None if style is None else data.clips[style].coefficients + data.mean)
            previous = style
        speaker = data.speaker(i)
        reactions = reactor.react(
            speaker.audio, speaker.coefficients + data.mean, attributes=speaker.attributes,
            hearing=speaker.hearing if reactor.checkpoint.hears else None, samples=settings.samples,
            seed=settings.seed + i, steps=settings.steps, solver=settings.solver, guidance=settings.guidance,
        )  # fmt: skip
        out[i] = attributes_of(reactor, reactions)
        clip_done(i + 1)
    return out


def _baseline(method: str, truth, speaker, training, seed: int) -> np.ndarray | None:
    """(N, 1 or 2, T, 25), or None where it needs a training split that is not there.

    Random is uniform noise in 0 … 1, as published; two samples are enough to know what ten would score.
    """
    if method == "ground truth":
        return truth[:, None]
    if method == "mime":
        return speaker[:, None]
    if method == "random":
        return np.random.default_rng(seed).random((len(truth), 2, *truth.shape[1:]), np.float32)
    if training is None or isinstance(training, str):
        return None
    if method == "mean sequence":
        return np.repeat(training[1].mean(axis=0)[None, None], len(truth), axis=0)
    return _nearest(training, speaker)[:, None]


def _scaled_to_samples(scores: Scores, scored: int, samples: int) -> Scores:
    """Published sums over `samples` samples, where only `scored` of the alike ones were scored."""
    factor = samples / scored
    return Scores(**asdict(scores) | {"FRCorr": scores.FRCorr * factor, "FRDist": scores.FRDist * factor})


def _training_pairs(folder: Path) -> tuple[np.ndarray, np.ndarray] | str:
    """Attributes of speakers and listeners of the training split, (M, T, 25) each, or why there are none."""
    if not (folder / "train.csv").is_file():
        return "No training split is there, so no nearest neighbour and no mean sequence."
    entries = read_index(folder / "train.csv")
    paths = {
        clip: folder / "train" / "Emotion" / f"{emotion_path(clip)}.csv" for e in entries for clip in vars(e).values()
    }
    missing = [str(path) for path in paths.values() if not path.is_file()]
    if missing:
        return (
            f"The training split lacks {len(missing)} files ({missing[0]}, …): no nearest neighbour, no mean sequence."
        )
    rows = {clip: read_attributes(path) for clip, path in paths.items()}
    return tuple(np.stack([rows[getattr(e, role)] for e in entries]) for role in ("speaker", "listener"))


def _nearest(training: tuple[np.ndarray, np.ndarray], speaker: np.ndarray) -> np.ndarray:
    """The listener of the training speaker who behaves most alike, for every speaker (N, T, 25)."""

    def coarse(rows: np.ndarray) -> np.ndarray:
        return rows[:, : FRAMES - FRAMES % COARSE].reshape(len(rows), -1, COARSE, rows.shape[-1]).mean(axis=2)

    candidates, queries = coarse(training[0]).reshape(len(training[0]), -1), coarse(speaker).reshape(len(speaker), -1)
    distances = (queries**2).sum(axis=1)[:, None] + (candidates**2).sum(axis=1)[None] - 2 * queries @ candidates.T
    return training[1][distances.argmin(axis=1)]


def as_json(report: Report) -> dict:
    """The report as JSON keeps it; the file calls the corrected scores "sound"."""
    values = asdict(report)
    for line in values["lines"]:
        line["sound"] = line.pop("corrected")
    return values


def markdown(report: Report) -> str:
    """Both columns as one table."""
    names = [field.name for field in fields(Scores)]
    with_pictures = any(line.frrea is not None for line in report.lines)
    heads = [f"{name} {BETTER[name]}" for name in names] + (["FRRea ↓"] if with_pictures else [])
    lines = [
        f"{report.weights} on {report.clips} clips ({report.split}), {report.samples} samples each. FRCorr and FRDist "
        f"take the {report.neighbours} neighbours ({report.matrix}); as published they are sums over samples, in the "
        "corrected table means. FRSyn is in both because the published one is faulty (perfrdiff/metrics/challenge.py).",
    ]
    for title, column in (("As published", "published"), ("Corrected", "corrected")):
        lines += ["", f"| {title} | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
        for line in report.lines:
            values = [f"{getattr(getattr(line, column), name):.4f}" for name in names]
            if with_pictures:
                values.append("" if line.frrea is None else f"{line.frrea:.2f}")
            lines.append(f"| {line.method} | {' | '.join(values)} |")
    return "\n".join([*lines, "", *report.notes])
