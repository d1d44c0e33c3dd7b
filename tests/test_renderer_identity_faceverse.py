"""A person in FaceVerse's own numbers. Its file may not be shipped, so the built-in head is written in its layout."""

import numpy as np
import pytest

from renderer.errors import RenderError
from renderer.face_model import FaceModel, load_face_model, neutral_coefficients, project
from renderer.faceverse import FaceVerse, convert_faceverse
from renderer.identity.basis import load_identity_basis
from renderer.identity.faceverse_fit import KeypointModel, fit_faceverse
from renderer.identity.landmark_sets import IBUG_66
from renderer.identity.photo import FacePhoto

SIZE, FOCAL = 384, 1315.0 * 384 / 224
IDENTITIES, TEXTURES = 150, 251
HEAD = load_face_model()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> FaceVerse:
    """The built-in head as a FaceVerse file, the mouth's keypoints in another order."""
    rng = np.random.default_rng(0)
    vertices = len(HEAD.mean_shape)
    identities = np.zeros((vertices, 3, IDENTITIES), np.float32)
    identities[:, :, :80] = load_identity_basis().components
    waves = np.sin(4 * HEAD.mean_shape @ rng.standard_normal((3, 20)) + rng.uniform(0, 6, 20))  # smooth over the face
    textures = np.zeros((vertices, 3, TEXTURES), np.float32)
    textures[:, :, :20] = waves[:, None] * rng.standard_normal((3, 20)) * 6
    skin = np.broadcast_to(np.array([176.0, 140.0, 120.0]), (vertices, 3))
    keypoints = HEAD.ibug_keypoints.copy()
    keypoints[48:] = rng.permutation(keypoints[48:])
    official = {
        "meanshape": HEAD.mean_shape.reshape(-1), "meantex": skin.reshape(-1),
        "idBase": identities.reshape(3 * vertices, -1), "exBase": HEAD.expression_basis.reshape(3 * vertices, -1),
        "texBase": textures.reshape(3 * vertices, -1), "tri": HEAD.triangles, "point_buf": HEAD.vertex_faces,
        "keypoints": keypoints,
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("faceverse")
    np.save(folder / "official.npy", np.array(official, object), allow_pickle=True)
    with pytest.warns(UserWarning, match="pickle"):
        convert_faceverse(folder / "official.npy", folder / "faceverse.npz")
    return FaceVerse(load_face_model(folder / "faceverse.npz"))


def person(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    identity, texture = np.zeros(IDENTITIES, np.float32), np.zeros(TEXTURES, np.float32)
    identity[:20], texture[:20] = rng.standard_normal(20), rng.standard_normal(20)
    return identity, texture


def photo_of(model: FaceVerse, identity: np.ndarray, texture: np.ndarray, yaw: float) -> tuple[FacePhoto, np.ndarray]:
    """A picture by FaceVerse's own renderer in light from one side, and its packed vector."""
    rows = neutral_coefficients()
    rows[0, 53] = np.radians(yaw)
    gamma = np.zeros((3, 9), np.float32)
    gamma[:, 0], gamma[:, 2], gamma[:, 3] = 0.2, 0.15, 0.1
    vector = np.concatenate([identity, rows[0, :52], texture, rows[0, 52:55], gamma.reshape(-1), rows[0, 55:]])[None]
    picture = model.images(vector, SIZE, FOCAL)[0]
    shown = np.where(picture[..., 3:] > 0, picture[..., :3], (40, 160, 60)).clip(0, 255).astype(np.uint8)
    world = model.world_vertices(vector)[0]
    points = np.einsum("lkc,lk->lc", world[HEAD.landmark_vertices], HEAD.landmark_weights)
    landmarks = np.zeros((478, 3))
    landmarks[:468, :2] = project(points, SIZE, FOCAL)
    landmarks[:468, 2] = (points[:, 2].mean() - points[:, 2]) * FOCAL / (10 - points[:, 2].mean())
    return FacePhoto(shown, landmarks, rows[0]), vector


@pytest.fixture(autouse=True)
def true_matte(monkeypatch):
    def matte(picture, landmarks):  # the network does not know bald heads before a green wall
        return (np.abs(picture.astype(int) - (40, 160, 60)).sum(axis=2) > 60).astype(np.float32)

    monkeypatch.setattr("renderer.identity.photo.person_matte", matte)


def shown_colours(face: FaceModel, model: FaceVerse, vector: np.ndarray) -> np.ndarray:
    return model.colours(vector)[0][np.intersect1d(HEAD.landmark_vertices, np.flatnonzero(front(face)))]


def front(face: FaceModel) -> np.ndarray:
    return (face.mean_shape[:, 2] < -0.2) & (np.abs(face.mean_shape[:, 0]) < 0.3)


@pytest.mark.slow
def test_shape_texture_and_light_of_a_known_person_are_found(model):
    identity, texture = person(1)
    photos, vectors = zip(*(photo_of(model, identity, texture, yaw) for yaw in (-8.0, 12.0)), strict=True)
    found = fit_faceverse(model, photos[0], photos[1:])
    face = model.face
    assert found.identity.shape == (IDENTITIES,) and found.texture.shape == (TEXTURES,)
    truth, mean, own = (face.neutral_vertices(one)[front(face)] for one in (identity, None, found.identity))

    def off(shape: np.ndarray) -> float:  # place and size of a head cannot be told from photos
        a, b = shape - shape.mean(axis=0), truth - truth.mean(axis=0)
        return float(np.linalg.norm(a * ((a * b).sum() / (a * a).sum()) - b, axis=1).mean())

    assert off(own) < 0.6 * off(mean)
    assert found.landmark_error < 0.5
    wanted = shown_colours(face, model, vectors[0])
    again = vectors[0].copy()
    again[0, :150], again[0, 202:453], again[0, 456:483] = found.identity, found.texture, found.gamma.reshape(-1)
    plain = again.copy()
    plain[0, 202:453] = 0
    error, without = (np.abs(shown_colours(face, model, one) - wanted).mean() for one in (again, plain))
    assert error < 8 and error < 0.5 * without, "the skin's colours, of 255"


def test_what_is_found_moves_as_every_head_does(model):
    identity, texture = person(2)
    photo, _ = photo_of(model, identity, texture, 0.0)
    found = fit_faceverse(model, photo)
    rows = neutral_coefficients(2)
    rows[1, 8:10] = 1.0
    packed = found.vectors(rows)
    assert packed.shape == (2, 486)
    pictures = model.images(packed, 96, 1315.0 * 96 / 224)
    assert np.isfinite(pictures).all() and np.abs(pictures[1] - pictures[0]).max() > 20
    with pytest.raises(RenderError, match="58"):
        found.vectors(rows[:, :50])


def test_the_mouths_keypoints_are_told_by_their_place(model):
    """Files order the mouth in different ways; read in the wrong order, every person would get a torn mouth."""
    numbers = KeypointModel(model.face).numbers
    assert numbers[:48].tolist() == list(IBUG_66[:48])
    right = dict(zip(HEAD.ibug_keypoints.tolist(), IBUG_66, strict=True))
    assert numbers.tolist() == [right[vertex] for vertex in model.face.ibug_keypoints.tolist()]


def test_a_photo_that_cannot_be_read_is_refused(model):
    photo, _ = photo_of(model, *person(3), 0.0)
    with pytest.raises(RenderError, match="pixels"):
        fit_faceverse(model, FacePhoto(photo.picture[::12, ::12].copy(), photo.landmarks / 12, photo.coefficients))
