"""Fixture files of the published code: what lies in one, and the networks whose weights it or a neighbour carries.

A fixture is a safetensors file with `sd/*` weights, `in/*` inputs, `out/*` results, `rng/*` draws and, in its metadata,
the settings as JSON. Many take their weights from another file of the folder.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from perfrdiff.errors import InputError
from perfrdiff.files import read_safetensors
from perfrdiff.models.autoencoder import WindowAutoencoder
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.prior import Prior
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor
from perfrdiff.published.inference import PublishedModel, SpeakerClips
from perfrdiff.published.weights import names

ATTRIBUTES, COEFFICIENTS = 25, 58  # width of what the emotion and the render variant predict
CALL = 5e-5  # of the output's scale: tolerance of a single network call (docs/method.md 17.2)
END_TO_END = 1e-4  # of the output's scale: tolerance of a whole sampling run
SMALLEST_SCALE = 0.02  # results smaller than this are compared as if they were this large


@dataclass(frozen=True)
class Deviation:
    """One comparison with a stored number."""

    name: str  # of the number that is compared
    largest: float  # largest absolute difference
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.largest <= self.tolerance


def compare(name: str, computed: Tensor, expected: Tensor, relative: float = CALL) -> Deviation:
    """Largest absolute difference, against `relative` times the expected numbers' scale; another shape is infinite."""
    computed, expected = torch.as_tensor(computed), torch.as_tensor(expected)
    if computed.shape != expected.shape:
        return Deviation(f"{name}: shape {tuple(computed.shape)} instead of {tuple(expected.shape)}", float("inf"), 0.0)
    if not expected.numel():
        return Deviation(name, 0.0, relative)
    computed, expected = computed.double(), expected.double()
    difference = (computed - expected).abs()
    largest = float(
        torch.where(difference.isnan() & ~(computed.isnan() & expected.isnan()), torch.inf, difference)
        .nan_to_num(nan=0.0, posinf=float("inf"))
        .max()
    )
    return Deviation(name, largest, relative * max(float(expected.nan_to_num().abs().max()), SMALLEST_SCALE))


@dataclass(frozen=True)
class Fixture:
    """One file of a folder of fixtures."""

    path: Path
    neighbours: "FixtureFolder"

    @property
    def stem(self) -> str:
        return self.path.stem

    @cached_property
    def _content(self) -> tuple[dict[str, str], dict[str, Tensor]]:
        return read_safetensors(self.path, "safetensors", "give the folder as it was made")

    @property
    def tensors(self) -> dict[str, Tensor]:
        return self._content[1]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.tensors)

    @cached_property
    def config(self) -> dict:
        return json.loads(self._content[0].get("config", "{}"))

    def __getitem__(self, key: str) -> Tensor:
        if key not in self.tensors:
            raise InputError(f"{self.path.name} has no tensor '{key}'.")
        return self.tensors[key]

    def compare_stored(
        self, name: str, key: str, compute: Callable[[], Tensor], relative: float = CALL
    ) -> list[Deviation]:
        """The comparison with the result under `key`, or none if the fixture does not hold it."""
        return [compare(name, compute(), self[key], relative)] if key in self.keys else []

    def has_prefix(self, start: str) -> bool:
        """Whether a tensor's name starts with `start`."""
        return any(key.startswith(start) for key in self.keys)

    def with_prefix(self, prefix: str) -> dict[str, Tensor]:
        """Tensors `prefix/*` without the prefix."""
        return {key[len(prefix) + 1 :]: value for key, value in self.tensors.items() if key.startswith(f"{prefix}/")}

    def conditions(self, prefix: str = "in") -> dict[str, Tensor]:
        """The stored conditions under our names."""
        stored = self.with_prefix(prefix)
        return {names.CONDITION_INPUTS[key]: stored[key] for key in stored if key in names.CONDITION_INPUTS}

    @cached_property
    def variant(self) -> str:
        """ "emotion" or "render", from what is in the file; otherwise from its name."""
        if (
            self.has_prefix("sd/to_emotion")
            or self.has_prefix("out/prediction_emotion")
            or self.has_prefix("out/decoder/prediction_emotion")
        ):
            return "emotion"
        if (
            self.has_prefix("sd/to_3dmm")
            or self.has_prefix("out/prediction_3dmm")
            or self.has_prefix("out/decoder/prediction_3dmm")
        ):
            return "render"
        for key in sorted(self.keys):  # what is denoised has the width of a frame
            if key == "in/noise_x_T" or (key.startswith("rng/") and self.tensors[key].ndim == 3):
                width = self.tensors[key].shape[-1]
                if width in (ATTRIBUTES, COEFFICIENTS):
                    return "emotion" if width == ATTRIBUTES else "render"
        words = f"{self.config.get('weights', '')} {self.stem}".replace("_", " ").split()
        return "emotion" if "emo" in words else "render"

    def speaker(self) -> SpeakerClips:
        return SpeakerClips(self["in/speaker_audio"], self["in/speaker_3dmm_input"], self["in/speaker_emotion_input"])


@dataclass(frozen=True)
class FixtureFolder:
    """A folder of fixtures; finds the file that carries a network's weights."""

    path: Path
    _cache: dict[str, Fixture] = field(default_factory=dict)

    def fixture(self, name: str) -> Fixture:
        if name not in self._cache:
            self._cache[name] = Fixture(self.path / name, self)
        return self._cache[name]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir() if path.is_file())

    def weights_fixture(self, kind: str, fixture: Fixture) -> Fixture:
        """The fixture with the weights of `kind` (a key of `WEIGHT_KEYS`) that goes with `fixture`.

        It is recognised by its tensors, whatever its file is called. Of several it is the one that `fixture` names
        itself, then the one with the same ending ("_small"), then the one without switched-off conditions put on.
        """
        candidates = [name for name in self.files() if name.endswith(".safetensors") and self._holds(kind, name)]
        named = re.split(r"[\s,]+", str(fixture.config.get("weights", "")))
        endings = fixture.stem.split("_")
        alike = [f"{kind}_{'_'.join(endings[i:])}.safetensors" for i in range(1, len(endings))]
        plain = [name for name in candidates if "allcond" not in name]
        matching = (
            [name for name in candidates if Path(name).stem in named]
            or [name for name in alike if name in candidates]
            or (plain if len(plain) == 1 else [])
        )
        if not matching:
            several = plain or candidates
            raise InputError(
                f"{fixture.path.name} needs the weights of {kind}_*.safetensors, of which there "
                f"{'are several: ' + ', '.join(several) if several else 'is none in the folder'}."
            )
        return self.fixture(matching[0])

    def _holds(self, kind: str, name: str) -> bool:
        try:
            fixture = self.fixture(name)
            return all(fixture.has_prefix(start) for start in WEIGHT_KEYS[kind])
        except (InputError, OSError):
            return False  # a file that cannot be read holds nothing; its own line says so


WEIGHT_KEYS = {
    "denoiser_emo": ("sd/to_emotion_embed.",),
    "denoiser_ren": ("sd/to_3dmm_embed.",),
    "vae_v2": ("sd/x_rnn.", "out/forward_eval/coefficients_3dmm"),
    "vae_v1": ("sd/x_rnn.", "out/forward_eval/coefficients_emotion"),
    "person_encoder": ("sd/cls_token",),
    "prior_net": ("sd/learned_query",),
    "mainnet_emo": ("sd_hypernet/", "out/prediction_emotion"),
    "mainnet_ren": ("sd_hypernet/", "out/prediction_3dmm"),
}
"""Kind of network -> first characters of tensor names that only the fixture with its weights has."""


def denoiser(fixture: Fixture, output_scale: float = 1.0) -> Denoiser:
    """The denoiser whose weights and settings the fixture carries."""
    arguments, variant = fixture.config, fixture.variant
    tensors = names.denoiser_tensors(fixture.with_prefix("sd"))
    latents = {"speaker_latent": "s_embed_dim", "listener_latent": "l_embed_dim", "personal": "personal_emb_dim"}
    plain = {name: arguments[key] for name, key in latents.items() if arguments[key] == arguments["latent_dim"]}
    config = names.denoiser_config(
        arguments, variant, names.denoiser_widths(tensors, plain), fixture["in/x_t"].shape[1]
    )
    return names.load_tensors(Denoiser(config), names.scaled_output(tensors, output_scale))


def style_encoder(fixture: Fixture) -> StyleEncoder:
    tensors = names.style_encoder_tensors(fixture.with_prefix("sd"))
    config = names.style_encoder_config(tensors, fixture.config["num_heads"], fixture.config["max_len"] - 1)
    return names.load_tensors(StyleEncoder(config), tensors)


def autoencoder(fixture: Fixture) -> WindowAutoencoder:
    tensors = names.autoencoder_tensors(fixture.with_prefix("sd"))
    return names.load_tensors(
        WindowAutoencoder(names.autoencoder_config(tensors, fixture.config["window_size"])), tensors
    )


def prior(fixture: Fixture) -> Prior:
    tensors = names.prior_tensors(fixture.with_prefix("sd"))
    return names.load_tensors(Prior(names.prior_config(tensors)), tensors)


def weight_editor(fixture: Fixture, model: Denoiser) -> WeightEditor:
    """The dense editor of a `sd_hypernet/*` fixture; its branches in the order the settings give."""
    tensors = names.weight_editor_tensors(fixture.with_prefix("sd_hypernet"))
    return names.load_tensors(WeightEditor(names.weight_editor_config(tensors, targets(fixture, model))), tensors)


def targets(fixture: Fixture, model: Denoiser) -> dict[str, tuple[int, int]]:
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    edited = [names.target_name(module) for module in fixture.config["branch_order"]]
    return {name: shapes[name] for name in edited}


def published_model(fixture: Fixture, editor_from: Fixture | None = None) -> PublishedModel:
    """Every network of the fixture's variant, from the files of its folder."""
    folder = fixture.neighbours
    generator = denoiser(
        folder.weights_fixture("denoiser_emo" if fixture.variant == "emotion" else "denoiser_ren", fixture)
    )
    return PublishedModel(
        denoiser=generator,
        autoencoder=autoencoder(folder.weights_fixture("vae_v2", fixture)),
        style_encoder=style_encoder(folder.weights_fixture("person_encoder", fixture)),
        weight_editor=None if editor_from is None else weight_editor(editor_from, generator),
        prior=prior(folder.weights_fixture("prior_net", fixture)),
    )


def nearest_to_failing(deviations: Iterable[Deviation]) -> Deviation:
    """The comparison closest to its tolerance, or farthest beyond it."""
    return max(deviations, key=lambda d: (not d.passed, d.largest / max(d.tolerance, 1e-30)))
