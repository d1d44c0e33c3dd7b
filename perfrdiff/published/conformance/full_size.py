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
from perfrdiff.published.weights.variants import Shapes, build, shape_tables
from perfrdiff.sampling import guided_denoiser

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
    made = {}
    for name in sorted(shapes):
        shape = tuple(shapes[name])
        if name.endswith(skip):
            made[name] = torch.zeros(shape)
            continue
        noise = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            made[name] = noise / shape[-1] ** 0.5
        elif ("norm" in name and name.endswith("weight")) or name.endswith(".g"):
            made[name] = 1 + 0.1 * noise
        else:
            made[name] = 0.1 * noise
    return made


def check_full_size(fixture: Fixture) -> list[Deviation]:
    """Every network the probe has results of, the weights' fingerprints first."""
    prints = _fingerprints(fixture)
    shapes = {file.network: file.shapes for file in shape_tables()[fixture.variant]}
    found = []
    for name, (network, seed) in NETWORKS.items():
        if not fixture.has(f"{name}/in/"):
            continue
        stored, seed = prints.get(name, ({}, seed))
        sine = network == "denoiser" and fixture.variant == "render"
        weights = recipe_weights(shapes[network], seed, SKIPPED if sine else SKIPPED[:1])
        found += _compare_prints(name, weights, stored, SKIPPED if sine else SKIPPED[:1])
        model = build(fixture.variant, network, weights)
        del weights
        found += _calls(name, model, fixture)
    return found + _masks(fixture)


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


def _compare_prints(name: str, weights: Mapping[str, Tensor], stored: dict, skip: tuple[str, ...]) -> list[Deviation]:
    """One comparison per network: the worst tensor."""
    ours, wanted = [], []
    for key, (_, magnitude, first) in stored.items():
        if key.endswith(skip):
            continue
        ours += [float(weights[key].double().abs().sum()) / magnitude, *weights[key].flatten()[:3].tolist()]
        wanted += [1.0, *first]
    if not wanted:
        return []
    return [compare(f"{name} weights", torch.tensor(ours).double(), torch.tensor(wanted).double(), 1e-6)]


def _calls(name: str, model: torch.nn.Module, fixture: Fixture) -> list[Deviation]:
    found = []
    if name == "person":
        x = fixture["person/in/x"]
        found += fixture.stored("person feature", "person/out/feat", lambda: model.feature(x))
        found += fixture.stored("person style", "person/out/proj", lambda: model(x))
    elif name.startswith("vae"):
        latent = model.encode(fixture[f"{name}/in/window"])
        found.append(compare(f"{name} encode", latent, fixture[f"{name}/out/encode"]))
    elif name == "prior":
        conditions = fixture.conditions("decoder/in")
        predict = guided_prior(model, conditions, 1.0)
        for t, wanted in _steps(fixture, "prior/out", "t"):
            found.append(compare(f"prior at t{t}", predict(fixture["prior/in/x_t"], t), wanted))
    else:
        for key, wanted in fixture.under("decoder/out").items():
            if match := re.fullmatch(r"cfg([0-9.]+)_t(\d+)", key):
                predict = guided_denoiser(model, fixture.conditions("decoder/in"), float(match[1]))
                ours = predict(fixture["decoder/in/x_t"], int(match[2]))
                found.append(compare(f"decoder at t{match[2]}", ours, wanted, CALL))
    return found


def _steps(fixture: Fixture, prefix: str, start: str) -> list[tuple[int, Tensor]]:
    return [(int(key[len(start) :]), value) for key, value in fixture.under(prefix).items() if key.startswith(start)]


def _masks(fixture: Fixture) -> list[Deviation]:
    stored = fixture.under("masks")
    found = []
    for key, wanted in stored.items():
        if key.startswith("tgt_biased"):
            heads, frames, period = (int(re.search(rf"{word}(\d+)", key)[1]) for word in ("heads", "len", "period"))
            ours = periodic_causal_bias(heads, frames, period)
            seen = ours.isfinite()
            found.append(compare("what the bias lets through", seen, wanted > STORED_INFINITY))
            found.append(compare("periodic bias", ours[seen], wanted[seen]))
        else:
            frames = wanted.shape[0]
            delay = 8 if key.startswith("memory") else 0
            ours = torch.ones(frames, frames).tril(delay)
            found.append(compare(key, ours, wanted))
    return found
