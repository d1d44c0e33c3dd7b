"""Several photos of one person become one head: each shows what the others do not, and nobody's ghost."""

import cv2
import numpy as np
import pytest

from renderer.face_model import CAMERA_Z, FaceModel, neutral_coefficients, project
from renderer.identity.chart import HEAD, head_chart
from renderer.identity.fit import fit_identity
from renderer.identity.identity import Identity
from renderer.identity.merge import SeenTile, merged
from renderer.identity.photo import FacePhoto
from renderer.mesh import MeshRenderer

SIZE = 384
FAR_CHEEK = 123  # MediaPipe's landmark far out on the cheek that a yaw of -25 degrees hides
BLUE = (20, 40, 230)


def turned(face: FaceModel, name: str, degrees: float, dots: tuple[int, ...] = ()) -> FacePhoto:
    """A made-up person drawn at a yaw, with blue dots on some landmarks."""
    rows = neutral_coefficients()
    rows[0, 53] = np.radians(degrees)
    renderer = MeshRenderer(face, SIZE, mesh_identity=name, backend="cpu")
    picture = next(iter(renderer.render(rows))).copy()
    world = face.landmarks(rows)[0]
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[:468, :2] = project(world, SIZE, renderer.focal)
    landmarks[:468, 2] = (world[:, 2].mean() - world[:, 2]) * renderer.focal / (CAMERA_Z - world[:, 2].mean())
    for first, last, iris in ((33, 133, 468), (362, 263, 473)):
        landmarks[iris : iris + 5] = (landmarks[first] + landmarks[last]) / 2
        landmarks[iris + 1 : iris + 5, :2] += 4 * np.array([[1, 0], [0, -1], [-1, 0], [0, 1]])
    for dot in dots:
        cv2.circle(picture, tuple(np.round(landmarks[dot, :2]).astype(int).tolist()), 6, BLUE, -1)
    return FacePhoto(picture, landmarks, rows[0])


def fit(face: FaceModel, first: FacePhoto, *further: FacePhoto) -> Identity:
    return fit_identity(face, first.picture, first.landmarks, first.coefficients, further)


def is_blue(face: FaceModel, identity: Identity, landmark: int) -> bool:
    column, row = head_chart(face.mean_shape[face.landmark_vertices[landmark, 0]]).astype(int)
    patch = HEAD.view(identity.texture)[row - 6 : row + 7, column - 6 : column + 7].astype(int)
    return bool((patch[..., 2] - patch[..., 0]).max() > 40)


@pytest.mark.slow
def test_a_cheek_that_only_another_frame_shows_is_seen_there(face):
    """A mole on the far cheek: one photo would put the near cheek's mirror image there."""
    one = turned(face, "Kofi", -25)
    other = turned(face, "Kofi", 25, dots=(FAR_CHEEK,))
    assert not is_blue(face, fit(face, one), FAR_CHEEK)
    assert is_blue(face, fit(face, one, other), FAR_CHEEK)


@pytest.mark.slow
def test_what_passes_before_the_face_in_one_frame_leaves_no_ghost(face):
    first, second = turned(face, "Kofi", 0), turned(face, "Kofi", 4)
    passing = FacePhoto(second.picture.copy(), second.landmarks, second.coefficients)
    x, y = np.round(passing.landmarks[205, :2]).astype(int)
    cv2.circle(passing.picture, (x, y), 14, BLUE, -1)
    clean, crossed = fit(face, first, second), fit(face, first, passing)
    centre = head_chart(face.mean_shape[face.landmark_vertices[205, 0]]).astype(int)
    window = (slice(centre[1] - 20, centre[1] + 21), slice(centre[0] - 20, centre[0] + 21))
    change = HEAD.view(crossed.texture)[window].astype(int) - HEAD.view(clean.texture)[window]
    assert np.abs(change).mean() < 6


@pytest.mark.slow
def test_somebody_else_and_what_cannot_be_read_are_left_out(face):
    first = turned(face, "Kofi", 0)
    alone = fit(face, first)
    stranger = turned(face, "Yuna", 5)
    narrow = stranger.landmarks * np.array([0.55, 1, 1], np.float32)  # a head that nobody with the first's has
    tiny = FacePhoto(cv2.resize(first.picture, (40, 40)), first.landmarks * 40 / SIZE, first.coefficients)
    away = turned(face, "Kofi", 40)
    broken = FacePhoto(first.picture, first.landmarks * np.nan, first.coefficients)
    strangers = FacePhoto(stranger.picture, narrow, stranger.coefficients)
    again = fit(face, first, tiny, away, broken, strangers)
    assert (again.texture == alone.texture).all() and (again.shape == alone.shape).all()


def test_noise_goes_and_detail_stays_though_photos_lie_beside_one_another():
    """The mean of unregistered frames is a blur; the mean of registered ones is the cleaner picture."""
    rng = np.random.default_rng(0)
    truth = cv2.GaussianBlur(rng.random((768, 768)).astype(np.float32), (0, 0), 2.5)
    truth = 0.3 + 0.5 * (truth - truth.mean()) / truth.std() * 0.2
    trust, bald = np.ones((768, 768), np.float32), np.zeros((768, 768), np.float32)

    def photo(shift: float) -> SeenTile:
        moved = cv2.warpAffine(truth, np.array([[1, 0, shift], [0, 1, 0]]), (768, 768), borderMode=cv2.BORDER_REFLECT)
        noisy = moved + rng.normal(0, 0.05, moved.shape)
        return SeenTile(np.repeat(noisy[..., None], 3, axis=2).astype(np.float32).clip(0.01, 1), trust, bald)

    first = photo(0.0)
    mean, used = merged(first, [photo(1.5), photo(-2.0)])
    window = (slice(200, 560), slice(200, 560))

    def error(tile: SeenTile) -> float:
        return float((tile.colour[window][..., 0] - truth[window]).std())

    assert used == 2
    assert error(mean) < 0.85 * error(first)
    assert mean.colour[window][..., 0].std() > 0.95 * truth[window].std()
