"""The full-size probes: weights made by the written recipe, then single calls (docs/method.md 17.1)."""

import json
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from perfrdiff.errors import InputError
from perfrdiff.models.layers import periodic_causal_bias
from perfrdiff.published.conformance.fixtures import CALL, Deviation, Fixture, compare
from perfrdiff.published.inference import guided_prior
from perfrdiff.published.weights.variants import Shapes, build_network, shape_tables
from perfrdiff.sampling import guidance_of

NETWORKS = {  # name in the probes -> ours, and the published seed
    "person": ("style_encoder", 1),
    "vae_v2": ("autoencoder", 2),
    "vae_v1": ("coefficient_autoencoder", 3),
    "prior": ("prior", 4),
    "decoder": ("denoiser", 5),
}
STORED_INFINITY = -1e29  # the stored mask has -1e30 where nothing may be seen
SKIPPED = ("freqs", "query_pos.pe", "mem_pos.pe")


def recipe_weights(shapes: Shapes, seed: int, skip: tuple[str, ...] = ("freqs",)) -> dict[str, Tensor]:
    """Random weights by the recipe, published keys; skipped keys are zeros (they are recomputed or fixed tables)."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name in sorted(shapes):
        shape = tuple(shapes[name])
        if name.endswith(skip):
            weights[name] = torch.zeros(shape)
            continue
        noise = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            weights[name] = noise / shape[-1] ** 0.5
        elif ("norm" in name and name.endswith("weight")) or name.endswith(".g"):
            weights[name] = 1 + 0.1 * noise
        else:
            weights[name] = 0.1 * noise
    return weights


def check_full_size(fixture: Fixture) -> list[Deviation]:
    """Every network the probe has results of, the weights' fingerprints first."""
    fingerprints = _fingerprints(fixture)
    shapes = {file.network: file.shapes for file in shape_tables()[fixture.variant]}
    deviations = []
    for name, (network, seed) in NETWORKS.items():
        if not fixture.has_prefix(f"{name}/in/"):
            continue
        stored, seed = fingerprints.get(name, ({}, seed))
        sine = network == "denoiser" and fixture.variant == "render"
        weights = recipe_weights(shapes[network], seed, SKIPPED if sine else SKIPPED[:1])
        deviations += _compare_fingerprints(name, weights, stored, SKIPPED if sine else SKIPPED[:1])
        model = build_network(fixture.variant, network, weights)
        del weights
        deviations += _compare_calls(name, model, fixture)
    return deviations + _masks(fixture)


def _fingerprints(fixture: Fixture) -> dict[str, tuple[dict, int]]:
    """Network -> stored (sum, sum of magnitudes, first three values) per tensor, and its seed."""
    path = fixture.path.parent / fixture.config.get("weight_fingerprints", "")
    if not path.is_file():
        return {}
    sections = {}
    for title, stored in json.loads(path.read_text(encoding="utf-8")).items():
        match = re.fullmatch(r"(\w+) \(seed (\d+)\)", title)
        if not match:
            raise InputError(f"{path.name} has a section '{title}'; expected 'network (seed number)'.")
        sections[match[1]] = (stored, int(match[2]))
    return sections


def _compare_fingerprints(
    name: str, weights: Mapping[str, Tensor], stored: dict, skip: tuple[str, ...]
) -> list[Deviation]:
    """One comparison per network: the worst tensor."""
    computed, expected = [], []
    for key, (_, magnitude, first) in stored.items():
        if key.endswith(skip):
            continue
        computed += [float(weights[key].double().abs().sum()) / magnitude, *weights[key].flatten()[:3].tolist()]
        expected += [1.0, *first]
    if not expected:
        return []
    return [compare(f"{name} weights", torch.tensor(computed).double(), torch.tensor(expected).double(), 1e-6)]


def _compare_calls(name: str, model: torch.nn.Module, fixture: Fixture) -> list[Deviation]:
    deviations = []
    if name == "person":
        x = fixture["person/in/x"]
        deviations += fixture.compare_stored("person feature", "person/out/feat", lambda: model.feature(x))
        deviations += fixture.compare_stored("person style", "person/out/proj", lambda: model(x))
    elif name.startswith("vae"):
        latent = model.encode(fixture[f"{name}/in/window"])
        deviations.append(compare(f"{name} encode", latent, fixture[f"{name}/out/encode"]))
    elif name == "prior":
        conditions = fixture.conditions("decoder/in")
        predict = guided_prior(model, conditions, 1.0)
        for t, expected in _steps(fixture, "prior/out", "t"):
            deviations.append(compare(f"prior at t{t}", predict(fixture["prior/in/x_t"], t), expected))
    else:
        for key, expected in fixture.with_prefix("decoder/out").items():
            if match := re.fullmatch(r"cfg([0-9.]+)_t(\d+)", key):
                predict = guidance_of(model)(fixture.conditions("decoder/in"), float(match[1]))
                computed = predict(fixture["decoder/in/x_t"], int(match[2]))
                deviations.append(compare(f"decoder at t{match[2]}", computed, expected, CALL))
    return deviations


def _steps(fixture: Fixture, prefix: str, start: str) -> list[tuple[int, Tensor]]:
    return [
        (int(key[len(start) :]), value) for key, value in fixture.with_prefix(prefix).items() if key.startswith(start)
    ]


def _masks(fixture: Fixture) -> list[Deviation]:
    stored = fixture.with_prefix("masks")
    deviations = []
    for key, expected in stored.items():
        if key.startswith("tgt_biased"):
            heads, frames, period = (int(re.search(rf"{word}(\d+)", key)[1]) for word in ("heads", "len", "period"))
            computed = periodic_causal_bias(heads, frames, period)
            allowed = computed.isfinite()
            deviations.append(compare("what the bias lets through", allowed, expected > STORED_INFINITY))
            deviations.append(compare("periodic bias", computed[allowed], expected[allowed]))
        else:
            frames = expected.shape[0]
            delay = 8 if key.startswith("memory") else 0
            computed = torch.ones(frames, frames).tril(delay)
            deviations.append(compare(key, computed, expected))
    return deviations
