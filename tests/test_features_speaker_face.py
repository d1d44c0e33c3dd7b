"""The speaker's face about its own usual one: causal, the same in pieces, blind where nobody is seen."""

import numpy as np
import pytest

from perfrdiff.coefficients import CHANNEL, UNTRUSTED_COLUMNS, neutral
from perfrdiff.features.speaker_face import FACE_NAMES, FACE_WIDTH, LIMIT, RunningFace, relative_face

FRAMES = 300
SMILE = FACE_NAMES.index("smile")


@pytest.fixture
def face():
    """A lively face (frames, 58)."""
    rng = np.random.default_rng(0)
    steps = 0.02 * rng.standard_normal((FRAMES, 58))
    return (neutral() + np.cumsum(steps, axis=0) * 0.5 + 0.2).astype(np.float32)


@pytest.mark.parametrize("length", [1, 7, 64])
def test_a_clip_in_pieces_gives_the_same_numbers(face, length):
    seen = np.random.default_rng(1).random(FRAMES) > 0.2
    running = RunningFace()
    starts = range(0, FRAMES, length)
    pieces = [running.push(face[at : at + length], seen[at : at + length]) for at in starts]
    assert np.array_equal(np.concatenate(pieces), relative_face(face, seen))


def test_nothing_of_the_future_goes_in(face):
    changed = face.copy()
    changed[200:] += 0.5
    assert np.array_equal(relative_face(face)[:200], relative_face(changed)[:200])


def test_faces_of_several_people_do_not_mix(face):
    other = face[::-1].copy()
    both = relative_face(np.stack([face, other]))
    assert np.array_equal(both[0], relative_face(face)) and np.array_equal(both[1], relative_face(other))


def test_how_a_face_rests_and_how_lively_it_is_hardly_matter(face):
    """Somebody who smiles in rest and moves twice as much looks much the same after a while."""
    lively = face.mean(axis=0) + 2 * (face - face.mean(axis=0)) + 0.1
    plain, other = relative_face(face)[150:, :-1], relative_face(lively)[150:, :-1]
    for column in range(FACE_WIDTH - 1):
        assert np.corrcoef(plain[:, column], other[:, column])[0, 1] > 0.95, FACE_NAMES[column]
    assert 0.6 < other.std() / plain.std() < 1.5


def test_a_smile_is_seen_and_a_tracker_s_noise_is_not():
    rng = np.random.default_rng(2)
    still = neutral() + 0.01 * rng.standard_normal((FRAMES, 58))
    smiling = still.copy()
    smiling[200:225, [CHANNEL["mouthSmileLeft"], CHANNEL["mouthSmileRight"]]] += 0.4
    assert np.abs(relative_face(still)[:, SMILE]).max() < 1.0
    assert relative_face(smiling)[200:225, SMILE].min() > 2.5
    assert relative_face(smiling).max() <= LIMIT


def test_channels_that_are_not_tracked_well_are_silent(face):
    changed = face.copy()
    changed[:, list(UNTRUSTED_COLUMNS)] = np.random.default_rng(3).random((FRAMES, len(UNTRUSTED_COLUMNS)))
    assert np.array_equal(relative_face(face), relative_face(changed))


def test_where_no_face_is_seen_nothing_is_known(face):
    seen = np.ones(FRAMES, bool)
    seen[100:150] = False
    garbage = face.copy()
    garbage[100:150] = 9.0
    hidden, other = relative_face(face, seen), relative_face(garbage, seen)
    assert np.array_equal(hidden, other), "what a tracker reports of a hidden face leaves no trace"
    assert not hidden[100:150].any() and (hidden[seen, -1] == 1).all()
    assert not relative_face(face, np.zeros(FRAMES, bool)).any()
