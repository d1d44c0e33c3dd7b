"""From nothing to the demo weights: `python -m perfrdiff.training.demo` (or `make demo-weights`).

Simulates a corpus, trains style encoder, generator and weight editor one after the other, and writes
`checkpoints/demo.safetensors`. A killed run goes on where its last checkpoint in the work folder was.
"""

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from perfrdiff import checkpoints
from perfrdiff.data.corpus import Corpus, CorpusConfig, load_corpus
from perfrdiff.data.habits import NAMED_STYLES
from perfrdiff.data.simulated import simulate_listener, simulate_speaker
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig, render_targets
from perfrdiff.training.loop import LoopConfig, train
from perfrdiff.training.stages import EditorStage, GeneratorStage, StyleModel, StyleStage, measured_habits

DESCRIPTION = (
    "Demo weights, trained on simulated conversations only (perfrdiff/data/simulated.py). "
    "Not the weights of the PerFRDiff paper and not trained on real people."
)


@dataclass(frozen=True)
class DemoConfig:
    """Everything that shapes the demo weights."""

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    style_encoder: StyleEncoderConfig = field(
        default_factory=lambda: StyleEncoderConfig(
            width=128, layers=2, heads=4, feedforward=256, projection=128, max_frames=750, dropout=0.0, differences=True
        )
    )
    denoiser: DenoiserConfig = field(
        default_factory=lambda: DenoiserConfig(
            width=144, layers=4, heads=6, feedforward=384, window=75, reaction_delay=8, dropout=0.0,
            condition_widths={"audio": 78, "coefficients": 58, "past_listener": 58},
        )
    )  # fmt: skip
    editor_hidden: int = 256
    rank: int = 8
    sampling: checkpoints.SamplingDefaults = field(
        default_factory=lambda: checkpoints.SamplingDefaults(
            steps=25, guidance=1.0, guidance_over=("audio", "coefficients"), slide=50, clamp=10.0, temperature=1.05
        )
    )
    style_loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=500, learning_rate=1e-3, save_every=50))
    generator_loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=6000, learning_rate=1e-3))
    editor_loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=800, learning_rate=2e-3, ema=0.99, save_every=50)
    )


def named_styles(encoder: StyleEncoder, corpus: Corpus, seed: int = 7, clips: int = 6) -> dict[str, torch.Tensor]:
    """Style vectors of the named listening styles: the mean over simulated clips of such a person, unit length."""
    styles = {}
    for i, (name, habits) in enumerate(NAMED_STYLES.items()):
        rng = np.random.default_rng([seed, i])
        behaviour = np.stack([simulate_listener(simulate_speaker(rng), habits, rng) for _ in range(clips)])
        with torch.no_grad():
            style = encoder(corpus.normalizer.coefficients(torch.tensor(behaviour)))
        styles[name] = torch.nn.functional.normalize(style.mean(0), dim=0)
    return styles


def run(config: DemoConfig, work: Path, out: Path | None, stage: str = "all") -> None:
    """Train the stages and, when all are done, write the checkpoint to `out`."""
    corpus = load_corpus(config.corpus, work)
    print(f"corpus: {len(corpus.listener)} listener clips of {corpus.frames} frames", flush=True)
    torch.manual_seed(0)
    encoder = StyleEncoder(config.style_encoder)
    denoiser = Denoiser(config.denoiser)
    editor_config = WeightEditorConfig(
        style=config.style_encoder.projection,
        hidden=config.editor_hidden,
        rank=config.rank,
        targets=render_targets(config.denoiser),
    )
    editor = WeightEditor(editor_config)
    if stage in ("all", "style", "editor"):
        habits = measured_habits(corpus)
        style_stage = StyleStage(StyleModel(encoder, habits.shape[1]), corpus, habits)
        encoder = train(style_stage.model, style_stage.loss, config.style_loop, work / "style.pt", "style").encoder
    if stage in ("all", "generator", "editor"):
        generator_stage = GeneratorStage(denoiser, corpus)
        denoiser = train(denoiser, generator_stage.loss, config.generator_loop, work / "generator.pt", "generator")
    if stage not in ("all", "editor"):
        return
    editor_stage = EditorStage(editor, GeneratorStage(denoiser, corpus), encoder)
    editor = train(editor, editor_stage.loss, config.editor_loop, work / "editor.pt", "editor")
    if out is not None:
        styles = named_styles(encoder, corpus)
        checkpoint = checkpoints.Checkpoint(
            denoiser, encoder, editor, corpus.normalizer, styles, config.sampling, DESCRIPTION
        )
        checkpoints.save(checkpoint, out)
        print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/demo"), help="folder of the run's own checkpoints")
    parser.add_argument("--out", type=Path, default=checkpoints.FOLDER / "demo.safetensors")
    parser.add_argument("--stage", choices=("all", "style", "generator", "editor"), default="all")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0: as many as there are cores")
    parser.add_argument("--steps-scale", type=float, default=1.0, help="shorten or lengthen every stage by this factor")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    config = DemoConfig()
    scaled = {
        name: replace(getattr(config, name), steps=round(getattr(config, name).steps * arguments.steps_scale))
        for name in ("style_loop", "generator_loop", "editor_loop")
    }
    run(replace(config, **scaled), arguments.work, arguments.out, arguments.stage)


if __name__ == "__main__":
    main()
