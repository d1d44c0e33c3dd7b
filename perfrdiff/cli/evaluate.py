"""`perfrdiff evaluate`: what weights are worth, on simulated dyads, on real voices or on a data set."""

import argparse
import json
import math
import os
from dataclasses import fields
from pathlib import Path

from perfrdiff.errors import InputError
from perfrdiff.models import SOLVERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The commands `demo`, `voices` and `data` of `perfrdiff evaluate`, with their options."""
    commands = parser.add_subparsers(title="what to evaluate on", metavar="WHAT", required=True)
    _add_demo(commands)
    _add_voices(commands)
    _add_data(commands)


def run(options: argparse.Namespace) -> int:
    """Evaluate on simulated dyads, voices or a data set, print the table, write the files."""
    return options.evaluate(options)


def _add_common_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--weights", default="demo", metavar="NAME", help="name or path of the weights (default: demo)"
    )
    command.add_argument("--device", default="cpu", metavar="NAME", help="cpu or cuda (default: cpu)")
    command.add_argument("--out", type=Path, metavar="DIR", help="also write the table (.md, .json) and plots there")
    command.add_argument("--steps", type=int, metavar="N", help="denoising steps (default: those of the weights)")
    command.add_argument("--guidance", type=float, metavar="X", help="guidance scale (default: that of the weights)")


def _add_demo(commands) -> None:
    command = commands.add_parser(
        "demo",
        help="simulated dyads with known truth",
        description="Measure on held-out simulated dyads whether the reactions listen, differ, are somebody, are alive "
        "and are plausible, with 95 % bootstrap intervals over persons. For a quick look: --persons 16 --samples 2 "
        "--speakers 1 --no-long-style.",
    )
    command.set_defaults(evaluate=_evaluate_demo)
    _add_common_options(command)
    command.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    command.add_argument("--persons", type=int, default=200, metavar="N", help="held-out persons (default: 200)")
    command.add_argument("--speakers", type=int, default=2, metavar="N", help="speakers per person (default: 2)")
    command.add_argument("--samples", type=int, default=6, metavar="K", help="reactions to each (default: 6)")
    command.add_argument("--seconds", type=float, default=30.0, metavar="S", help="length of a clip (default: 30)")
    command.add_argument("--truth-clips", type=int, default=16, metavar="N", help="clips for the true habits")
    command.add_argument("--pool", type=int, default=24, metavar="N", help="speakers of those clips")
    command.add_argument("--redraws", type=int, default=6, metavar="N", help="the simulator's own reactions")
    command.add_argument(
        "--bank-persons", type=int, default=300, metavar="N", help="persons the classifier learns from"
    )
    command.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other dyads")
    command.add_argument(
        "--no-long-style", dest="long_style", action="store_false", help="leave the 2-minute style out"
    )
    command.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="keep every person's record there: a killed run goes on, and one of more persons",
    )
    command.add_argument(
        "--real", type=Path, metavar="DIR", help="also react to the videos of real people in this folder"
    )


def _evaluate_demo(options: argparse.Namespace) -> int:
    from perfrdiff.evaluation import demo, plots, real, report  # torch takes seconds to import: not before --help
    from perfrdiff.evaluation.dyads import EvaluationSettings
    from perfrdiff.training.progress import progress_bar_callback

    names = [field.name for field in fields(EvaluationSettings) if hasattr(options, field.name)]
    settings = EvaluationSettings(**{name: getattr(options, name) for name in names})
    out = _folder(options.out)
    if options.workers < 1:
        raise InputError(f"--workers is {options.workers}; at least 1 is needed.")
    demo.check(settings)
    people = real.read_people(options.real) if options.real is not None else None
    table = demo.measure(
        options.weights, settings, device=options.device, workers=options.workers, keep=options.keep,
        progress=progress_bar_callback("persons"), people=real.liveliness_of(people) if people is not None else None,
    )  # fmt: skip
    if people is not None:
        table += real.measure(
            options.weights, people, device=options.device, samples=options.samples, seed=options.seed,
            steps=options.steps, guidance=options.guidance,
        )  # fmt: skip
    print(
        f"Weights {options.weights}, {settings.persons} persons, {settings.speakers} speakers each, "
        f"{settings.samples} samples of {settings.seconds:g} s.\n"
    )
    _hand_out(report.markdown(table), report.as_json(table), out, "behaviour")
    if out is not None:
        plots.habits(table, out / "habits.png")
    return 0


def _add_voices(commands) -> None:
    command = commands.add_parser(
        "voices",
        help="a folder of real speech",
        description="Measure on recordings of real speech whether the named styles nod when phrases end, beside their "
        "own nods over other voices and a rule that nods at pauses, with 95 % bootstrap intervals over voices. The "
        "speaker's head is idle or moved by the loudness. Where FILE.rttm with turns by hand lies beside a recording, "
        "ends of talk are taken from it, too.",
    )
    command.set_defaults(evaluate=_evaluate_voices)
    _add_common_options(command)
    command.add_argument(
        "--voices", type=Path, required=True, metavar="DIR", help="speech in sound files of 6 s or more"
    )
    command.add_argument("--head", choices=("idle", "envelope"), default="idle", help="the speaker's (default: idle)")
    command.add_argument("--style", metavar="NAME", help="only this named style (default: all)")
    command.add_argument("--stream", action="store_true", help="react as live, piece by piece")
    command.add_argument("--samples", type=int, default=6, metavar="K", help="reactions to each voice (default: 6)")
    command.add_argument("--seed", type=int, default=0, metavar="N")


def _evaluate_voices(options: argparse.Namespace) -> int:
    from perfrdiff.evaluation import report, voices
    from perfrdiff.training.progress import progress_bar_callback

    if options.samples < 1:
        raise InputError(f"--samples is {options.samples}; at least 1 is needed.")
    out = _folder(options.out)
    settings = voices.VoiceSettings(
        **{field.name: getattr(options, field.name) for field in fields(voices.VoiceSettings)}
    )
    table = voices.measure(
        options.weights, options.voices, settings, device=options.device, progress=progress_bar_callback("voices")
    )
    print(
        f"Weights {options.weights}, voices {options.voices}, {settings.head} head, "
        f"{settings.samples} reactions each.\n"
    )
    _hand_out(report.markdown(table), report.as_json(table), out, "voices")
    return 0


def _hand_out(table: str, values: object, out: Path | None, name: str) -> None:
    """Print a table; where there is a folder, it also gets the table (`name`.md) and its numbers (`name`.json)."""
    print(table)
    if out is not None:
        (out / f"{name}.md").write_text(table + "\n", encoding="utf-8")
        (out / f"{name}.json").write_text(_json(values) + "\n", encoding="utf-8")


def _json(values: object) -> str:
    """Indented JSON, with null for what is not a number."""

    def clean(value):
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(clean(values), indent=1)


def _folder(path: Path | None) -> Path | None:
    if path is None:
        return None
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; --out needs a folder.")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _add_data(commands) -> None:
    command = commands.add_parser(
        "data",
        help="a data set in the layout of REACT 2024",
        description="All metrics of the challenge, as published and corrected, with baselines, on one split of REACT "
        "2024 or of a folder that 'simulate' wrote.",
    )
    command.set_defaults(evaluate=_evaluate_data)
    _add_common_options(command)
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="REACT 2024's 'data' folder")
    command.add_argument("--split", choices=("train", "val", "test"), default="test")
    command.add_argument("--samples", type=int, default=10, metavar="K", help="reactions per clip (default: 10)")
    command.add_argument("--solver", choices=SOLVERS, help="how the steps are taken (default: as with the weights)")
    command.add_argument("--personal", action="store_true", help="the person-specific index and neighbour matrix")
    command.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    command.add_argument("--methods", nargs="+", metavar="NAME", help="only these (default: all)")
    command.add_argument("--seed", type=int, default=0, metavar="N")
    pictures = command.add_argument_group("FRRea, of videos rendered before")
    pictures.add_argument("--rendered", type=Path, metavar="DIR", help="videos of this listener's reactions")
    pictures.add_argument("--real", type=Path, metavar="DIR", help="videos of real listeners")
    pictures.add_argument("--inception", type=Path, metavar="FILE", help="the feature network as TorchScript")


def _evaluate_data(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from perfrdiff.evaluation import dataset, plots, realism
    from perfrdiff.reactor import Reactor
    from perfrdiff.training.progress import progress_bar_callback

    pictures = (options.inception, options.rendered, options.real)
    methods = options.methods or dataset.METHODS
    if any(pictures) and not all(pictures):
        raise InputError("FRRea needs all of --rendered, --real and --inception.")
    if any(pictures) and dataset.METHODS[0] not in methods:
        raise InputError(f"FRRea is that of the method '{dataset.METHODS[0]}', which --methods leaves out.")
    out = _folder(options.out)
    frrea = realism.realism(*pictures, options.device) if all(pictures) else None
    reactor = Reactor.load(options.weights, options.device)
    settings = dataset.ScoreSettings(
        options.split, samples=options.samples, personal=options.personal, limit=options.limit, methods=methods,
        steps=options.steps, solver=options.solver, guidance=options.guidance, seed=options.seed,
    )  # fmt: skip
    report = dataset.evaluate(reactor, options.data, settings, progress_bar_callback("clips"))
    if frrea is not None:
        lines = [replace(line, frrea=frrea) if line.method == "this listener" else line for line in report.lines]
        report = replace(report, lines=tuple(lines))
    _hand_out(dataset.markdown(report), dataset.as_json(report), out, "metrics")
    if out is not None:
        plots.scores(report, out / "metrics.png")
    return 0
