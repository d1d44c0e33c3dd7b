"""MFCCs must be those the published weights were trained on, whatever audio a person brings."""

from pathlib import Path

import numpy as np
import pytest

from perfrdiff.errors import InputError
from perfrdiff.features.audio import mfcc

# Numbers of the published code (docs/method.md 2.1).
FIXTURE = Path(__file__).parent / "data" / "mfcc.npz"
TOLERANCE = 1.5e-4  # at scale 72 (docs/method.md 17.2)


@pytest.mark.parametrize(("case", "rate"), [("mono16k", 16000), ("stereo44k1", 44100)])
def test_published_features_are_reproduced(case, rate):
    with np.load(FIXTURE) as numbers:
        pcm, expected = numbers[f"{case}__pcm_int16"], numbers[f"{case}__features"]
    sound = pcm.astype(np.float32) / 32768
    sound = sound.mean(axis=1) if sound.ndim == 2 else sound
    got = mfcc(sound, rate, len(expected))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=TOLERANCE, rtol=0)


def test_short_sound_is_padded_with_silence_as_published():
    with np.load(FIXTURE) as numbers:
        pcm, expected = numbers["mono16k__pcm_int16"], numbers["mono16k_short_padded__features"]
    # The fixture is the first 0.2 s of the long one: 5 video frames of sound, then padding.
    got = mfcc(pcm[:3200].astype(np.float32) / 32768, 16000, len(expected))
    np.testing.assert_allclose(got[:4], expected[:4], atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(got[5:], expected[5:], atol=TOLERANCE, rtol=0)


def test_frames_do_not_depend_on_their_neighbours():
    """One batch over all frames equals one call per frame: the published way, frame by frame."""
    sound = np.random.default_rng(0).normal(0, 0.2, 640 * 9).astype(np.float32)
    whole = mfcc(sound, 16000, 9)
    single = np.concatenate([mfcc(sound[640 * i : 640 * (i + 1)], 16000, 1) for i in range(9)])
    np.testing.assert_allclose(whole, single, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("loudness", [0.0, 1e-30, 1.0, 1e4])
def test_any_rate_and_any_loudness_give_finite_numbers(rate, loudness):
    sound = loudness * np.sign(np.sin(np.arange(rate) * 0.1))
    features = mfcc(sound, rate, 25)
    assert features.shape == (25, 78)
    assert np.isfinite(features).all()
    assert (features[:, :2] >= 0).all(), "log energy is floored at ln(1)"


def test_no_frames_and_no_sound():
    assert mfcc(np.zeros(0, np.float32), 16000, 0).shape == (0, 78)
    np.testing.assert_array_equal(mfcc(np.zeros(0), 16000, 3), mfcc(np.zeros(16000), 16000, 3))


@pytest.mark.parametrize(
    ("sound", "rate", "word"),
    [(np.zeros(99), 4000, "8000"), (np.zeros((2, 99)), 16000, "Mono"), (np.array([np.nan]), 16000, "finite")],
)
def test_unusable_sound_is_refused_in_one_sentence(sound, rate, word):
    with pytest.raises(InputError, match=word):
        mfcc(sound, rate, 1)
