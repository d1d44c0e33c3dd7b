"""`perfrdiff train`: the stages of the paper, on REACT 2024 or on what 'simulate' wrote."""

import argparse
from dataclasses import fields
from pathlib import Path

STAGES = ("autoencoder", "coefficient-autoencoder", "style-encoder", "generator", "weight-editor", "assemble", "all")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `perfrdiff train`."""
    parser.add_argument("stage", choices=STAGES, metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="training folder, the same for all stages"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE.yaml", help="a configuration in the authors' layout (default: the paper's)"
    )
    parser.add_argument(
        "--preset", choices=("paper", "small"), default="paper", help="small: small networks and few epochs, for a try"
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="REACT 2024's 'data' folder (default: what the file says)"
    )
    parser.add_argument(
        "--variant",
        choices=("emotion", "render"),
        help="of the paper's values (default: render); a --config of the other variant is refused",
    )
    parser.add_argument("--strict", action="store_true", help="refuse keys of the configuration that are not known")

    length = parser.add_argument_group("how long, how much at a time (default: what the file says)")
    length.add_argument("--epochs", type=int, metavar="N")
    length.add_argument("--steps", type=int, metavar="N", help="instead of epochs")
    length.add_argument("--batch-size", type=int, metavar="N", help="entries of a step, over all processes")
    length.add_argument("--clip-length", type=int, metavar="N", help="frames of a clip")
    length.add_argument("--seed", type=int, metavar="N")

    training = parser.add_argument_group("how")
    training.add_argument(
        "--precision", choices=("no", "bf16", "fp16"), default="no", help="mixed precision (default: no)"
    )
    training.add_argument("--clip", type=float, metavar="X", help="limit the gradient's norm")
    training.add_argument(
        "--ema", type=float, default=0.0, metavar="X", help="keep a running average of the weights, .999"
    )
    training.add_argument(
        "--rank", type=int, metavar="R", help="weight-editor: low-rank shifts (default: full, as published)"
    )
    training.add_argument(
        "--published-dropout", action="store_true", help="weight-editor: dropout of the frozen networks stays on"
    )
    training.add_argument("--device", choices=("auto", "cpu"), default="auto")

    states = parser.add_argument_group("keeping")
    states.add_argument("--log-every", type=int, default=10, metavar="N", help="steps (default: 10)")
    states.add_argument("--save-every", type=int, metavar="N", help="steps (default: an epoch, at most 500)")
    states.add_argument("--check-every", type=int, metavar="N", help="steps between validations, 0 for none")
    states.add_argument("--restart", action="store_true", help="begin anew instead of taking a run up")
    states.add_argument(
        "--weights", type=Path, metavar="FILE", help="assemble, all: where to (default: OUT/weights.safetensors)"
    )


def run(options: argparse.Namespace) -> int:
    """Train a stage, or put the trained ones together."""
    from perfrdiff.training.paper import files as react_files

    if options.stage == "assemble":
        path = react_files.assemble(options.out, options.weights)
        print(f"wrote {path}: use it with --weights {path}")
        return 0
    from perfrdiff.training.paper.all_stages import train_all
    from perfrdiff.training.paper.run import TrainRequest, train
    from perfrdiff.training.progress import say

    names = [field.name for field in fields(TrainRequest) if hasattr(options, field.name)]
    request = TrainRequest(**{name: getattr(options, name) for name in names})
    try:
        if options.stage == "all":
            path = train_all(request, options.weights, say)
            say(f"use it with --weights {path}")
        else:
            train(request, say)
    except KeyboardInterrupt:
        say(f"stopped; the same command goes on from the last state in {options.out / 'states'}")
        return 130
    return 0
