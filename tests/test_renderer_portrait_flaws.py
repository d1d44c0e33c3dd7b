"""The photo animator's known faults, each with what must not come back."""

import cv2
import numpy as np
import pytest

from renderer.portrait import WarpAnimator
from renderer.portrait.background import fill_background, without_background
from renderer.portrait.body import SurroundingRings
from renderer.portrait.framing import frame_photo
from renderer.portrait.glasses import kept_motion, wears_glasses
from renderer.portrait.light import STRENGTH, facing_aside, light_of_turn
from renderer.portrait.mouth_colours import mouth_colours
from renderer.portrait.padding import padded_window
from renderer.portrait.topology import EYES, LIPS_LOWER_INNER, LIPS_UPPER_INNER
from tests.support.drawn_portrait import row

SIZE = 192


def with_glasses(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The picture with two dark rims and a bridge drawn round the eyes."""
    picture = picture.copy()
    right, left = (landmarks[[eye.upper[0], eye.upper[-1]], :2].mean(axis=0) for eye in EYES)
    across = left - right
    between = float(np.hypot(*across))
    thick = max(1, round(0.03 * between))
    whole = lambda point: tuple(np.round(point).astype(int).tolist())  # noqa: E731
    for centre in (right, left):
        axes = (round(0.40 * between), round(0.30 * between))
        cv2.ellipse(
            picture, whole(centre + np.array([0, 0.06 * between])), axes, 0, 0, 360, (25, 22, 20), thick, cv2.LINE_AA
        )
    bridge = whole(right + 0.4 * across), whole(left - 0.4 * across)
    cv2.line(picture, *bridge, (25, 22, 20), thick, cv2.LINE_AA)
    return picture


def test_a_photo_that_ends_below_the_chin_is_shown_closer_not_continued(drawn_person):
    """Invented clothes were streaks; the frame keeps to the picture as long as the face does not fill it."""
    picture, landmarks, _ = drawn_person
    cut = picture[: round(float(landmarks[152, 1])) + 30]
    crop = frame_photo(cut, landmarks, SIZE)
    top, chin = crop.landmarks[[10, 152], 1] - crop.margin
    assert 0.5 < (chin - top) / SIZE <= 0.73
    inside = crop.picture[crop.margin : crop.margin + SIZE, crop.margin : crop.margin + SIZE]
    scale = (chin - top) / (landmarks[152, 1] - landmarks[10, 1])
    assert chin + 30 * scale >= SIZE - 3, "the frame ends where the picture does"
    assert inside.shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize("side", ["below", "above", "left", "right"])
def test_what_lies_beyond_the_photos_edge_has_no_streaks(side):
    """A striped shirt at the edge, continued pixel by pixel, hung down from the picture like a curtain."""
    rng = np.random.default_rng(2)
    stripes = np.repeat(rng.integers(30, 225, (1, 40, 3)), 5, axis=1)  # 200 columns, each colour 5 pixels wide
    picture = np.repeat(stripes, 150, axis=0).astype(np.uint8)
    turns = {"below": 0, "left": 3, "above": 2, "right": 1}[side]  # of the picture, and of the window back
    turned = np.ascontiguousarray(np.rot90(picture, turns))
    height, width = turned.shape[:2]
    offset = {"below": (0, 0), "above": (0, height - 200), "left": (width - 200, 0), "right": (0, 0)}[side]
    window = np.rot90(padded_window(turned, np.array(offset), 200), -turns)
    assert np.array_equal(window[:150], picture), "the photo itself is copied"
    beyond = window[150:].astype(float)
    contrast = np.abs(np.diff(beyond, axis=1)).mean(axis=(1, 2)) / np.abs(np.diff(picture[:1].astype(float))).mean()
    assert contrast[20:].max() < 0.1, "the stripes are gone a little way beyond the edge"
    assert np.abs(beyond[0] - picture[-1]).mean() < 25, "where it begins, it continues the photo"
    assert np.abs(beyond.mean(axis=(0, 1)) - picture.mean(axis=(0, 1))).max() < 12, "in the photo's colours"


def test_a_wide_smile_parts_the_lips_and_shows_bright_teeth(animator):
    """A wide smile behind shut lips is a grimace, and grey teeth are worse."""
    photo = animator._photo

    def gap(**values):
        points, _, _ = photo.targets(photo.motion(row(**values)))
        return float((points[LIPS_LOWER_INNER[4:7], 1] - points[LIPS_UPPER_INNER[4:7], 1]).mean()) / photo.mouth.width

    assert gap(mouthSmile=0.25) < 0.02
    assert 0.05 < gap(mouthSmile=0.9) < 0.35
    assert gap(mouthSmile=0.9, mouthPress=0.7) < 0.02, "lips that are pressed stay shut"
    points, _, _ = photo.targets(photo.motion(row(mouthSmile=0.9)))
    upper, lower = (points[ring[5], :2] - photo.margin for ring in (LIPS_UPPER_INNER, LIPS_LOWER_INNER))
    frame = next(animator.animate(row(mouthSmile=0.9)[None]))
    x, y = np.round(0.5 * (upper + lower)).astype(int)
    tooth = frame[y, x - 2 : x + 3].mean()
    cheek = photo.geometry.face[[50, 280], :2] - photo.margin
    skin = np.mean([frame[round(v), round(u)].mean() for u, v in cheek])
    assert tooth > 0.8 * skin


def test_teeth_are_as_warm_as_the_light_and_never_glow(drawn_person):
    picture, landmarks, _ = drawn_person
    tooth = mouth_colours(picture, landmarks).tooth
    assert tooth[0] >= tooth[1] >= tooth[2] and tooth.max() < 250
    dark = mouth_colours((picture * 0.4).astype(np.uint8), landmarks)
    assert dark.tooth.mean() < 0.65 * tooth.mean()
    lit = picture * np.linspace(1.0, 0.4, picture.shape[1])[None, :, None]
    assert mouth_colours(lit.astype(np.uint8), landmarks).slope < -0.02


def test_lines_of_the_background_run_on_straight_behind_the_head(drawn_person):
    """Mirrored across the outline they bent round it like a halo."""
    _, landmarks, _ = drawn_person
    picture = np.full((400, 400, 3), 60, np.uint8)
    picture[100:140] = 200
    matte = np.zeros((400, 400), np.float32)
    cv2.circle(matte, (200, 190), 110, 1.0, -1)
    picture[matte > 0] = (150, 110, 90)
    filled = fill_background(picture, matte, landmarks)
    beside = filled[:, 128].mean(axis=1)  # some 10 pixels behind the outline at the line's height
    assert beside[112:128].min() > 110
    assert beside[160:200].max() < 90
    assert np.array_equal(filled[:60], picture[:60])


def test_glasses_are_seen_and_their_rims_keep_still(face, drawn_person):
    picture, landmarks, own = drawn_person
    assert not wears_glasses(picture, landmarks)
    worn = with_glasses(picture, landmarks)
    assert wears_glasses(worn, landmarks)
    animator = WarpAnimator(face, SIZE)
    animator.set_portrait(worn, landmarks, own)
    photo = animator._photo
    still = photo.geometry.face
    rims = np.concatenate([[*eye.socket_lower[2:7], *eye.socket_upper[2:7], *eye.crease_lower[2:7]] for eye in EYES])
    for values in ({"eyeBlink": 1.0}, {"cheekSquint": 1.0}, {"mouthSmile": 0.9}):
        moved, _, _ = photo.targets(photo.motion(row(**values)))
        assert np.linalg.norm((moved - still)[rims, :2], axis=1).max() < 0.006 * photo.geometry.height
    lids, _, _ = photo.targets(photo.motion(row(eyeBlink=1.0)))
    for eye in EYES:
        assert (lids[eye.upper[3:6], 1] - still[eye.upper[3:6], 1]).min() > 0.5 * eye_height(still, eye)


def eye_height(points: np.ndarray, eye) -> float:
    return float((points[eye.lower[3:6], 1] - points[eye.upper[3:6], 1]).mean())


def test_glasses_hold_back_nothing_of_the_mouth(drawn_person):
    kept = kept_motion(drawn_person[1])
    assert kept[LIPS_LOWER_INNER].min() == 1.0
    assert kept[168] < 0.5


def test_hair_above_the_forehead_turns_with_it(drawn_person):
    """Hair that lies on the skull but stays behind looks like a wig that slides."""
    _, landmarks, _ = drawn_person
    height = float(np.linalg.norm(landmarks[152, :2] - landmarks[10, :2]))
    matte = np.zeros((400, 400), np.float32)
    centre = landmarks[[10, 152], :2].mean(axis=0)
    cv2.circle(matte, tuple(np.round(centre).astype(int).tolist()), round(0.85 * height), 1.0, -1)
    rings = SurroundingRings(landmarks, matte).rings.reshape(-1, 72, 3)
    forehead, skull = rings[0, 0, 2], rings[-1, 0, 2]  # column 0 goes up from the forehead's middle
    assert rings[1, 0, 2] - forehead < 0.35 * (skull - forehead)
    assert np.all(np.diff(rings[:, 0, 2]) >= -1e-9)


def test_the_light_follows_a_turn_subtly_and_only_a_turn(animator, drawn_person):
    photo = animator._photo
    assert light_of_turn(photo.motion(row()).rotation) == 0
    assert abs(light_of_turn(photo.motion(row(rotationX=12)).rotation)) < 0.1 * STRENGTH
    light = light_of_turn(photo.motion(row(rotationY=12)).rotation)
    assert -STRENGTH < light < -0.3 * STRENGTH  # turned to the picture's right, that side gets darker
    facing = facing_aside(len(drawn_person[0]), drawn_person[1])
    points = np.round(drawn_person[1][[234, 454], :2]).astype(int)
    right, left = (int(facing[y, x]) for x, y in points)
    assert right < -100 and left > 100
    assert np.abs(np.diff(facing.astype(int), axis=1)).max() <= 4 and facing[-1].max() == 0


@pytest.mark.parametrize("width", [4, 12, 40])
@pytest.mark.parametrize("behind", [(0, 0, 0), (40, 160, 90), (230, 230, 230)])
def test_soft_edges_carry_the_persons_own_colour(width, behind):
    """A dark or coloured rim would travel with the head over the new background."""
    own = np.array([200.0, 60.0, 20.0])
    matte = np.clip((128 + width / 2 - np.arange(256)) / width, 0, 1).astype(np.float32)[None].repeat(256, axis=0)
    picture = (matte[..., None] * own + (1 - matte[..., None]) * behind).round().astype(np.uint8)
    background = np.broadcast_to(np.uint8(behind), picture.shape)
    found = without_background(picture, matte, background)
    edge = (matte > 0.05) & (matte < 1)
    assert np.abs(found[edge] - own).max() < 12


def test_the_invented_background_has_no_seam(drawn_person):
    """Before a wall in graded light a ring round the head would be seen at once."""
    crop = frame_photo(drawn_person[0], drawn_person[1], SIZE)
    size = len(crop.picture)
    across = np.linspace(60, 200, size)
    wall = (across[None, :, None] * [0.5, 0.8, 1.0] + across[:, None, None] * 0.1).astype(np.uint8)
    rows, columns = np.mgrid[:size, :size]
    centre = crop.landmarks[:, :2].mean(axis=0)
    matte = (np.hypot(columns - centre[0], rows - centre[1]) < 0.3 * size).astype(np.float32)
    filled = fill_background(np.where(matte[..., None] > 0, np.uint8([180, 90, 60]), wall), matte, crop.landmarks)
    bent = np.abs(filled[:, 2:].astype(int) - 2 * filled[:, 1:-1].astype(int) + filled[:, :-2])
    assert bent[: int(centre[1])].max() <= 6, "no line where the invented begins"
    ring = (np.hypot(columns - centre[0], rows - centre[1]) < 0.34 * size) & (matte == 0)
    assert np.abs(filled.astype(int) - wall)[ring].max() <= 12, "mirrored, the light turns back by twice the depth"
