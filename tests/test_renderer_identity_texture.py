"""A head from a photo: its colours come back, what is not seen is completed, and what cannot be read is refused."""

import cv2
import numpy as np
import pytest

from renderer.errors import RenderError
from renderer.face_model import FaceModel, neutral_coefficients, project
from renderer.identity.chart import BUST, HEAD, head_chart, head_triangles, texel_map, texture_coordinates
from renderer.identity.delight import fitted_shade, light_gain
from renderer.identity.fill import mirrored, push_pull
from renderer.identity.fit import fit_identity
from renderer.identity.hair import HANGING, _large_parts, _round_ends, _without_tails
from renderer.identity.identity import Identity
from renderer.identity.outline import triangulated
from renderer.identity.visibility import pose_head
from renderer.mesh import MeshRenderer
from renderer.portrait.topology import CHIN
from tests.support.drawn_portrait import drawn_portrait

SIZE = 384  # pixels of the drawn photos
MAGENTA = (255, 0, 255)
CHEEKS = (50, 280, 205, 425)  # MediaPipe's landmarks


@pytest.fixture(scope="module")
def photo(face) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Yuna before a wall of a colour that nobody has: picture, landmarks, coefficients."""
    return portrait_of(face, "Yuna", MAGENTA)


def portrait_of(face: FaceModel, name: str, background=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    _, landmarks, coefficients = drawn_portrait(face, SIZE)
    drawing = next(iter(MeshRenderer(face, SIZE, mesh_identity=name, backend="cpu").render(coefficients[None]))).copy()
    if background is not None:
        renderer = MeshRenderer(face, SIZE, mesh_identity=name, backend="cpu")
        drawing[next(iter(renderer.render_transparent(coefficients[None])))[..., 3] == 0] = background
    return drawing, landmarks, coefficients


@pytest.fixture(scope="module")
def identity(face, photo) -> Identity:
    return fit_identity(face, *photo)


def drawn(face: FaceModel, identity: Identity, coefficients: np.ndarray, size: int = 384) -> np.ndarray:
    return next(iter(MeshRenderer(face, size, mesh_identity=identity, backend="cpu").render(coefficients[None])))


def lab(colour: np.ndarray) -> np.ndarray:
    return cv2.cvtColor((np.asarray(colour, np.float32) / 255).reshape(1, -1, 3), cv2.COLOR_RGB2LAB)[0]


def patch(picture: np.ndarray, centre: np.ndarray, half: int = 5) -> np.ndarray:
    x, y = np.round(centre).astype(int)
    return picture[y - half : y + half + 1, x - half : x + half + 1].mean(axis=(0, 1))


def test_skin_and_clothes_come_back_in_the_colours_of_the_photo(face, photo, identity):
    picture, landmarks, coefficients = photo
    again = drawn(face, identity, coefficients)
    for landmark in CHEEKS:
        there = landmarks[landmark, :2]
        assert np.linalg.norm(lab(patch(picture, there)) - lab(patch(again, there))) < 9
    chest = np.array([SIZE / 2, 0.97 * SIZE])
    assert np.linalg.norm(lab(patch(picture, chest)) - lab(patch(again, chest))) < 16


def test_the_background_is_nowhere_in_the_texture(identity):
    texture = identity.texture.astype(int)
    glaring = (texture[..., 0] - texture[..., 1] > 90) & (texture[..., 2] - texture[..., 1] > 90)
    assert glaring.mean() < 0.0005


def test_a_little_short_hair_beside_an_ear_stays_on_the_skull():
    """A shell of it looked like a lump; long hair may be as little in one piece."""
    unit = 100.0
    y = np.broadcast_to(np.linspace(-1, 1, 200)[:, None], (200, 200))
    beyond, none = np.zeros((200, 200), bool), np.zeros((200, 200), bool)
    beyond[60:95, 10:30] = beyond[60:125, 80:90] = beyond[20:95, 150:170] = True  # .07 short, .065 long, .15 short
    kept, _ = _large_parts(beyond, none, y, unit)
    assert not kept[:, :40].any() and kept[60:125, 80:90].all() and kept[20:95, 150:170].all()


def test_long_hair_hangs_on_the_head_in_its_own_colour(face, monkeypatch):
    picture, landmarks, coefficients = portrait_of(face, "Mara", MAGENTA)

    def true_matte(picture, landmarks):  # the network does not take a drawing's locks for hair
        away = np.abs(picture.astype(int) - MAGENTA).sum(axis=2)
        return np.clip(away / 120, 0, 1).astype(np.float32)

    monkeypatch.setattr("renderer.identity.photo.person_matte", true_matte)
    identity = fit_identity(face, picture, landmarks, coefficients)
    hair = identity.hair
    assert hair is not None
    assert np.isfinite(hair.points).all() and hair.triangles.max() < len(hair.points)
    assert ((hair.texture_uv >= 0) & (hair.texture_uv <= 1)).all()
    low = hair.points[hair.points[:, 1] > 0.3]
    assert len(low) > 5 and np.median(np.abs(low[:, 0])) > 0.3  # it hangs beside the neck
    assert hair.head_weight[hair.points[:, 1] < 0.3].min() == 1.0
    place = (hair.texture_uv.mean(axis=1) * identity.texture.shape[1::-1]).astype(int)
    colour = np.median((identity.texture[place[:, 1], place[:, 0]] / 255.0) ** 2, axis=0)
    assert colour[0] > colour[1] > colour[2] and colour.sum() < 0.6  # brown, as Mara's palette has it


def test_a_strip_of_collar_is_no_lock_and_a_thick_lock_stays():
    """The mask takes a collar's edge for hair; it hung from the head as a tail that turned with it."""
    unit, size = 100.0, 200  # pixels a model unit
    y = np.broadcast_to((np.arange(size)[:, None] - 100) / unit, (size, size))
    hair = np.zeros((size, size), np.float32)
    hair[:150, 20:70] = 1.0  # half a unit wide, to half a unit below the ears' level
    hair[100:190, 120:132] = 1.0  # an eighth of a unit
    kept = _without_tails(hair, np.zeros((size, size), bool), y, unit)
    assert kept[130, 30:60].min() > 0.9
    assert kept[120:, 118:134].max() < 0.5
    assert np.array_equal(kept[:90], hair[:90]), "above the ears hair is as it was"


def test_long_hair_ends_without_corners_and_stays_as_wide_as_it_was():
    """Ends were cut square, and stood off the cheek like a board's edge."""
    size, unit = 200, 100.0
    y = (np.mgrid[:size, :size][0] - 100) / unit
    hair = np.zeros((size, size), np.float32)
    hair[:170, 60:140] = 1.0
    rounded = _round_ends(hair, np.zeros((size, size), bool), y, unit)
    assert hair[168, 62] > 0.5 and rounded[168, 62] < 0.4, "a corner"
    assert rounded[155, 100] > 0.9 and rounded[140, 66] > 0.5, "the lock"
    assert not rounded[hair == 0].any(), "nothing grows beyond the mask"
    assert np.array_equal(rounded[y <= HANGING[0]], hair[y <= HANGING[0]]), "above the ears hair is as it was"


def test_a_shaven_head_gets_no_shell_and_eyes_their_colour(face):
    picture, landmarks, coefficients = portrait_of(face, "Kofi")
    for iris in (landmarks[468:473], landmarks[473:478]):
        radius = np.linalg.norm(iris[1, :2] - iris[0, :2])
        cv2.circle(picture, tuple(np.round(iris[0, :2]).astype(int).tolist()), round(radius), (30, 70, 170), -1)
    identity = fit_identity(face, picture, landmarks, coefficients)
    assert identity.hair is None
    assert identity.iris[2] > 1.5 * identity.iris[0]
    assert 0.2 < identity.sclera.mean() < 0.9


def test_scores_and_notes_say_what_was_not_good_enough(face, photo, identity):
    assert set(identity.scores) >= {"mask", "light", "pose", "sharpness", "shape"}
    assert all(0 <= score <= 1 for score in identity.scores.values())
    picture, landmarks, coefficients = photo
    blurred = fit_identity(face, cv2.GaussianBlur(picture, (0, 0), 5), landmarks, coefficients)
    assert blurred.scores["sharpness"] < identity.scores["sharpness"]
    assert any("blurred" in note for note in blurred.notes)
    assert not any("blurred" in note for note in identity.notes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p, m, c: (p, m, _turned(c, 40)), "turned"),
        (lambda p, m, c: (cv2.resize(p, (48, 48)), m * 48 / SIZE, c), "pixels"),
        (lambda p, m, c: (p, m + np.array([2000, 0, 0]), c), "outside"),
        (lambda p, m, c: (p.astype(np.float32), m, c), "8 bits"),
        (lambda p, m, c: (p, m[:400], c), "landmarks"),
        (lambda p, m, c: (_with_mask(p, m), m, c), "covers"),
        (lambda p, m, c: (_with_sunglasses(p, m), m, c), "Dark glasses"),
    ],
    ids=["turned away", "too small", "outside", "not 8 bits", "landmarks missing", "mask before the mouth", "glasses"],
)
def test_a_photo_that_cannot_be_read_is_refused_in_one_sentence(face, photo, change, reason):
    with pytest.raises(RenderError, match=reason) as raised:
        fit_identity(face, *change(*photo))
    assert str(raised.value).count(". ") == 0


def _turned(coefficients: np.ndarray, degrees: float) -> np.ndarray:
    turned = coefficients.copy()
    turned[53] += np.radians(degrees)
    return turned


def _with_sunglasses(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    covered = picture.copy()
    between = np.linalg.norm(landmarks[33, :2] - landmarks[263, :2])
    for corners in ([33, 133], [362, 263]):
        x, y = np.round(landmarks[corners, :2].mean(axis=0)).astype(int).tolist()
        cv2.ellipse(covered, (x, y), (round(0.27 * between), round(0.22 * between)), 0, 0, 360, (14, 14, 16), -1)
    return covered


def _with_mask(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    covered = picture.copy()
    lower = landmarks[[205, 425, 50, 280, 172, 397, 132, 361, CHIN, 4], :2]
    cv2.fillConvexPoly(covered, cv2.convexHull(np.round(lower).astype(np.int32)), (60, 150, 190))
    return covered


def test_a_texel_shows_the_point_that_the_chart_puts_there(face):
    uv, fills = texture_coordinates(face)
    texels = texel_map(face, uv, fills & head_triangles(face), HEAD)
    points = texels.interpolate(face.mean_shape)
    row, column = np.divmod(texels.index, HEAD.width)
    middle = (np.abs(points[:, 0]) < 0.3) & (points[:, 2] < -0.1)
    error = np.linalg.norm(head_chart(points) - np.stack([column, row], 1) - 0.5, axis=1)
    assert error[middle].max() < 1.5  # texels; a triangle is flat, the chart is not
    assert len(texels.index) > 0.6 * HEAD.width * HEAD.height


def test_every_outer_triangle_has_a_place_and_the_mouth_has_none(face):
    uv, _ = texture_coordinates(face)
    has_place = np.isfinite(uv).all(axis=(1, 2))
    outer = np.isin(face.parts, [face.part_names.index(name) for name in ("skin", "lips", "cloth")])
    assert (has_place == outer).all()
    assert (uv[has_place] >= 0).all() and (uv[has_place] <= 1).all()
    assert (uv[has_place][..., 0].max(axis=1) - uv[has_place][..., 0].min(axis=1)).max() < 0.5 * BUST.width / 2048


def test_what_lies_behind_is_not_visible(face):
    rest = neutral_coefficients()
    world = face.world_vertices(rest)[0]
    head = pose_head(world, project(world, 600) - 0.5, face.triangles, 600)
    visible = head.visible(head.pixels, head.depth) & (head.facing > 0)
    nape = (face.mean_shape[:, 2] > 0.5) & (face.mean_shape[:, 1] < 0.3)
    nose = face.mean_shape[:, 2] < np.quantile(face.mean_shape[:, 2], 0.002)
    assert not visible[nape].any()
    assert visible[nose].all()


def test_an_unlit_half_is_completed_from_its_mirror():
    rng = np.random.default_rng(5)
    half = 0.3 + 0.2 * rng.random((64, 32, 3), dtype=np.float32)
    colour = np.concatenate([half, half[:, ::-1]], axis=1)
    confidence = np.ones((64, 64), np.float32)
    confidence[:, 40:] = 0.0
    known = np.where(confidence[..., None] > 0, colour, 0).astype(np.float32)
    completed, trust = mirrored(known, confidence)
    assert np.abs(completed - colour)[:, 40:].mean() < 0.05
    detail = np.corrcoef(completed[:, 44:, 0].ravel(), colour[:, 44:, 0].ravel())[0, 1]
    assert detail > 0.9
    assert trust[:, 40:].min() == 1.0
    assert (completed[:, :40] == known[:, :40]).all()


def test_what_is_known_stays_and_the_rest_is_continued():
    colour = np.zeros((40, 56, 3), np.float32)
    colour[:, :28], colour[:, 28:] = (0.2, 0.3, 0.4), (0.8, 0.7, 0.6)
    weight = np.zeros((40, 56), np.float32)
    weight[5:15, 3:12] = weight[5:15, 44:53] = 1.0
    filled = push_pull(colour, weight)
    assert np.allclose(filled[weight == 1], colour[weight == 1], atol=1e-5)
    assert np.allclose(filled[18, 6], colour[10, 6], atol=0.12)
    assert np.allclose(filled[18, 48], colour[10, 48], atol=0.12)
    assert filled.min() >= 0.2 - 1e-5 and filled.max() <= 0.8 + 1e-5


def test_light_from_one_side_is_taken_off():
    rng = np.random.default_rng(3)
    normals = rng.normal(size=(4000, 3))
    normals[:, 2] = np.abs(normals[:, 2])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    light = 0.3 * (0.8 + 0.5 * normals @ np.array([0.7, 0.3, 0.65]))
    light[::9] *= 0.2  # brows and stubble
    coefficients = fitted_shade(light, normals, np.ones(len(light)))
    skin = np.arange(len(light)) % 9 != 0
    even = light / light_gain(coefficients, normals, float(light[skin].mean()))
    assert even[skin].std() / even[skin].mean() < 0.5 * light[skin].std() / light[skin].mean()


def test_a_ring_becomes_triangles_that_leave_its_hole_open():
    y, x = np.mgrid[:120, :120].astype(np.float32)
    distance = np.hypot(x - 60, y - 60)
    ring = np.clip(0.5 + (40 - distance) / 4, 0, 1) * np.clip(0.5 + (distance - 15) / 4, 0, 1)
    result = triangulated(ring.astype(np.float32), 0.5, 5.0)
    assert result is not None
    corners = result.points[result.triangles]
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = 0.5 * (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    assert (area <= 0).all()
    assert -area.sum() == pytest.approx(np.pi * (40**2 - 15**2), rel=0.05)
    assert np.abs(np.linalg.norm(result.points[result.on_edge] - 60, axis=1)[:, None] - [15, 40]).min(axis=1).max() < 2
    assert triangulated(np.zeros((50, 50), np.float32), 0.5, 5.0) is None


def test_triangles_bend_along_a_seam():
    """Where hair meets a cheek a row of corners follows the cheek's outline; without it the edge of hair is a saw."""
    y, x = np.mgrid[:120, :120].astype(np.float32)
    disc = np.clip(0.5 + (50 - np.hypot(x - 60, y - 60)) / 4, 0, 1).astype(np.float32)
    line = 62.0 + 6 * np.sin(y / 15)
    seam = np.clip(0.5 + (x - line) / 4, 0, 1).astype(np.float32)

    def largest_gap(seam):
        result = triangulated(disc, 0.5, 5.0, seam)
        on_line = np.abs(result.points[:, 0] - (62 + 6 * np.sin(result.points[:, 1] / 15))) < 0.7
        return np.diff(np.sort(result.points[on_line, 1]), prepend=10, append=110).max()

    assert largest_gap(seam) < 9 < 15 < largest_gap(None)
