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
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig
from perfrdiff.training.loop import LoopConfig, train
from perfrdiff.training.stages import EditorStage, GeneratorModel, GeneratorStage, StyleModel, StyleStage

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
            width=160, layers=3, heads=4, feedforward=480, projection=128, max_frames=150, dropout=0.0
        )
    )  # its `coefficients` are the width of the codec's tokens
    denoiser: DenoiserConfig = field(
        default_factory=lambda: DenoiserConfig(
            width=192, layers=4, heads=6, feedforward=768, window=24, reaction_delay=8, speaker_window=32, context=8,
            time_in_query=True, norm_first=True, prediction="velocity", dropout=0.0,
        )
    )  # fmt: skip
    editor_hidden: int = 96
    rank: int = 4
    # Guided by the voice alone: when to nod is in the voice and learnt weakly, smiles follow the face as they should.
    sampling: checkpoints.SamplingDefaults = field(
        default_factory=lambda: checkpoints.SamplingDefaults(
            steps=25, guidance=5.0, guidance_over=("audio",), slide=16, clamp=10.0, head_smoothing=3.0
        )
    )
    style_loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=600, learning_rate=8e-4))
    generator_loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=5000, learning_rate=1e-3, warmup=200))
    editor_loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=3400, learning_rate=1.2e-3, ema=0.996))


def demo_targets(config: DenoiserConfig) -> dict[str, tuple[int, int]]:
    """The weights the demo's editor shifts: beside the published output and last feed-forward, those of every layer and
    their cross-attention. When to nod is decided deeper down than in the last layer."""
    targets = {"output.weight": (config.features, config.width)}
    for i in range(config.layers):
        targets |= {
            f"layers.{i}.multihead_attn.in_proj_weight": (3 * config.width, config.width),
            f"layers.{i}.linear1.weight": (config.feedforward, config.width),
            f"layers.{i}.linear2.weight": (config.width, config.feedforward),
        }
    return targets


def named_styles(encoder: StyleEncoder, corpus: Corpus, seed: int = 7, clips: int = 6) -> dict[str, torch.Tensor]:
    """Style vectors of the named listening styles: the mean over simulated clips of such a person, unit length."""
    styles = {}
    for i, (name, habits) in enumerate(NAMED_STYLES.items()):
        rng = np.random.default_rng([seed, i])
        behaviour = np.stack([simulate_listener(simulate_speaker(rng), habits, rng) for _ in range(clips)])
        with torch.no_grad():
            style = encoder(corpus.codec.coefficients(torch.tensor(behaviour)))
        styles[name] = torch.nn.functional.normalize(style.mean(0), dim=0)
    return styles


def run(config: DemoConfig, work: Path, out: Path | None, stage: str = "all") -> None:
    """Train the stages and, when all are done, write the checkpoint to `out`."""
    corpus = load_corpus(config.corpus, work)
    print(f"corpus: {len(corpus.listener)} listener clips of {corpus.tokens} tokens", flush=True)
    torch.manual_seed(0)
    widths = corpus.codec.widths
    face = widths["listener"]
    conditions = {"audio": widths["audio"], "coefficients": widths["coefficients"], "past_listener": face}
    encoder = StyleEncoder(replace(config.style_encoder, coefficients=face))
    denoiser = Denoiser(replace(config.denoiser, features=face, condition_widths=conditions))
    editor_config = WeightEditorConfig(
        style=config.style_encoder.projection,
        hidden=config.editor_hidden,
        rank=config.rank,
        targets=demo_targets(denoiser.config),
    )
    editor = WeightEditor(editor_config)
    if stage in ("all", "style", "editor"):
        style_stage = StyleStage(StyleModel(encoder, corpus.habits.shape[1]), corpus)
        encoder = train(style_stage.model, style_stage.loss, config.style_loop, work / "style.pt", "style").encoder
    if stage in ("all", "generator", "editor"):
        model = GeneratorModel(denoiser)
        generator_stage = GeneratorStage(denoiser, corpus, model=model)
        trained = train(model, generator_stage.loss, config.generator_loop, work / "generator.pt", "generator")
        denoiser = trained.denoiser
    if stage not in ("all", "editor"):
        return
    editor_stage = EditorStage(editor, GeneratorStage(denoiser, corpus), encoder)
    editor = train(editor, editor_stage.loss, config.editor_loop, work / "editor.pt", "editor")
    if out is not None:
        styles = named_styles(encoder, corpus)
        checkpoint = checkpoints.Checkpoint(
            denoiser, encoder, editor, corpus.codec, styles, config.sampling, DESCRIPTION
        )
        checkpoints.save(checkpoint, out, half=True)
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
