"""From nothing to the demo weights: `python -m perfrdiff.training.demo.recipe` (or `make demo-weights`).

Simulates a corpus, with real voices where a folder of speech is given (--voices), trains the style encoder, then
generator and weight editor together, then teaches them what they predict under guidance, and writes
`checkpoints/demo.safetensors`. A killed run goes on where its last state in the work folder was. With --from, only the
last stage is trained, from the networks of a checkpoint that still needs guidance.
"""

import argparse
import copy
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState

from perfrdiff import checkpoints
from perfrdiff.behaviour.event_features import EVENT_FEATURES, event_features
from perfrdiff.data.simulator.corpus import Corpus, CorpusConfig, load_corpus
from perfrdiff.data.simulator.habits import NAMED_STYLES
from perfrdiff.data.simulator.listener import simulate_tracked_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.data.simulator.voices import Voices, read_voices
from perfrdiff.errors import InputError
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.listening_codec import ListeningCodec
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig
from perfrdiff.sampling import SamplingOptions
from perfrdiff.training.demo.behaviour import BehaviourLoss, person_numbers
from perfrdiff.training.demo.calibration import make_calibration
from perfrdiff.training.demo.generator import GeneratorModel, GeneratorStage
from perfrdiff.training.demo.guidance import GuidanceStage
from perfrdiff.training.demo.personal import PersonalModel, PersonalStage, style_table
from perfrdiff.training.demo.sharpening import sharpen
from perfrdiff.training.demo.stage_loop import ComputeOptions, Schedule, train
from perfrdiff.training.demo.style_encoder import StyleModel, StyleStage, fit_event_scale
from perfrdiff.training.demo.style_probe import fit_probes

DESCRIPTION = (
    "Demo weights, trained on simulated conversations only: simulated persons who listen to {voices}. "
    "Not the weights of the PerFRDiff paper, and no real listener was in the data."
)

NATIVE_BF16 = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()
"""Emulated bf16 is ten times slower than float32."""


@dataclass(frozen=True)
class DemoConfig:
    """Everything that shapes the demo weights."""

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    style_encoder: StyleEncoderConfig = field(
        default_factory=lambda: StyleEncoderConfig(
            width=128,
            layers=2,
            heads=4,
            feedforward=384,
            projection=128,
            max_tokens=150,
            dropout=0.0,
            limit=4.0,
            events=len(EVENT_FEATURES),
        )
    )  # its `coefficients` are the width of the codec's tokens
    denoiser: DenoiserConfig = field(
        default_factory=lambda: DenoiserConfig(
            width=160, layers=4, heads=5, feedforward=640, window=24, reaction_delay=8, speaker_window=32, context=8,
            time_in_query=True, norm_first=True, prediction="velocity", dropout=0.0,
            drop_probability={"audio": 0.1, "coefficients": 0.2, "past_listener": 0.15},
        )
    )  # fmt: skip
    editor_hidden: int = 192
    rank: int = 24
    style_clips: int = 6  # of which the mean is a named style
    persons_per_step: int = 16  # with two windows of each, in the stage of generator and editor
    # By the speaker's voice and face, which say when to nod and when to smile back; learnt in the last stage.
    guidance: float = 2.0
    last_behaviour_weight: float = 0.1  # in that stage, where the editor alone learns from it
    sampling: SamplingOptions = field(
        default_factory=lambda: SamplingOptions(
            steps=10,
            guidance=1.0,
            guidance_over=("audio", "coefficients"),
            slide=20,
            clamp=10.0,
            solver="dpm",
            slow_noise=0.3,
        )
    )
    style_schedule: Schedule = field(default_factory=lambda: Schedule(steps=1500, learning_rate=1e-3))
    personal_schedule: Schedule = field(
        default_factory=lambda: Schedule(steps=15000, learning_rate=1.2e-3, warmup=200, ema=0.999)
    )
    guidance_schedule: Schedule = field(
        default_factory=lambda: Schedule(steps=4000, learning_rate=3e-4, warmup=200, ema=0.999)
    )


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


@torch.no_grad()
def named_styles(encoder: StyleEncoder, corpus: Corpus, clips: int, seed: int = 7) -> dict[str, torch.Tensor]:
    """Style vectors of the named listening styles: the mean over tracked clips of such a person, unit length."""
    styles = {}
    for i, (name, habits) in enumerate(NAMED_STYLES.items()):
        rng = np.random.default_rng([seed, i])
        behaviour = np.stack([simulate_tracked_listener(simulate_speaker(rng), habits, rng) for _ in range(clips)])
        events = torch.tensor(np.array([event_features(clip) for clip in behaviour])).float()
        style = encoder(corpus.codec.coefficients(torch.tensor(behaviour)), events)
        styles[name] = torch.nn.functional.normalize(style.mean(0), dim=0)
    return styles


@dataclass
class _Networks:
    """What is trained, untrained."""

    encoder: StyleEncoder
    denoiser: Denoiser
    editor: WeightEditor

    @classmethod
    def of(cls, config: DemoConfig, widths: dict[str, int], device: torch.device) -> "_Networks":
        torch.manual_seed(0)
        face = widths["listener"]
        conditions = {"audio": widths["audio"], "coefficients": widths["coefficients"], "past_listener": face}
        encoder = StyleEncoder(replace(config.style_encoder, coefficients=face))
        denoiser = Denoiser(replace(config.denoiser, features=face, condition_widths=conditions))
        editor = WeightEditor(
            WeightEditorConfig(
                style=config.style_encoder.projection,
                hidden=config.editor_hidden,
                rank=config.rank,
                shared_factors=True,
                targets=demo_targets(denoiser.config),
            )
        )
        return cls(encoder.to(device), denoiser.to(device), editor.to(device))

    @classmethod
    def taken_from(cls, checkpoint: checkpoints.Checkpoint, device: torch.device) -> "_Networks":
        """Those of a checkpoint, to be trained further."""
        encoder, denoiser, editor = checkpoint.style_encoder, checkpoint.denoiser, checkpoint.weight_editor
        return cls(encoder.to(device), denoiser.to(device), editor.to(device))


def run(
    config: DemoConfig,
    work: Path,
    out: Path,
    compute: ComputeOptions,
    voices: Voices | None = None,
    only: str | None = None,
    start: checkpoints.Checkpoint | None = None,
) -> None:
    """Train all stages and write the checkpoint to `out`.

    only: stop after the stage of that name.
    start: weights that still need guidance; the last stage alone is trained, from them.
    """
    device = torch.device("cuda" if compute.device != "cpu" and torch.cuda.is_available() else "cpu")
    codec = None if start is None else _listening_codec(start)
    corpus = load_corpus(config.corpus, work, voices, codec).to(device)
    print(f"corpus: {len(corpus.listener)} listener clips of {corpus.tokens} tokens", flush=True)
    if start is None:
        networks = _Networks.of(config, corpus.codec.widths, device)
        style = _train_style(networks.encoder, corpus, config, work, compute)
        if only == "style":
            return
        networks.editor.initialize_from_probe(style.probe_weights())
    else:
        networks = _Networks.taken_from(start, device)
    personal = _personal_stage(networks, corpus, config)
    if start is None:
        _train("personal", personal.model, personal, config, work, compute)
        if only == "personal":
            return
    teacher = copy.deepcopy(personal.model).eval().requires_grad_(False)
    guided = GuidanceStage(
        personal=personal, teacher=teacher, scale=config.guidance, slow_noise=config.sampling.slow_noise
    )
    _train("guidance", personal.model, guided, config, work, compute)
    for network in (networks.encoder, personal.model):
        network.cpu().eval().requires_grad_(False)
    if PartialState().is_main_process:
        _write(networks, corpus.to("cpu"), config, out, voices)


def _listening_codec(checkpoint: checkpoints.Checkpoint) -> ListeningCodec:
    """Raises InputError for other weights than the demo's."""
    codec = checkpoint.normalizer
    if not isinstance(codec, ListeningCodec):
        raise InputError(f"The weights '{checkpoint.name}' are not demo weights; this recipe trains no others further.")
    return codec


def _train_style(
    encoder: StyleEncoder, corpus: Corpus, config: DemoConfig, work: Path, compute: ComputeOptions
) -> StyleModel:
    fit_event_scale(encoder, corpus)
    style = StyleModel(encoder, corpus.habits.shape[1]).to(corpus.device)
    _train("style", style, StyleStage(style, corpus), config, work, compute)
    return style


def _personal_stage(networks: _Networks, corpus: Corpus, config: DemoConfig) -> PersonalStage:
    """Generator and weight editor as a stage, with what persons of the corpus are like."""
    model = GeneratorModel(networks.denoiser).to(corpus.device)
    generator = GeneratorStage(networks.denoiser, corpus, model=model)
    persons = max(1, config.persons_per_step // PartialState().num_processes)  # of a process
    numbers = person_numbers(corpus, config.denoiser.window)
    behaviour = BehaviourLoss(networks.denoiser, corpus.codec, numbers)
    styles = style_table(networks.encoder, corpus)
    return PersonalStage(PersonalModel(model, networks.editor), generator, styles, persons, behaviour=behaviour)


def _write(networks: _Networks, corpus: Corpus, config: DemoConfig, out: Path, voices: Voices | None) -> None:
    """Fit what is not trained by steps, and write the checkpoint."""
    sharpen(networks.editor, networks.encoder, corpus)
    styles = named_styles(networks.encoder, corpus, config.style_clips)
    checkpoint = checkpoints.Checkpoint(
        networks.denoiser, networks.encoder, networks.editor, corpus.codec, styles, config.sampling,
        DESCRIPTION.format(voices="recorded and made-up voices" if voices else "made-up voices"),
    )  # fmt: skip
    probe, event_probe = fit_probes(networks.encoder, corpus)
    checkpoint = replace(checkpoint, style_probe=probe, event_probe=event_probe)
    calibration, event_probe = make_calibration(checkpoint, corpus)
    checkpoints.save(replace(checkpoint, calibration=calibration, event_probe=event_probe), out, half=True)
    print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)", flush=True)


def _train(name: str, model: torch.nn.Module, stage, config: DemoConfig, work: Path, compute: ComputeOptions) -> None:
    model.requires_grad_(True)
    train(model, stage.loss, getattr(config, f"{name}_schedule"), work / f"{name}.safetensors", name, compute)
    model.eval().requires_grad_(False)


STAGES = tuple(f.name.removesuffix("_schedule") for f in fields(DemoConfig) if f.name.endswith("_schedule"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/demo"), help="folder of the run's own states")
    parser.add_argument("--out", type=Path, default=checkpoints.FOLDER / "demo.safetensors")
    parser.add_argument("--voices", type=Path, help="folder of recorded speech; without it, all voices are made up")
    parser.add_argument(
        "--from", dest="start", metavar="WEIGHTS", help="train the last stage alone, from these weights"
    )
    parser.add_argument("--corpus-seed", type=int, default=CorpusConfig.seed, help="other persons and talks")
    parser.add_argument("--persons", type=int, default=CorpusConfig.persons, help="of the corpus, in eights")
    parser.add_argument("--until", choices=STAGES[:-1], help="stop after this stage, and write no checkpoint")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0: as many as there are cores")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    parser.add_argument("--precision", choices=("no", "bf16"), default="bf16" if NATIVE_BF16 else "no")
    parser.add_argument("--steps-scale", type=float, default=1.0, help="shorten or lengthen every stage by this factor")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    persons = arguments.persons
    talks = round(persons * CorpusConfig.speakers / CorpusConfig.persons)
    config = DemoConfig(CorpusConfig(seed=arguments.corpus_seed, persons=persons, speakers=talks))
    schedules = {f"{name}_schedule": getattr(config, f"{name}_schedule") for name in STAGES}
    scaled = {
        name: replace(schedule, steps=max(1, round(schedule.steps * arguments.steps_scale)))
        for name, schedule in schedules.items()
    }
    compute = ComputeOptions(arguments.device, arguments.precision)
    voices = None if arguments.voices is None else read_voices(arguments.voices)
    start = None
    if arguments.start is not None:
        start = checkpoints.load(arguments.start)
        if start.sampling.guidance == 1.0:
            parser.error(f"the weights '{arguments.start}' need no guidance any more: there is nothing to teach them")
        config = replace(config, guidance=start.sampling.guidance)
    run(replace(config, **scaled), arguments.work, arguments.out, compute, voices, arguments.until, start)


if __name__ == "__main__":
    main()
