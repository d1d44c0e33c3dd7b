"""What the published networks are not to be given: each answered in one sentence with what was expected and exists."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from perfrdiff import checkpoints
from perfrdiff.coefficients import neutral
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.errors import InputError
from perfrdiff.pipeline import run as pipeline
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.published.weights import convert
from perfrdiff.reactor import Reactor
from tests.support.clips import cut
from tests.support.published_folder import reduced_tables, write_folder
from tests.support.tiny_checkpoint import tiny_checkpoint


@pytest.fixture(scope="module")
def reactor():
    return Reactor(replace(tiny_checkpoint(), name="tiny", sha256="a" * 64), "cpu")


@pytest.fixture(scope="module")
def talk():
    return simulate_speaker(np.random.default_rng(1), 2.0)


def broken(rows, value=np.nan):
    rows = np.array(rows, dtype=np.float32)
    rows[7, 3] = value
    return rows


def one_sentence(caught):
    words = str(caught.value)
    assert "\n" not in words and words.endswith(".") and len(words) < 700
    return words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, c: (a[:, :26], c, None), r"speaker audio has shape \(50, 26\); expected \(frames, 78\)"),
        (lambda a, c: (a, c[:, :52], None), r"speaker coefficients has shape \(50, 52\); expected \(frames, 58\)"),
        (lambda a, c: (a, c[None], None), r"has shape \(1, 50, 58\); expected \(frames, 58\)"),
        (lambda a, c: (a, c, np.zeros((50, 15))), r"attributes has shape \(50, 15\); expected \(frames, 25\)"),
        (
            lambda a, c: (a, c, np.zeros((49, 25))),
            "50 frames of audio, 50 frames of coefficients, 49 frames of attributes",
        ),
        (lambda a, c: (a, c[:-1], None), "50 frames of audio, 49 frames of coefficients"),
        (lambda a, c: (broken(a), c, None), "speaker audio holds a number that is not finite, first in frame 7"),
        (lambda a, c: (a, broken(c, np.inf), None), "coefficients holds a number that is not finite, first in frame 7"),
        (
            lambda a, c: (a, c, broken(np.zeros((50, 25)))),
            "attributes holds a number that is not finite, first in frame 7",
        ),
    ],
)
def test_features_of_another_shape_or_not_finite(reactor, talk, change, words):
    audio, coefficients, attributes = change(talk.audio, talk.coefficients)
    with pytest.raises(InputError, match=words) as caught:
        reactor.react(audio, coefficients, attributes=attributes)
    one_sentence(caught)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (np.tile(neutral(), (24, 1)), r"has 24 frames; a style needs at least 25 \(one second\)"),
        (np.tile(neutral(), (60, 1))[:, :57], r"listener behaviour has shape \(60, 57\); expected \(frames, 58\)"),
        (broken(np.tile(neutral(), (60, 1))), "listener behaviour holds a number that is not finite, first in frame 7"),
        ("Grumpy", r"no listening style 'Grumpy'\. Present: Warm"),
    ],
)
def test_a_listener_that_is_none(reactor, behaviour, words):
    with pytest.raises(InputError, match=words) as caught:
        reactor.set_listener(behaviour)
    one_sentence(caught)
    assert reactor.listener == "Generic", "the listener before is kept"


@pytest.mark.slow
def test_a_listener_clip_that_is_too_short(tmp_path, speaker, listener_video, weights):
    short = cut(listener_video, tmp_path / "short.mp4", 0.8)
    request = ReactRequest(speaker=speaker, listener=short, out=tmp_path / "out", weights=weights)
    with pytest.raises(InputError, match=r"short\.mp4. lasts 0\.8 s; at least 1 s are needed") as caught:
        pipeline.react(request)
    one_sentence(caught)
    assert not (tmp_path / "out").exists()


def test_unknown_weights_name_those_that_exist(tmp_path):
    checkpoints.save(tiny_checkpoint(), tmp_path / "tiny.safetensors")
    with pytest.raises(InputError, match=r"no weights named 'paper-emotion'.*Present: tiny") as caught:
        checkpoints.load("paper-emotion", tmp_path)
    one_sentence(caught)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda sizes: sizes["denoiser"].update(variant="audio"), "unknown denoiser variant 'audio': expected one of"),
        (lambda sizes: sizes["denoiser"].update(variant="emotion"), "missing memory_positions; missing query_pos"),
        (lambda sizes: sizes["denoiser"].update(width=48), r"has shape \(32.*, expected \(48"),
        (lambda sizes: sizes["denoiser"].update(colour=1), "does not say which networks it holds"),
        (lambda sizes: sizes.pop("style_encoder"), "does not say which networks it holds .*style_encoder"),
    ],
)  # fmt: skip
def test_weights_whose_sizes_or_variant_are_wrong(tmp_path, change, words):
    path = tmp_path / "tiny.safetensors"
    checkpoints.save(tiny_checkpoint(), path)
    with safe_open(path, "pt") as file:
        about = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    sizes = json.loads(about["sizes"])
    change(sizes)
    save_file(tensors, path, metadata=about | {"sizes": json.dumps(sizes)})
    with pytest.raises(InputError, match=words) as caught:
        checkpoints.load("tiny", tmp_path)
    one_sentence(caught)


def test_a_checkpoint_of_the_other_variant_is_named(tmp_path):
    """One variant's folder with the other's weight editor in it."""
    tables = reduced_tables()
    other_weights = next(file for file in tables["emotion"] if file.network == "weight_editor")

    def swap(file, container):
        if file.network != "weight_editor":
            return container
        return {"state_dict": {key: torch.zeros(shape) for key, shape in other_weights.shapes.items()}}

    with pytest.raises(InputError, match=r"not the published render .*this is the file of the emotion") as caught:
        convert.import_weights(write_folder(tmp_path / "source", "render", swap), tmp_path / "out", tables=tables)
    one_sentence(caught)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_of_something_else_is_no_checkpoint(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="holds no PerFRDiff checkpoint of format 1") as caught:
        checkpoints.load("other", tmp_path)
    one_sentence(caught)
