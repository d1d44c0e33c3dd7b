"""All stages of the paper in their order: `perfrdiff train all`."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from perfrdiff.errors import InputError
from perfrdiff.training.paper import files
from perfrdiff.training.paper.run import DEFAULT_VARIANT, TrainRequest, read_request, train

ORDER = {
    # The emotion variant predicts attributes itself; of the render variant's faces the second autoencoder reads them.
    "emotion": ("autoencoder", "style-encoder", "generator", "weight-editor"),
    "render": ("autoencoder", "coefficient-autoencoder", "style-encoder", "generator", "weight-editor"),
}


def train_all(request: TrainRequest, weights: Path | None = None, say: Callable[[str], None] = print) -> Path:
    """Train every stage that is not finished and put them together; returns the weights' file.

    Args:
        request: as of a single stage; its `stage` and `config` are ignored.
        weights: where to, in place of `weights.safetensors` in the training folder.
        say: called with lines of progress.

    Raises InputError as `train` does; for finished stages of other sizes or of another variant; and for several
    processes, which `accelerate launch` can share a single stage with only.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise InputError("'train all' runs in one process; with accelerate launch, train the stages one by one.")
    if request.config is not None:
        raise InputError("--config belongs to a single stage; 'train all' takes the paper's values.")
    variant = request.variant or DEFAULT_VARIANT
    for stage in ORDER[variant]:
        stage_request = replace(
            request, stage=stage, variant=variant, rank=request.rank if stage == "weight-editor" else None
        )
        path = files.stage_path(request.out, stage)
        if path.is_file() and not request.restart:
            config, networks = read_request(stage_request)
            files.check_finished(path, stage, config.variant, networks, config.source)
            say(f"{stage}: finished before, skipped ({path}; --restart trains it again)")
            continue
        train(stage_request, say)
    path = files.assemble(request.out, weights)
    say(f"wrote {path}")
    return path
