"""A listener's shift: small on disk, mixed, scaled, and taken off again without a trace."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from perfrdiff.coefficients import CHANNEL, neutral
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.errors import InputError
from perfrdiff.files import write_safetensors
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig, render_targets
from perfrdiff.personal.motion_gain import MotionGain
from perfrdiff.personal.weight_shift import WeightShift, is_weight_shift, mix, mix_weight_shifts, predict_weight_shift
from perfrdiff.reactor import Reactor
from tests.support.tiny_checkpoint import tiny_checkpoint


@pytest.fixture(scope="module")
def speaker():
    return simulate_speaker(np.random.default_rng(2), 2.0)


@pytest.fixture
def reactor():
    return Reactor(replace(tiny_checkpoint(), name="tiny", sha256="a" * 64), "cpu")


def fingerprint(network):
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def run(reactor, speaker):
    return reactor.react_to(speaker, samples=1).coefficients


def test_taken_off_bit_for_bit(reactor, speaker):
    before, generic = fingerprint(reactor.checkpoint.denoiser), run(reactor, speaker)
    for strength in (1.0, 2.0):
        reactor.set_listener("Warm", strength)
        assert not np.array_equal(run(reactor, speaker), generic)
        assert fingerprint(reactor.checkpoint.denoiser) == before, "the generator itself was edited"
    reactor.set_listener(None)
    assert reactor.shift is None and np.array_equal(run(reactor, speaker), generic)


def test_a_file_of_kilobytes_brings_the_listener_back(reactor, speaker, tmp_path):
    reactor.set_listener("Warm")
    reactor.shift.save(tmp_path / "warm.safetensors")
    personal = run(reactor, speaker)
    assert (tmp_path / "warm.safetensors").stat().st_size < 20e3
    again = WeightShift.load(tmp_path / "warm.safetensors")
    reactor.set_listener(None)
    reactor.set_listener(again)
    assert np.array_equal(run(reactor, speaker), personal) and reactor.listener == "Warm"


def test_a_file_of_format_1_is_read(reactor, tmp_path):
    """What --save-shift wrote before the fields had their names of today."""
    reactor.set_listener("Warm")
    shift = replace(reactor.shift, motion_gain=MotionGain(nods=1.5, yaw=0.1))
    about = {
        "format": "perfrdiff listener shift 1", "weights": shift.weights, "sha256": shift.weights_sha256,
        "listener": shift.listener, "manner": {"nods": 1.5, "yaw": 0.1},
    }  # fmt: skip
    tensors = {
        f"{name}.{side}": getattr(edit, side)[0] for name, edit in shift.shifts.items() for side in ("left", "right")
    }
    write_safetensors(tmp_path / "old.safetensors", tensors, {"listener_shift": about})
    old = WeightShift.load(tmp_path / "old.safetensors")
    old.save(tmp_path / "new.safetensors")
    new = WeightShift.load(tmp_path / "new.safetensors")
    assert old.motion_gain == new.motion_gain == shift.motion_gain and old.listener == new.listener == "Warm"
    for name, edit in shift.shifts.items():
        assert torch.equal(old.shifts[name].left, edit.left) and torch.equal(new.shifts[name].right, edit.right)
    with safe_open(tmp_path / "new.safetensors", "pt") as file:
        assert json.loads(file.metadata()["weight_shift"])["format"] == "perfrdiff weight shift 2"


def test_a_listener_of_the_shipped_weights_is_kept_in_under_a_megabyte(tmp_path):
    """What --save-shift promises: small enough to send, and not the 9 MB of the weights it belongs to."""
    reactor = Reactor.load("demo", "cpu")
    reactor.set_listener(reactor.styles[0])
    reactor.shift.save(tmp_path / "me.safetensors")
    assert (tmp_path / "me.safetensors").stat().st_size < 1e6


def test_mixing_and_scaling(reactor, speaker):
    denoiser = reactor.checkpoint.denoiser
    behaviour = np.tile(neutral(), (60, 1)) + 0.1 * np.random.default_rng(3).standard_normal((60, 58))
    reactor.set_listener("Warm")
    warm = reactor.shift
    reactor.set_listener(behaviour.astype(np.float32))
    other = reactor.shift
    half = mix_weight_shifts([(warm, 0.5), (other, 0.5)])
    for name, edit in half.edits(denoiser).items():
        expected = 0.5 * (warm.edits(denoiser)[name].dense + other.edits(denoiser)[name].dense)
        torch.testing.assert_close(edit.dense, expected)
        parameter = dict(denoiser.named_parameters())[name]
        assert torch.equal(warm.edits(denoiser, 0.0)[name].dense[0], parameter)
        doubled = warm.edits(denoiser, 2.0)[name].dense - parameter
        torch.testing.assert_close(doubled, 2 * (warm.edits(denoiser)[name].dense - parameter), atol=1e-6, rtol=1e-4)
    reactor.set_listener(half)
    assert reactor.listener == "0.5 Warm + 0.5 personal" and np.isfinite(run(reactor, speaker)).all()
    undone = mix_weight_shifts([(warm, 1.0), (warm, -1.0)])
    for name, edit in undone.edits(denoiser).items():
        torch.testing.assert_close(edit.dense[0], dict(denoiser.named_parameters())[name], atol=1e-6, rtol=0)


def test_a_share_of_0_and_1_is_exactly_the_one_and_the_other(reactor, speaker):
    """Who moves the slider to an end has that listener, not one that is nearly so."""
    behaviour = np.tile(neutral(), (60, 1)) + 0.1 * np.random.default_rng(3).standard_normal((60, 58))
    shifts = []
    for listener in ("Warm", behaviour.astype(np.float32)):
        reactor.set_listener(listener)
        shifts.append((reactor.shift, run(reactor, speaker)))
    (one, of_one), (other, of_other) = shifts
    assert not np.array_equal(of_one, of_other)
    for share, expected in ((0, of_one), (1, of_other)):
        reactor.set_listener(mix(one, other, share))
        assert np.array_equal(run(reactor, speaker), expected)
    parameters = dict(reactor.checkpoint.denoiser.named_parameters())
    quarter = mix(one, None, 0.25).edits(reactor.checkpoint.denoiser)
    for name, edit in one.edits(reactor.checkpoint.denoiser).items():
        expected = 0.75 * edit.dense[0] + 0.25 * parameters[name]
        torch.testing.assert_close(quarter[name].dense[0], expected, atol=1e-6, rtol=1e-5)
    assert mix(one, None, 1) is None and mix(None, other, 1) is other and mix(None, None, 0.5) is None
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="must lie between 0 and 1"):
            mix(one, other, share)
    with pytest.raises(InputError, match="different weights cannot be mixed"):
        mix(one, replace(other, weights_sha256="b" * 64), 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("names", [("Calm", "Lively"), ("Doubtful", "Warm")])
def test_between_two_listeners_habits_lie_between_theirs(names):
    """The slider does what it says: of a warm and a doubtful listener comes one who smiles, but less."""
    reactor = Reactor.load("demo", "cpu")
    heard = simulate_speaker(np.random.default_rng(2), 8.0)
    shifts = []
    for name in names:
        reactor.set_listener(name)
        shifts.append(reactor.shift)
    seen = []
    for share in (0.0, 0.5, 1.0):
        reactor.set_listener(mix(*shifts, share))
        clips = reactor.react_to(heard, samples=4, seed=0).coefficients
        pitch, smile = clips[..., CHANNEL["rotationX"]], clips[..., CHANNEL["mouthSmileLeft"]]
        seen.append((smile.mean(), np.abs(np.diff(pitch, axis=1)).mean()))
    for least, between, most in zip(*seen, strict=True):
        assert least + 0.15 * (most - least) < between < most - 0.15 * (most - least), seen
    assert seen[2][0] > 1.5 * seen[0][0], "these two differ in their smile"


def test_a_saved_shift_is_told_from_other_files(reactor, tmp_path):
    reactor.set_listener("Warm")
    reactor.shift.save(tmp_path / "warm.bin")
    (tmp_path / "x.safetensors").write_text("{}")
    assert is_weight_shift(tmp_path / "warm.bin")
    assert not is_weight_shift(tmp_path / "x.safetensors") and not is_weight_shift(tmp_path / "none")


@pytest.mark.parametrize("predict", ["shift", "offset", "weight"])
def test_a_dense_editor_can_be_compressed(predict):
    torch.manual_seed(0)
    config = DenoiserConfig(width=32, layers=2, heads=4, feedforward=48, window=20)
    denoiser = Denoiser(config)
    editor = WeightEditor(WeightEditorConfig(style=16, hidden=24, targets=render_targets(config), predict=predict))
    shift = predict_weight_shift(editor, denoiser, torch.randn(16), "tiny", "b")
    small, lost = shift.compressed(4)
    assert small.size < shift.size / 3 and 0 < lost < 1
    full, lost_at_full_rank = shift.compressed(32)
    assert lost_at_full_rank < 1e-5
    for name, edit in full.edits(denoiser).items():
        torch.testing.assert_close(edit.dense, shift.edits(denoiser)[name].dense, atol=1e-4, rtol=0)


def test_what_does_not_fit_is_refused(reactor, tmp_path):
    reactor.set_listener("Warm")
    shift = reactor.shift
    with pytest.raises(InputError, match="made for the weights 'other'"):
        reactor.set_listener(replace(shift, weights="other", weights_sha256="c" * 64))
    with pytest.raises(InputError, match="outside 0"):
        shift.edits(reactor.checkpoint.denoiser, 2.5)
    wider = Denoiser(DenoiserConfig(width=48, layers=2, heads=4, feedforward=48, window=20))
    with pytest.raises(InputError, match="other weights"):
        shift.edits(wider)
    with pytest.raises(InputError, match="different weights"):
        mix_weight_shifts([(shift, 1.0), (replace(shift, weights_sha256="d"), 1.0)])
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(InputError, match="cannot be read"):
        WeightShift.load(tmp_path / "junk.safetensors")
    with pytest.raises(InputError, match="cannot be read"):
        WeightShift.load(tmp_path / "missing.safetensors")
