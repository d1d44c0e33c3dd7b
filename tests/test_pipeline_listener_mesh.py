"""Whom the mesh shows: the listener where that is possible, and otherwise who and why."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from perfrdiff.errors import InputError
from perfrdiff.features.clip import Listener, read_listener
from perfrdiff.pipeline import videos as videos_of_a_run
from perfrdiff.pipeline.listener_mesh import STAND_IN, head_of
from perfrdiff.pipeline.request import LISTENER, ReactRequest
from perfrdiff.pipeline.run import _check_kept_file
from perfrdiff.pipeline.videos import ReactionVideos
from renderer.face_model import load_face_model, neutral_coefficients
from renderer.identity.identity import Identity
from renderer.mesh import MeshRenderer

FACE = load_face_model()


def request(**settings) -> ReactRequest:
    return ReactRequest(speaker="s.mp4", listener="l.jpg", out="out", **settings)


@pytest.fixture(scope="module")
def listener(portrait) -> Listener:
    return read_listener(portrait)


@pytest.fixture(scope="module")
def head(listener):
    return head_of(listener, FACE, request())


def test_by_default_the_mesh_is_the_listener(head, listener):
    assert head.name == LISTENER and isinstance(head.identity, Identity)
    drawn = next(MeshRenderer(FACE, 128, mesh_identity=head.identity, backend="cpu").render(neutral_coefficients()))
    made_up = next(MeshRenderer(FACE, 128, mesh_identity=STAND_IN, backend="cpu").render(neutral_coefficients()))
    points = listener.landmarks[:, :2].round().astype(int)
    cheeks = listener.photo[points[[50, 280], 1], points[[50, 280], 0]].mean(axis=0)  # MediaPipe's cheeks

    def distance(picture: np.ndarray) -> float:
        return float(np.abs(picture[70:76, 50:78].mean(axis=(0, 1)) - cheeks).max())

    assert distance(drawn) < min(40.0, distance(made_up)), "the skin is the photo's"


@pytest.mark.parametrize(
    "settings, shown",
    [({}, LISTENER), ({"views": "photo"}, None), ({"views": "photo", "transparent": True}, LISTENER),
     ({"mesh_identity": "Omar"}, "Omar")],
)  # fmt: skip
def test_a_head_is_made_where_one_is_drawn(listener, settings, shown):
    videos = ReactionVideos(request(**settings))
    videos.set_listener(listener)
    assert videos.mesh_identity == shown


def test_reacts_own_face_is_nobodys_likeness(listener, monkeypatch, tmp_path):
    """Where FaceVerse's file is, the grey style shows REACT's reference person; no listener is fitted for it."""
    (tmp_path / "faceverse.npz").write_bytes(b"")
    monkeypatch.setattr(videos_of_a_run, "REACT_FACE", tmp_path / "faceverse.npz")
    monkeypatch.setattr(videos_of_a_run, "_mesh_renderer", lambda *_: None)
    monkeypatch.setattr(videos_of_a_run, "head_of", None)  # would be called for a likeness
    videos = ReactionVideos(request(mesh_style="grey"))
    videos.set_listener(listener)
    assert videos.mesh_identity is None


def test_a_made_up_person_is_shown_when_asked_for(listener):
    assert head_of(listener, FACE, request(mesh_identity="Omar")).identity == "Omar"


def test_a_features_file_and_a_tiny_face_get_a_stand_in_and_one_sentence_why(listener):
    nobody = replace(listener, photo=None, landmarks=None, photo_coefficients=None)
    shown = head_of(nobody, FACE, request())
    assert shown.identity == STAND_IN and len(shown.notes) == 1 and "features file" in shown.notes[0]
    height = np.ptp(listener.landmarks[:, 1])
    scale = 30 / height
    small = cv2.resize(listener.photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tiny = replace(listener, photo=small, landmarks=(listener.landmarks * scale).astype(np.float32))
    shown = head_of(tiny, FACE, request())
    assert shown.identity == STAND_IN and len(shown.notes) == 1 and "pixels" in shown.notes[0]


def test_a_head_is_kept_and_taken_up_again(head, listener, tmp_path):
    kept = tmp_path / "anna.identity.npz"
    head_of(listener, FACE, request(save_identity=kept))
    again = head_of(replace(listener, photo=None), FACE, request(identity=kept))
    assert again.name == LISTENER
    assert np.array_equal(again.identity.texture, head.identity.texture)
    assert np.allclose(again.identity.shape, head.identity.shape, atol=1e-3)


def test_what_cannot_be_kept_or_shown_is_refused_in_one_sentence(listener, tmp_path):
    with pytest.raises(InputError, match="no head of the listener to save"):
        head_of(listener, FACE, request(mesh_identity="Omar", save_identity=tmp_path / "omar.npz"))
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="can show one of them"):
        request(mesh_identity="Omar", identity="anna.identity.npz")
    with pytest.raises(InputError, match="no folder"):
        _check_kept_file(Path(tmp_path / "missing" / "a.npz"), "the listener's head", False)
    (tmp_path / "there.npz").write_bytes(b"x")
    with pytest.raises(InputError, match="exists already"):
        _check_kept_file(tmp_path / "there.npz", "the listener's head", False)
