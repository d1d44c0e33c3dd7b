"""The paper's own weights, made usable.

Takes the `checkpoints` folder the authors publish, or its zip, checks every key and shape, and writes
`checkpoints/paper-emotion.safetensors` or `paper-render.safetensors`, each with all networks of its variant.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perfrdiff import checkpoints
from perfrdiff.coefficients import WIDTH, react_mean
from perfrdiff.data.simulator.habits import NAMED_STYLES
from perfrdiff.data.simulator.listener import simulate_tracked_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.errors import InputError
from perfrdiff.features.audio import MFCC_WIDTH
from perfrdiff.files import atomic_write, check_disk_space
from perfrdiff.models import registry
from perfrdiff.models.normalizer import Normalizer
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.published.weights import source as published_files
from perfrdiff.published.weights import variants
from perfrdiff.published.weights.names import load_tensors
from perfrdiff.published.weights.variants import RENAME_TENSORS, VARIANTS, PublishedFile
from perfrdiff.sampling import SamplingOptions
from renderer.guarded_files import read_npy

CHUNK = 16 << 20  # numbers converted at a time
STYLE_CLIPS = 3  # simulated clips per named style
STYLE_SECONDS = 20.0
MOST_MEAN_BYTES = 1 << 16
MEAN_FACE = Path("FaceVerse") / "mean_face.npy"
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class ImportedWeights:
    """One variant that was imported."""

    name: str  # for --weights
    path: Path
    notes: tuple[str, ...]


def import_weights(
    path: Path,
    out: Path = checkpoints.FOLDER,
    external: Path | None = None,
    overwrite: bool = False,
    tables: Mapping[str, Sequence[PublishedFile]] | None = None,
    progress: Progress | None = None,
) -> list[ImportedWeights]:
    """Convert every published variant whose files are all in `path`.

    Args:
        path: the unpacked `checkpoints` folder, a folder around it, or a zip of either.
        out: where `paper-*.safetensors` is written.
        external: the authors' `external` folder, for their mean face; None: the mean of REACT 2024 takes its place.
        overwrite: replace weights imported before.
        tables: variant -> files with every key and shape; None: as published.
        progress: called with what is being done and the share of it that is done, 0 … 1.

    Raises InputError naming what is missing, unexpected, of another shape or variant, or not finite.
    """
    tables = variants.shape_tables() if tables is None else tables
    source = published_files.open_source(path)
    members = {variant: published_files.find_members(source, files) for variant, files in tables.items()}
    complete = [variant for variant, files in tables.items() if len(members[variant]) == len(files)]
    if not complete:
        raise published_files.incomplete_error(source, tables)
    mean, note = mean_face(external)
    out.mkdir(parents=True, exist_ok=True)
    imported = []
    for variant in complete:
        target = out / f"paper-{variant}.safetensors"
        if target.exists() and not overwrite:
            raise InputError(f"{target} exists already; say --overwrite to replace it.")
        with published_files.unpacked(source, members[variant], tables[variant], out) as paths:
            _convert(variant, tables, paths, mean, target, progress or _no_progress)
        imported.append(ImportedWeights(target.stem, target, (note,)))
    return imported


def mean_face(external: Path | None) -> tuple[np.ndarray, str]:
    """What is subtracted from coefficients, (58,), and a sentence that says where it is from."""
    if external is None:
        return react_mean(), (
            "The mean face is the mean of REACT 2024 that ships with this project; for the authors' own, "
            "give their 'external' folder with --external ('perfrdiff download' says where it is published)."
        )
    mean_file = external / MEAN_FACE
    try:
        mean = read_npy(mean_file, MOST_MEAN_BYTES).astype(np.float32).reshape(-1)
    except (OSError, ValueError) as error:
        raise InputError(
            f"The mean face cannot be read from {mean_file} ({error}); expected the authors' file."
        ) from None
    if mean.shape != (WIDTH,) or not np.isfinite(mean).all():
        raise InputError(f"{mean_file} holds {mean.size} numbers; expected {WIDTH} finite ones.")
    return mean, f"The mean face is the authors' own, from {mean_file}."


def _convert(
    variant: str,
    tables: Mapping[str, Sequence[PublishedFile]],
    paths: Mapping[str, Path],
    mean: np.ndarray,
    target: Path,
    progress: Progress,
) -> None:
    files = {file.network: file for file in tables[variant]}
    weights = {network: published_files.read_weights(paths[file.path], file) for network, file in files.items()}
    other_shapes = {
        network: {other: file.shapes for other in tables if other != variant for file in tables[other]
                  if file.network == network}
        for network in files
    }  # fmt: skip
    faults = {
        file.path: published_files.find_faults(weights[network], file, other_shapes[network])
        for network, file in files.items()
    }
    published_files.raise_faults(variant, faults)

    configs = _network_configs(variant, files)
    tensors = {
        f"{network}.{key}": value
        for network, values in weights.items()
        for key, value in RENAME_TENSORS[network](values).items()
    }
    encoder = load_tensors(
        registry.build("style_encoder", configs["style_encoder"]),
        RENAME_TENSORS["style_encoder"](weights["style_encoder"]),
    )
    normalizer = Normalizer(torch.from_numpy(mean), torch.ones(WIDTH), torch.zeros(MFCC_WIDTH), torch.ones(MFCC_WIDTH))
    tensors |= {f"normalizer.{key}": value for key, value in normalizer.state_dict().items()}
    progress("Making named styles", 0.0)
    tensors |= {f"styles.{key}": value for key, value in named_styles(encoder, normalizer).items()}
    description = (
        f"The PerFRDiff paper's own weights, {variant} variant, as the authors published them. Named styles are "
        "simulated listeners seen by its style encoder."
    )
    sizes = {network: asdict(config) for network, config in configs.items()}
    header = checkpoints.header(sizes, sampling_defaults(variant, configs["denoiser"].window), description)
    write_tensors(target, header, tensors, lambda share: progress(f"Writing {target.name}", share))


def _network_configs(variant: str, files: Mapping[str, PublishedFile]) -> dict:
    """Network -> its configuration, from the shapes."""
    window = variants.network_config(VARIANTS[variant], "prior", files["prior"].shapes, 0).window
    configs = {
        network: variants.network_config(VARIANTS[variant], network, file.shapes, window)
        for network, file in files.items()
        if network != "weight_editor"
    }
    editor = variants.editor_config(VARIANTS[variant], files["weight_editor"].shapes, configs["denoiser"])
    return configs | {"weight_editor": editor}


def named_styles(encoder: StyleEncoder, normalizer: Normalizer, seed: int = 7) -> dict[str, Tensor]:
    """Style vectors of the project's named styles for a listener who is only seen in a photo.

    The published files have none. These are what the published encoder makes of simulated listeners.
    """
    styles = {}
    for i, (name, habits) in enumerate(NAMED_STYLES.items()):
        rng = np.random.default_rng([seed, i])
        talks = [simulate_speaker(rng, STYLE_SECONDS) for _ in range(STYLE_CLIPS)]
        clips = [simulate_tracked_listener(talk, habits, rng) for talk in talks]
        with torch.no_grad():
            style = encoder(normalizer.coefficients(torch.tensor(np.stack(clips))))
        styles[name] = torch.nn.functional.normalize(style.mean(0), dim=0)
    return styles


def write_tensors(
    target: Path, header: Mapping[str, str], tensors: Mapping[str, Tensor], progress: Callable[[float], None]
) -> None:
    """Write float32 tensors to a safetensors file piece by piece, so that mapped ones are never in memory as a whole.

    Raises InputError for a tensor with numbers that are not finite; nothing is left behind then.
    """
    entries: dict[str, object] = {"__metadata__": dict(header)}
    offset = 0
    for key, value in tensors.items():
        size = 4 * value.numel()
        entries[key] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [offset, offset + size]}
        offset += size
    head = json.dumps(entries, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    check_disk_space(target.parent, offset)
    done = 0
    with atomic_write(target) as partial, partial.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for key, value in tensors.items():
            for piece in _pieces(value):
                if not np.isfinite(piece).all():
                    raise InputError(f"The published weights hold a number that is not finite, in {key}.")
                file.write(memoryview(piece).cast("B"))
                done += piece.nbytes
                progress(done / offset)


def _pieces(value: Tensor) -> Iterator[np.ndarray]:
    flat = value.detach().float().contiguous().flatten()
    for first in range(0, flat.numel(), CHUNK):
        yield flat[first : first + CHUNK].numpy()


def sampling_defaults(variant: str, window: int) -> SamplingOptions:
    """How the paper's weights are sampled: emotion in windows side by side, render in windows that overlap by half.

    The render variant's guidance is over the speaker alone: the past frames, with which it carries on the listener's
    own movement, stay in both branches.
    """
    if variant == "emotion":
        return SamplingOptions(steps=50, guidance=7.5, slide=window)
    over = ("audio", "coefficients")
    return SamplingOptions(steps=50, guidance=7.5, guidance_over=over, slide=window // 2, audio_range=True)


def _no_progress(_stage: str, _share: float) -> None:
    pass
