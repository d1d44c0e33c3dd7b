"""Weights so small that a reaction takes milliseconds; random, so they show shapes and rules, not behaviour."""

import torch

from perfrdiff import checkpoints
from perfrdiff.coefficients import neutral
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.normalizer import Normalizer
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig, render_targets
from perfrdiff.sampling import SamplingOptions


def tiny_checkpoint():
    torch.manual_seed(0)
    config = DenoiserConfig(width=32, layers=2, heads=4, feedforward=48, window=20, reaction_delay=4)
    editor = WeightEditor(WeightEditorConfig(style=16, hidden=24, rank=2, targets=render_targets(config)))
    for left in editor.left:  # a trained editor shifts something
        torch.nn.init.normal_(left.weight, std=0.3)
    encoder = StyleEncoder(
        StyleEncoderConfig(width=16, layers=1, heads=2, feedforward=24, projection=16, max_tokens=100)
    )
    normalizer = Normalizer(torch.tensor(neutral()), torch.full((58,), 0.1), torch.zeros(78), torch.full((78,), 10.0))
    return checkpoints.Checkpoint(
        Denoiser(config).eval(),
        encoder.eval(),
        editor.eval(),
        normalizer,
        {"Warm": torch.nn.functional.normalize(torch.randn(16), dim=0)},
        SamplingOptions(steps=4, guidance=1.5, slide=10, clamp=6.0),
        "tiny, random: for tests",
    )
