"""The mesh's pictures: what a viewer reads off them, and what bad numbers do."""

import os
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from renderer.coefficients import implausibility_note, plausible_coefficients
from renderer.errors import RenderError
from renderer.face_model import COEFFICIENT_NAMES, load_face_model, neutral_coefficients, project
from renderer.hair import LASHES
from renderer.mesh import MeshRenderer, grey_image
from renderer.mesh_identities import MESH_IDENTITIES, MeshIdentity
from renderer.posing import pose_bust

ROOT = Path(__file__).resolve().parent.parent
SIDES = ("Left", "Right")
GOLDEN = np.load(Path(__file__).parent / "data" / "faceverse_golden_small.npz")


@pytest.fixture(scope="module")
def head():
    return load_face_model()


@pytest.fixture(scope="module")
def studio(head):
    return MeshRenderer(head)


def posed(**units):
    values = neutral_coefficients()
    for name, value in units.items():
        values[0, COEFFICIENT_NAMES.index(name)] = value
    return values


def picture(renderer, values):
    return next(iter(renderer.render(values)))


def around(renderer, image, values, landmarks, margin=2):
    """The rectangle of `image` about some landmarks."""
    u, v = project(renderer.face.landmarks(values)[0][landmarks], renderer.size, renderer.focal).T
    top, left = int(v.min()) - margin, int(u.min()) - margin
    return image[max(top, 0) : int(v.max()) + margin + 1, max(left, 0) : int(u.max()) + margin + 1]


def test_grey_style_reproduces_the_published_picture():
    focal, size = GOLDEN["grey/focal_size"]
    triangles = GOLDEN["grey/tri"].astype(np.int32)
    for world, expected, covered in zip(
        GOLDEN["grey/vertices_world"], GOLDEN["grey/image"], GOLDEN["grey/coverage"], strict=True
    ):
        image = grey_image(world, triangles, int(size), float(focal))
        np.testing.assert_array_equal(image > 0, covered)
        np.testing.assert_allclose(image, expected, atol=2e-3)


def test_grey_style_is_grey_on_black_in_faceverses_framing(head):
    image = picture(MeshRenderer(head, 224, "grey"), posed())
    assert image.shape == (224, 224, 3) and image.dtype == np.uint8
    assert (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all()
    assert image[0, 0].max() == 0 and 150 < image.max() <= 210


def test_studio_frames_the_whole_head_at_any_size(head):
    """Crown and ears stay inside, and the head is the picture."""
    for size in (64, 255, 256):
        renderer = MeshRenderer(head, size)
        image = picture(renderer, posed())
        assert image.shape == (size, size, 3)
        world = pose_bust(renderer._shape[None], posed(), renderer._head_weight)[0][: len(head.mean_shape)]
        world = world[head.head_weight == 1]
        u, v = project(world, size, renderer.focal).T
        assert 0 < v.min() < 0.1 * size
        assert u.min() > 0.1 * size and u.max() < 0.9 * size
        assert v.max() - v.min() > 0.65 * size


def test_antialiased_before_a_quiet_background(studio):
    image = picture(studio, posed()).astype(int)
    silhouette = np.abs(np.diff(image[: studio.size // 8, 100:156, 1], axis=0)).max(axis=0)
    contrast = image[0, 128, 1] - image[studio.size // 8, 100:156, 1].mean()
    assert np.median(silhouette) < 0.85 * contrast  # most columns step from background to hair over two pixels
    assert np.abs(np.diff(image[:40, :20].mean(axis=2), axis=1)).max() < 4


def test_each_face_part_answers_its_unit(studio):
    rest = picture(studio, posed()).astype(int)
    lips, eye, brow = [61, 291, 13, 14, 17, 0], [33, 133, 159, 145], [70, 63, 105, 66, 107]

    closed = picture(studio, posed(eyeBlinkLeft=1.0, eyeBlinkRight=1.0)).astype(int)
    white = around(studio, rest, posed(), eye)
    lid = around(studio, closed, posed(), eye)
    blueness = [(part[..., 2] - part[..., 0]).max() for part in (white, lid)]
    assert blueness[0] > 0 > blueness[1]  # the eyeball's white and iris are gone, skin remains

    opened = picture(studio, posed(jawOpen=0.7)).astype(int)
    values = posed(jawOpen=0.7)
    assert around(studio, opened, values, [13, 14]).min() < 60  # a dark mouth between the lips
    assert around(studio, rest, posed(), [17, 18], 1).min() > 70

    laugh = posed(jawOpen=0.35, mouthSmileLeft=0.9, mouthSmileRight=0.9, mouthUpperUpLeft=0.6, mouthUpperUpRight=0.6)
    teeth = around(studio, picture(studio, laugh).astype(int), laugh, lips)
    pale = (teeth.min(axis=2) > 150) & (np.ptp(teeth, axis=2) < 60)
    rest_lips = around(studio, rest, posed(), lips)
    assert pale.sum() > 20 + ((rest_lips.min(axis=2) > 150) & (np.ptp(rest_lips, axis=2) < 60)).sum()

    raised = posed(browInnerUp=1.0, browOuterUpLeft=1.0, browOuterUpRight=1.0)
    dark_row, bald = [], MeshRenderer(studio.face, mesh_identity=MeshIdentity(hair=False))
    for values in (posed(), raised):
        part = around(bald, picture(bald, values).astype(float), posed(), brow, 6).mean(axis=2)
        dark_row.append((part.min(axis=1)).argmin())
    assert dark_row[1] <= dark_row[0] - 1  # the brow's line rose by a pixel at least


def test_teeth_are_white_and_the_tongue_is_red(head):
    """Grey teeth make a smile a grimace, a pale tongue looks like a ball in the mouth."""
    smile = {f"{unit}{side}": value for unit, value in (("mouthSmile", 1.0), ("mouthUpperUp", 0.5)) for side in SIDES}
    for name in ("Alex", "Kofi"):
        renderer = MeshRenderer(head, 512, mesh_identity=name)
        values = posed(jawOpen=0.2, **smile)
        teeth = around(renderer, picture(renderer, values).astype(int), values, [13, 14, 82, 312], 0)
        white = (teeth.min(axis=2) > 185) & (np.ptp(teeth, axis=2) < 35)
        assert white.mean() > 0.3, name
        values = posed(jawOpen=0.8)
        mouth = around(renderer, picture(renderer, values).astype(int), values, [13, 14, 82, 312], 0)
        red, green, blue = np.median(mouth[len(mouth) // 2], axis=0)
        assert 90 < red < 200 and red > 1.6 * green and red > 1.6 * blue


def test_iris_goes_where_the_gaze_goes(studio):
    """Looking to the subject's left moves the dark iris to the picture's right."""

    def iris(values):
        part = around(studio, picture(studio, values).astype(float), posed(), [263, 362, 386, 374], 0)
        dark = np.clip(140 - part.max(axis=2), 0, None)[1:-1]
        return (dark.sum(axis=0) * np.arange(part.shape[1])).sum() / dark.sum()

    left = iris(posed(eyeLookOutLeft=1.0, eyeLookInRight=1.0))
    right = iris(posed(eyeLookInLeft=1.0, eyeLookOutRight=1.0))
    assert left > iris(posed()) > right
    assert left - right > 3


def test_eyeballs_never_pierce_the_closed_lids(head):
    renderer = MeshRenderer(head, 512)
    for look in ({}, {"eyeLookDownLeft": 1.0}, {"eyeLookOutLeft": 0.7}, {"eyeLookUpLeft": 0.7}):
        values = posed(eyeBlinkLeft=1.0, **look)
        image = around(renderer, picture(renderer, values).astype(int), values, [263, 362, 386, 374], 4)
        assert (image[..., 2] >= image[..., 0]).sum() <= 6, look  # skin is red, eyeballs are not


def test_turning_the_head_leaves_the_shoulders(studio):
    """A turned head on a turned bust looks like a figurine."""
    strip = slice(int(studio.size * 0.95), None)
    rest = picture(studio, posed()).astype(int)
    turned = picture(studio, posed(rotationY=np.radians(20))).astype(int)
    still, moved = (np.abs(turned[part] - rest[part]).mean() for part in (strip, slice(60, 180)))
    assert moved > 5 * still


def test_identities_differ_and_names_are_checked(head):
    images = [picture(MeshRenderer(head, 96, mesh_identity=name), posed()).astype(int) for name in MESH_IDENTITIES]
    for i, one in enumerate(images):
        for other in images[:i]:
            assert np.abs(one - other).mean() > 5
    with pytest.raises(RenderError, match="Alex"):
        MeshRenderer(head, mesh_identity="Nobody")
    with pytest.raises(RenderError, match="studio"):
        MeshRenderer(head, mesh_style="oil")
    with pytest.raises(RenderError, match="size"):
        MeshRenderer(head, size=0)


def test_frames_are_streamed_and_do_not_depend_on_their_neighbours(studio):
    rng = np.random.default_rng(1)
    values = neutral_coefficients(70)
    values[:, :52] = rng.uniform(0, 0.5, (70, 52))
    frames = list(studio.render(values))
    assert len(frames) == 70
    np.testing.assert_array_equal(picture(studio, values[40:]), frames[40])
    hours = np.broadcast_to(neutral_coefficients()[0], (100_000, 58))
    assert len(list(islice(studio.render(hours), 2))) == 2


def test_two_threads_share_a_renderer(studio):
    values = np.concatenate([posed(jawOpen=k / 6, rotationY=0.1 * k) for k in range(6)])
    expected = list(studio.render(values))
    results = {}
    threads = [threading.Thread(target=lambda k=k: results.update({k: list(studio.render(values))})) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for frames in results.values():
        np.testing.assert_array_equal(frames, expected)
    assert len(results) == 3


def test_bad_numbers_are_refused_and_implausible_ones_clamped(studio):
    for bad in (np.nan, np.inf):
        values = neutral_coefficients(3)
        values[1, 7] = bad
        with pytest.raises(RenderError, match="frame 1"):
            studio.render(values)
    with pytest.raises(RenderError, match="58"):
        studio.render(np.zeros((4, 52)))
    wild = np.concatenate([np.full((1, 58), 1e6), np.full((1, 58), -1e6), neutral_coefficients()]).astype(np.float32)
    frames = list(studio.render(wild))
    assert len(frames) == 3
    np.testing.assert_array_equal(picture(studio, posed(jawOpen=9.0)), picture(studio, posed(jawOpen=1.0)))


def test_angles_a_whole_turn_apart_are_the_same_pose():
    """rotationX rests at pi: a tracker may as well report -pi."""
    values = posed(rotationX=-np.pi + 0.1)
    np.testing.assert_allclose(plausible_coefficients(values)[0, 52], np.pi + 0.1, atol=1e-5)


@pytest.mark.slow
def test_a_read_only_installation_draws(tmp_path):
    """Neither beside the code nor in the home folder can numba keep its compiled code there."""
    package = tmp_path / "renderer"
    package.mkdir()
    for name in ("__init__.py", "errors.py", "jit.py", "rasterizer.py"):
        (package / name).write_bytes((ROOT / "renderer" / name).read_bytes())
    for folder in (package, tmp_path):
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    code = (
        "import numba.core.caching as c\n"
        "c._CacheLocator.ensure_cache_path = lambda self: (_ for _ in ()).throw(OSError('read-only'))\n"
        "import numpy as np\n"
        "from renderer.rasterizer import project_to_screen\n"
        "out = np.zeros((1, 3), np.float32)\n"
        "project_to_screen(np.zeros((1, 3), np.float32), 100.0, 32, 64, 10.0, out)\n"
        "print(out[0])\n"
    )
    environment = {**os.environ, "HOME": "/nonexistent", "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    try:
        run = subprocess.run([sys.executable, "-c", code], env=environment, cwd="/", capture_output=True, text=True)
    finally:
        for folder in (tmp_path, package):
            folder.chmod(stat.S_IRWXU)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[32.  32.   0.1]"


def test_a_transparent_head_over_its_wall_is_the_opaque_picture(studio):
    values = posed(jawOpen=0.3, rotationY=0.2)
    cut, whole = next(studio.render_transparent(values)), picture(studio, values)
    assert cut.shape == (256, 256, 4)
    opaque = cut[..., 3] == 255
    np.testing.assert_array_equal(cut[opaque][:, :3], whole[opaque])
    assert cut[2, 2, 3] == 0 and cut[250, 128, 3] == 255
    rim = (cut[..., 3] > 0) & ~opaque
    assert rim.sum() > 200  # antialiased


def test_the_grey_style_is_antialiased_and_can_be_transparent(head):
    """The rims of lids and lips are thinner than a pixel: drawn with one sample they were dashes of black."""
    renderer = MeshRenderer(head, 256, "grey")
    whole, cut = picture(renderer, posed()), next(renderer.render_transparent(posed()))
    eyes = around(renderer, whole.astype(int), posed(), [33, 133, 159, 145])
    assert eyes.min() > 45
    opacity = cut[..., 3].astype(int)
    rim = (opacity > 0) & (opacity < 255)
    assert 200 < rim.sum() < 2000 and opacity[0, 0] == 0 and opacity[128, 128] == 255
    assert np.abs(cut[..., 0] * (opacity / 255) - whole[..., 0]).max() < 2


def test_implausible_coefficients_are_named_once():
    rows = np.repeat(neutral_coefficients(), 4, axis=0)
    rows[:, 3] = 1.2  # trackers overstep a little all the time
    assert implausibility_note(rows) is None
    rows[2, COEFFICIENT_NAMES.index("jawOpen")] = 7.0
    rows[3, COEFFICIENT_NAMES.index("rotationY")] = 2.0
    sentence = implausibility_note(rows)
    assert "2 of 4 frames" in sentence and "jawOpen" in sentence and "rotationY" in sentence and "\n" not in sentence


def test_beard_brows_and_lips_belong_to_the_identity(head, studio):
    plain = picture(studio, posed()).astype(float)
    sharp = {"chin": [199, 200], "cheek": [205, 425], "mouth": [14, 17]}

    def tone(person, part):
        renderer = MeshRenderer(head, mesh_identity=person)
        image = picture(renderer, posed()).astype(float)
        return around(renderer, image, posed(), sharp[part], 1).mean()

    bearded = MeshIdentity(beard_density=0.8)
    assert tone(bearded, "chin") < 0.75 * tone(MeshIdentity(), "chin")
    assert abs(tone(bearded, "cheek") - tone(MeshIdentity(), "cheek")) < 12  # it ends below the cheekbones
    brows = []
    for brow in (1.0, 1.8):
        renderer = MeshRenderer(head, mesh_identity=MeshIdentity(brow_thickness=brow, hair=False))
        part = around(renderer, picture(renderer, posed()).astype(float), posed(), [70, 63, 105, 66, 107], 5)
        brows.append((part.mean(axis=2) < 0.75 * np.median(part)).sum())
    assert brows[1] > 1.3 * brows[0] > 20
    paler = picture(MeshRenderer(head, mesh_identity=MeshIdentity(lip_inset=0.02)), posed()).astype(float)
    mouth = [around(studio, image, posed(), [0, 17, 61, 291], 1) for image in (plain, paler)]
    reds = [(part[..., 0] - part[..., 1] > 60).sum() for part in mouth]
    assert reds[1] < 0.85 * reds[0]


def test_hair_frames_the_face_and_never_hides_it(head):
    """Locks differ between people, hang where they grow, and leave eyes and mouth free in every pose of a reaction."""
    poses = np.concatenate([posed(), posed(rotationY=0.35), posed(rotationY=-0.35), posed(rotationX=np.pi + 0.2)])
    outlines = []
    for person in MESH_IDENTITIES.values():
        renderer, bare = (MeshRenderer(head, 128, mesh_identity=who) for who in (person, replace(person, hair=False)))
        for values, seen, free in zip(poses, renderer.render(poses), bare.render(poses), strict=True):
            for part in ([133, 159, 145], [362, 386, 374], [61, 291, 13, 14]):
                here = [around(renderer, image.astype(int), values[None], part, 0) for image in (seen, free)]
                assert np.abs(here[0] - here[1]).mean() < 6, person.haircut
        outlines.append(next(renderer.render_transparent(poses[:1]))[..., 3] > 127)
    cut = [person.haircut for person in MESH_IDENTITIES.values()]
    long, cropped = outlines[cut.index("long")], outlines[cut.index("cropped")]
    assert long[70:100].sum() > 1.3 * cropped[70:100].sum()  # beside cheeks and neck


def test_lashes_lie_on_the_shut_lid_and_point_up_on_the_open_one(studio):
    first, count = len(studio.face.mean_shape), 2 * LASHES * 3
    assert len(studio._shape) > first + count  # the locks come before
    rows = neutral_coefficients(2)
    rows[1, [8, 9]] = 1.0  # both lids
    ((_, vertices),) = studio._object_vertices(rows)
    for points, way in zip(vertices[:, -count:], (-1, 1), strict=True):  # y points down
        root, tip = points.reshape(-1, 3, 3)[:, :2].mean(axis=1), points.reshape(-1, 3, 3)[:, 2]
        assert (way * (tip - root)[:, 1] > 0.005).all()
