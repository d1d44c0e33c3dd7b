"""The photo animator: what a person who looks at the result would miss first."""

import types

import cv2
import numpy as np
import pytest

from renderer.errors import RenderError
from renderer.face_model import COEFFICIENT_NAMES, neutral_coefficients
from renderer.mesh import MeshRenderer
from renderer.portrait import PortraitAnimator, WarpAnimator
from renderer.portrait import matte as matte_module
from renderer.portrait.background import add_hair_strands
from renderer.portrait.layer import ENLARGED, PersonLayer
from renderer.portrait.matte import guided_filter, person_matte
from renderer.portrait.motion import POSE_LIMIT, relative_to_photo, soft_clip
from renderer.portrait.mouth import catmull_rom
from renderer.portrait.topology import EYES, LIPS_LOWER_INNER, LIPS_UPPER_INNER, NOSE_TIP
from renderer.portrait.unfold import signed_areas
from tests.support.drawn_portrait import row

SIZE = 192


def draw(animator: WarpAnimator, **values: float) -> np.ndarray:
    return next(animator.animate(row(**values)[None])).astype(int)


def framed_points(animator: WarpAnimator, indices) -> np.ndarray:
    photo = animator._photo
    return photo.geometry.face[np.asarray(indices), :2] - photo.margin


def test_nothing_moves_when_nothing_is_asked(animator):
    """A listener at rest is the photo itself, not a resampled one."""
    assert np.array_equal(draw(animator), animator._photo.photo_frame)


def test_the_crop_shows_the_face_at_half_the_frames_height(face, drawn_person):
    """Where the photo has room for it: a photo of head and shoulders."""
    picture, landmarks, own = drawn_person
    wide = np.pad(picture, ((0, 100), (80, 80), (0, 0)), mode="edge")
    roomy = WarpAnimator(face, SIZE)
    roomy.set_portrait(wide, landmarks + np.float32([80, 0, 0]), own)
    top, chin = framed_points(roomy, [10, 152])
    assert 0.45 <= (chin[1] - top[1]) / SIZE <= 0.5
    assert abs(0.5 * (top[0] + chin[0]) / SIZE - 0.5) < 0.1


@pytest.mark.parametrize("motion", [{"mouthSmile": 1.0}, {"eyeBlink": 1.0}, {"rotationY": 20}, {"rotationZ": -15}])
def test_the_background_stays_calm(animator, motion):
    moved, still = draw(animator, **motion), animator._photo.photo_frame.astype(int)
    edge = SIZE // 12
    assert np.array_equal(moved[:edge, :edge], still[:edge, :edge])
    assert np.array_equal(moved[: SIZE // 3, -edge:], still[: SIZE // 3, -edge:])


def test_lids_close_with_skin_and_a_lash_line(animator):
    """The eyeball disappears: the opening becomes as bright as the lid's skin, above a darker line."""
    shut, still = draw(animator, eyeBlink=1.0), animator._photo.photo_frame.astype(int)
    for eye in EYES:
        upper, lower = framed_points(animator, eye.upper[3:6]), framed_points(animator, eye.lower[3:6])
        height = float((lower - upper)[:, 1].mean())
        x = round(float(upper[:, 0].mean()))
        y = round(float(upper[:, 1].mean() + 0.3 * height))
        patch = (slice(y - 1, y + 2), slice(x - 2, x + 3))
        skin_y = round(float(framed_points(animator, eye.socket_upper[3:6])[:, 1].mean()))
        skin = still[skin_y - 1 : skin_y + 2, x - 2 : x + 3].mean(axis=(0, 1))
        assert np.abs(shut[patch].mean(axis=(0, 1)) - skin).max() < 45
        meet = round(float(lower[:, 1].mean() - 0.14 * height))
        line = shut[meet - 2 : meet + 3, x - 2 : x + 3].sum(axis=2).mean(axis=1)
        assert line.min() < 0.75 * skin.sum()


def test_an_open_mouth_is_dark_inside_and_has_teeth(animator):
    """Not stretched lips: between them lie a dark cavity and, under the upper lip, something tooth-coloured."""
    opened = draw(animator, jawOpen=0.7)
    photo = animator._photo
    points, _, _ = photo.targets(photo.motion(row(jawOpen=0.7)))
    upper = points[LIPS_UPPER_INNER[4:7], :2].mean(axis=0) - photo.margin
    lower = points[LIPS_LOWER_INNER[4:7], :2].mean(axis=0) - photo.margin
    assert lower[1] - upper[1] > 0.03 * SIZE
    column = opened[round(upper[1]) + 1 : round(lower[1]), round(upper[0])].sum(axis=1)
    assert column.min() < 180
    assert column[: len(column) // 2].max() > column.min() + 120


def test_a_grey_photo_gets_no_red_mouth(face, drawn_person):
    picture, landmarks, own = drawn_person
    animator = WarpAnimator(face, SIZE)
    animator.set_portrait(np.repeat(picture.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2), landmarks, own)
    assert np.ptp(draw(animator, jawOpen=0.6), axis=2).max() <= 15  # lower teeth are a little warmer


def test_a_shut_mouth_stays_shut_while_the_face_moves(animator):
    """A dotted slit between the lips is what a warp shows first."""
    photo = animator._photo
    for motion in ({"rotationX": 12}, {"eyeBlink": 1.0}, {"browInnerUp": 1.0}, {"mouthPress": 0.8}):
        points, _, _ = photo.targets(photo.motion(row(**motion)))
        gap = np.linalg.norm((points[LIPS_UPPER_INNER] - points[LIPS_LOWER_INNER])[:, :2], axis=1)
        assert gap.max() < 0.35


@pytest.mark.parametrize(("name", "axis", "sign"), [("rotationY", 0, 1), ("rotationX", 1, 1)])
def test_the_nose_points_where_the_head_turns(animator, face, name, axis, sign):
    """The same way as the mesh does for the same numbers, more than the silhouette."""
    photo = animator._photo
    world = face.landmarks(np.stack([row(), row(**{name: 12})]))
    towards = (world[1] - world[0])[NOSE_TIP] * [1, -1, 1]  # picture axes
    points, _, _ = photo.targets(photo.motion(row(**{name: 12})))
    moved = points[:, :2] - photo.geometry.face[:, :2]
    assert np.sign(moved[NOSE_TIP, axis]) == np.sign(towards[axis]) == sign
    assert abs(moved[NOSE_TIP, axis]) > 2 * abs(moved[234, axis])


def test_shoulders_move_less_than_the_head(animator):
    photo = animator._photo
    _, targets, sources = photo.targets(photo.motion(row(rotationZ=15)))
    moved = np.linalg.norm(targets[:, :2] - sources, axis=1)
    low = sources[:, 1] > photo.margin + 0.95 * SIZE
    assert low.any()
    assert moved[low].max() < 0.35 * moved[:468].max()


def test_a_gaze_moves_the_iris_and_nothing_else(animator):
    left, right = (
        draw(animator, eyeLookOutLeft=0.8, eyeLookInRight=0.8),
        draw(animator, eyeLookOutRight=0.8, eyeLookInLeft=0.8),
    )
    changed = np.abs(left - right).sum(axis=2) > 30
    rows, _ = np.nonzero(changed)
    assert len(rows) > 10
    corners = framed_points(animator, [33, 133, 263, 362])
    reach = 0.05 * SIZE
    assert rows.min() > corners[:, 1].min() - reach and rows.max() < corners[:, 1].max() + reach
    for eye in EYES:
        x0, x1 = np.sort(framed_points(animator, [eye.upper[0], eye.upper[-1]])[:, 0]).round().astype(int)
        y0 = round(float(framed_points(animator, eye.upper)[:, 1].min()))
        y1 = round(float(framed_points(animator, eye.lower)[:, 1].max())) + 1
        dark = [(765 - frame[y0:y1, x0:x1].sum(axis=2)).clip(0) ** 2.0 for frame in (left, right)]
        centres = [(d.sum(axis=0) * np.arange(d.shape[1])).sum() / d.sum() for d in dark]
        assert centres[0] > centres[1] + 0.3  # the subject's left is the picture's right


def test_no_triangle_folds_over_the_whole_range(animator):
    """A fold is a visible tear. All units at their strongest, all extremes of the head, and mixtures."""
    photo = animator._photo
    geometry = photo.geometry
    own = signed_areas(geometry.sources, geometry.triangles)
    solid = np.abs(own) > 0.02
    rng = np.random.default_rng(5)
    rows = [row(rotationX=x, rotationY=y, rotationZ=z) for x in (-12, 12) for y in (-20, 20) for z in (-15, 15)]
    rows += [row(mouthSmile=1, jawOpen=0.4), row(browDown=1, mouthFrown=1), row(jawOpen=0.7), row(mouthPucker=1)]
    for _ in range(12):
        mixed = row(rotationX=rng.uniform(-12, 12), rotationY=rng.uniform(-20, 20))
        chosen = rng.choice(52, 4, replace=False)
        mixed[chosen] = rng.uniform(0, 0.7, 4)
        rows.append(mixed)
    for number, values in enumerate(rows):
        _, targets, _ = photo.targets(photo.motion(values))
        now = signed_areas(targets, geometry.triangles)
        lost = np.where(solid & (now * np.sign(own) < 0), -now * np.sign(own), 0).sum()
        assert lost < 1e-3 * np.abs(own).sum() / 100, f"row {number} folds {lost:.2f} square pixels"


@pytest.mark.slow
def test_a_smile_in_the_photo_is_not_added_again(face, drawn_person):
    """The photo's own expression is its rest; what it shows already may only be relaxed a little."""
    picture, landmarks, own = drawn_person
    smiling = own.copy()
    smile = [COEFFICIENT_NAMES.index("mouthSmile" + side) for side in ("Left", "Right")]
    smiling[smile] = 0.8
    animator = WarpAnimator(face, SIZE)
    animator.set_portrait(picture, landmarks, smiling)
    assert np.array_equal(draw(animator, mouthSmile=0.8), animator._photo.photo_frame)
    photo = animator._photo
    corner = lambda value: photo.targets(photo.motion(row(mouthSmile=value)))[0][61, 1]  # noqa: E731
    heights = [corner(value) for value in np.linspace(0, 1, 6)]
    assert np.all(np.diff(heights) < 0)  # every step of the reaction still shows
    plain = WarpAnimator(face, SIZE)
    plain.set_portrait(picture, landmarks, own)
    full = plain._photo.targets(plain._photo.motion(row(mouthSmile=1.0)))[0][61, 1] - plain._photo.geometry.face[61, 1]
    assert abs(heights[-1] - photo.geometry.face[61, 1]) < 0.5 * abs(full)


def test_residual_is_zero_at_the_photos_own_value_and_bounded_below():
    assert relative_to_photo(0.6, 0.6, 0.35) == 0
    assert relative_to_photo(0.0, 0.6, 0.35) == pytest.approx(-0.21)
    assert relative_to_photo(-0.2, -0.1, 0.35) == pytest.approx(-0.1)
    assert relative_to_photo(0.2, -0.1, 0.35) == pytest.approx(0.235)


def test_wild_values_are_clamped_and_eased(animator):
    wild = neutral_coefficients()[0] * 1.0
    wild[:52] = 40.0
    wild[52:55] += [3.0, -9.0, 2.0]
    wild[55:] = 1e4
    frame = next(animator.animate(wild[None]))
    assert frame.shape == (SIZE, SIZE, 3) and frame.dtype == np.uint8
    assert np.all(np.abs(soft_clip(np.array([9.0, -9.0, 0.3]), POSE_LIMIT)) <= POSE_LIMIT)
    assert soft_clip(0.1, 1.0) == pytest.approx(0.1)


def test_the_same_numbers_give_the_same_frames_whatever_came_before(animator, face, drawn_person):
    rows = np.stack([row(jawOpen=0.3, rotationY=9), row(eyeBlink=0.7, mouthSmile=0.5)])
    first = np.stack(list(animator.animate(rows)))
    other = WarpAnimator(face, SIZE)
    other.set_portrait(*drawn_person)
    assert np.array_equal(first, np.stack(list(other.animate(rows))))
    assert np.array_equal(first[1], next(animator.animate(rows[1:])))


def test_frames_are_streamed(animator):
    """An hour of coefficients costs no more memory than one frame of them, and no work before it is asked for."""
    frames = animator.animate(np.tile(row(), (90_000, 1)))
    assert isinstance(frames, types.GeneratorType)
    assert next(frames).shape == (SIZE, SIZE, 3)
    assert isinstance(animator, PortraitAnimator)


def test_motion_is_smooth_in_time(animator):
    """A slow nod with a blink has no frame that jumps."""
    phase = np.linspace(0, np.pi, 26)
    rows = np.stack([row(rotationX=8 * np.sin(p), eyeBlink=0.5 - 0.5 * np.cos(2 * p)) for p in phase])
    frames = np.stack(list(animator.animate(rows))).astype(float)
    steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() < 4 * np.median(steps) + 0.2


@pytest.mark.parametrize("shape", [(333, 501), (401, 260)])
def test_odd_sizes_and_tight_photos(face, drawn_person, shape):
    """What lies outside a tight photo is a soft continuation of its edge, never a black bar."""
    picture, landmarks, own = drawn_person
    height, width = shape
    nose = landmarks[NOSE_TIP]
    left, top = int(np.clip(nose[0] - width / 2, 0, None)), int(np.clip(nose[1] - height / 2, 0, None))
    cut = picture[top : top + height, left : left + width]
    animator = WarpAnimator(face, 97)
    animator.set_portrait(cut, landmarks - np.float32([left, top, 0]), own)
    frame = next(animator.animate(row(rotationZ=10)[None]))
    assert frame.shape == (97, 97, 3)
    ground = picture[2, 2].astype(int).sum()
    assert frame[:4].astype(int).sum(axis=2).mean() > 0.5 * ground


def test_bad_input_is_refused_in_one_sentence(face, drawn_person):
    picture, landmarks, own = drawn_person
    animator = WarpAnimator(face, SIZE)
    with pytest.raises(RenderError, match="No portrait"):
        animator.animate(own[None])
    broken = landmarks.copy()
    broken[7, 1] = np.nan
    cases = [
        (picture, landmarks[:468], own, "478 landmarks"),
        (picture, broken, own, "not finite"),
        (picture, landmarks * 0.02, own, "pixels high"),
        (picture, landmarks + 5000, own, "outside the photo"),
        (np.dstack([picture, picture[..., :1]]), landmarks, own, "RGB"),
        (picture.astype(float), landmarks, own, "8 bits"),
        (picture, landmarks, own[:57], "58 numbers"),
        (picture, landmarks, np.full(58, np.nan), "NaN"),
    ]
    for image, points, values, words in cases:
        with pytest.raises(RenderError, match=words) as caught:
            animator.set_portrait(image, points, values)
        assert "\n" not in str(caught.value)
    animator.set_portrait(picture, landmarks, own)
    with pytest.raises(RenderError, match="58"):
        animator.animate(np.zeros((3, 57)))
    bad = np.tile(own, (3, 1))
    bad[1, 4] = np.inf
    with pytest.raises(RenderError, match="frame 1"):
        animator.animate(bad)
    with pytest.raises(RenderError, match="size"):
        WarpAnimator(face, 8)


def test_shoulders_hardly_follow_a_tilting_head(animator):
    """A tilt has a long lever there: a tenth of it would already lift one shoulder out of the picture."""
    photo = animator._photo
    _, targets, sources = photo.targets(photo.motion(row(rotationZ=15)))
    travel = np.linalg.norm(targets[:, :2] - sources, axis=1) / photo.geometry.height
    chin, forehead = photo.geometry.face[152, :2], photo.geometry.face[10, :2]
    beside = np.abs(sources[:, 0] - chin[0]) > 0.65 * photo.geometry.height
    low = (sources[:, 1] > chin[1] + 0.2 * photo.geometry.height) & (sources[:, 1] < photo.size + photo.margin)
    assert (beside & low).sum() > 10
    assert travel[beside & low].max() < 0.03
    assert np.linalg.norm(targets[10, :2] - forehead) / photo.geometry.height > 0.2


def test_single_strands_before_a_calm_wall_move_with_the_head():
    picture, matte = np.full((200, 200, 3), 180, np.uint8), np.zeros((200, 200), np.float32)
    picture[60:140, 60:140], matte[60:140, 60:140] = 40, 1.0
    picture[55:60, 100:103] = 60  # a strand just outside
    picture[20:30, 20:30] = 60  # something else on the wall
    grown = add_hair_strands(matte, picture, np.full_like(picture, 180))
    assert grown[57, 101] > 0.8 and grown[57, 80] < 0.1 and grown[25, 25] == 0
    noisy = np.random.default_rng(0).integers(0, 255, picture.shape).astype(np.uint8)
    np.testing.assert_allclose(add_hair_strands(matte, picture, noisy), matte, atol=1e-3)


def test_the_matte_is_the_drawn_persons_outline(face, drawn_person):
    """The renderer knows which pixels it drew: a matte that misses hair or shoulders tears them off in a turn."""
    picture, landmarks, coefficients = drawn_person
    drawn = next(iter(MeshRenderer(face, len(picture)).render_transparent(coefficients[None])))[..., 3] > 127
    person = person_matte(picture, landmarks) > 0.5
    assert (person & drawn).sum() / (person | drawn).sum() > 0.95


def test_somebody_else_in_the_photo_stays_behind(drawn_person):
    picture, landmarks, _ = drawn_person
    size = len(picture)
    two = np.concatenate([picture, np.full_like(picture[:, : size // 8], picture[2, 2]), picture], axis=1)
    square = np.repeat(two[:1], (two.shape[1] - size), axis=0)
    matte = person_matte(np.concatenate([square, two]), landmarks + np.float32([0, len(square), 0]))
    assert matte[len(square) :, :size].mean() > 0.3
    assert matte[:, size + size // 8 :].max() == 0


def test_the_face_moves_even_where_the_segmenter_sees_nobody(drawn_person):
    """An empty picture stands for a line drawing: without its face the background would be taken for the person."""
    _, landmarks, _ = drawn_person
    matte = person_matte(np.full((400, 400, 3), 255, np.uint8), landmarks)
    nose = np.round(landmarks[NOSE_TIP, :2]).astype(int)
    assert matte[nose[1], nose[0]] == 1
    assert matte[:20].max() == 0 and matte.mean() < 0.3


def test_a_masks_edge_follows_the_pictures():
    """The network's pixels are three of the picture's wide."""
    picture = np.zeros((120, 120, 3), np.uint8)
    picture[:, 60:] = 200
    mask = np.tile(np.interp(np.arange(120), [52, 76], [0, 1]).astype(np.float32), (120, 1))  # soft, and 4 pixels off
    across = guided_filter(mask, picture, 12)[60]
    assert 58 <= np.argmax(across > 0.5) <= 62
    assert across[60] - across[59] > 5 * np.diff(mask[60]).max()


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_another_segmenter_than_the_official_one_is_refused(drawn_person, tmp_path, monkeypatch, damage):
    file = tmp_path / "segmenter.tflite"
    if damage == "damaged":
        file.write_bytes(matte_module.MODEL.read_bytes()[:-1] + b"?")
    monkeypatch.setattr(matte_module, "MODEL", file)
    with pytest.raises(RenderError, match=r"segmenter\.tflite.*restore it"):
        person_matte(drawn_person[0], drawn_person[1])


def test_lips_are_bows_through_their_landmarks():
    lip = np.array([[0, 0], [1, 2], [3, 4], [5, 4.2], [8, 0]], float)
    bow = catmull_rom(lip)
    np.testing.assert_allclose(bow[::4], lip)

    def sharpest(line):
        ways = np.diff(line, axis=0)
        angles = np.unwrap(np.arctan2(ways[:, 1], ways[:, 0]))
        return np.degrees(np.abs(np.diff(angles)).max())

    assert sharpest(bow) < 0.6 * sharpest(lip)


def test_the_quick_layer_looks_as_bicubic_interpolation_of_the_photo_itself(drawn_person):
    """A turned and bent person, half lit, over a ground of one colour, beside the definition in plain numpy."""
    size, offset = 192, 32
    rgb = cv2.resize(drawn_person[0], (size + 2 * offset,) * 2, interpolation=cv2.INTER_AREA)
    y, x = np.mgrid[: len(rgb), : len(rgb)].astype(np.float32)
    matte = np.clip(100 - np.hypot(x - 128, y - 128), 0, 1) * 255
    rgba = np.dstack([rgb, matte.astype(np.uint8)])
    photo, facing = rgb[offset:-offset, offset:-offset].copy(), (x - 128).astype(np.int8)
    ground, light = np.full_like(photo, (40, 90, 140)), 0.08
    y, x = y[offset:-offset, offset:-offset], x[offset:-offset, offset:-offset]
    from_x, from_y = x + 0.1 * (y - 128) + 3 * np.sin(y / 15), y - 0.1 * (x - 128)
    person = cv2.remap(rgba, from_x, from_y, cv2.INTER_CUBIC, None, cv2.BORDER_REPLICATE)
    lit = facing[from_y.round().astype(int).clip(0, 255), from_x.round().astype(int).clip(0, 255)]
    moving = person[..., :3] * (1 + light * lit[..., None] / 127)
    still = (1.25 - np.abs(from_x - x) - np.abs(from_y - y)).clip(0, 1)[..., None]
    behind, before = ground + (photo - ground.astype(float)) * still, moving + (photo - moving) * still
    before = np.where(person[..., 3:] == 255, moving, before)
    expected = (behind + (before - behind) * (person[..., 3:] / 255)).clip(0, 255)
    drawn = PersonLayer(rgba).draw((ENLARGED * from_x, ENLARGED * from_y), offset, (ground, photo), facing, light)
    difference = np.abs(drawn - expected)
    assert difference.mean() < 1 and np.percentile(difference, 99.9) < 16
    assert np.abs(drawn.astype(int) - ground).max() > 50 and (drawn == ground).all(-1).any(), "person and ground"


def test_a_motion_is_the_same_alone_and_among_others(animator):
    """A run is drawn piece by piece while later seconds are made; how it is cut must not be seen."""
    values = np.stack([row(mouthSmile=k / 20, jawOpen=0.03 * k, rotationY=k - 9, eyeBlink=0.05 * k) for k in range(19)])
    source = animator._photo.motion
    for one, alone in zip(source.motions(values), map(source, values), strict=True):
        for name in ("displacement", "rotation", "translation", "lid_closure", "squint", "gaze"):
            np.testing.assert_array_equal(getattr(one, name), getattr(alone, name))
