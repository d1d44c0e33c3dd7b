"""A network that the project neither ships nor trains with has to recognise people in their own meshes."""

import os
from pathlib import Path

import numpy as np
import pytest

from perfrdiff.features.clip import read_listener
from renderer.face_model import load_face_model, neutral_coefficients
from renderer.identity.fit import fit_identity
from renderer.mesh import MeshRenderer
from renderer.mesh_identities import MESH_IDENTITIES
from tools.recognition import SAME_PERSON, descriptor, distances

PORTRAITS = Path(os.environ.get("PERFRDIFF_MEDIA", Path(__file__).resolve().parents[2] / "shared" / "media"))
PORTRAITS = PORTRAITS / "dev" / "portraits"
FACE = load_face_model()


def neutral(identity) -> np.ndarray:
    return next(MeshRenderer(FACE, 512, mesh_identity=identity, backend="cpu").render(neutral_coefficients()))


@pytest.mark.slow
def test_a_drawn_person_is_known_from_a_picture_of_hers(portrait):
    listener = read_listener(portrait)
    mesh = neutral(fit_identity(FACE, listener.photo, listener.landmarks, listener.photo_coefficients))
    seen = [descriptor(mesh)]
    own = distances(seen, [descriptor(listener.photo, listener.landmarks)])[0, 0]
    others = distances(seen, [descriptor(neutral(name)) for name in ("Alex", "Kofi", "Omar")])[0]
    assert own < SAME_PERSON and own < others.min()


@pytest.mark.media
@pytest.mark.slow
@pytest.mark.skipif(not PORTRAITS.is_dir(), reason=f"{PORTRAITS} is not here")
def test_people_are_recognised_in_their_own_meshes():
    photos, meshes = [], []
    for path in sorted(PORTRAITS.iterdir()):
        listener = read_listener(path)
        identity = fit_identity(FACE, listener.photo, listener.landmarks, listener.photo_coefficients)
        photos.append(descriptor(listener.photo, listener.landmarks))
        meshes.append(descriptor(neutral(identity)))
    apart = distances(meshes, photos)
    assert np.diag(apart).max() < SAME_PERSON
    assert (apart.argmin(axis=1) == np.arange(len(apart))).all(), "the nearest of all is the own photo"
    made_up = distances([descriptor(neutral(name)) for name in MESH_IDENTITIES], photos)
    assert np.diag(apart).max() < made_up.min(), "no made-up person comes as near"
