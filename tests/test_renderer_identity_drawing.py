"""A person's own head is drawn with its texture: what a viewer reads off it."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from renderer.errors import RenderError
from renderer.face_model import COEFFICIENT_NAMES, neutral_coefficients, project
from renderer.mesh import MeshRenderer
from renderer.texture_map import fit_texture
from tests.support.made_up_identity import made_up_identity


@pytest.fixture(scope="module")
def identity(face):
    return made_up_identity(face)


@pytest.fixture(scope="module")
def drawn(face, identity):
    return MeshRenderer(face, 256, mesh_identity=identity, backend="cpu")


def posed(**units):
    values = neutral_coefficients()
    for name, value in units.items():
        values[0, COEFFICIENT_NAMES.index(name)] += value
    return values


def picture(renderer, values):
    return next(iter(renderer.render(values))).astype(float)


def at_landmark(renderer, image, values, landmark, margin=2):
    """(3,) mean colour about one of MediaPipe's landmarks."""
    u, v = project(renderer.face.landmarks(values)[0][landmark], renderer.size, renderer.focal).astype(int)
    return image[v - margin : v + margin + 1, u - margin : u + margin + 1].mean(axis=(0, 1))


def test_the_texture_is_seen_where_it_belongs(drawn):
    """Red grows to the picture's right, green downwards: left cheek against right, forehead against chin."""
    image, values = picture(drawn, posed()), posed()
    left, right, forehead, chin = (at_landmark(drawn, image, values, number) for number in (205, 425, 151, 199))
    assert right[0] / right[2] > 1.15 * left[0] / left[2]
    assert chin[1] / chin[2] > 1.1 * forehead[1] / forehead[2]


def test_the_texture_moves_with_the_head(drawn):
    """The same point of the skin keeps its colour's hue when the head turns."""
    hue = []
    for values in (posed(), posed(rotationY=0.35), posed(jawOpen=0.5)):
        colour = at_landmark(drawn, picture(drawn, values), values, 205, 1)
        hue.append(colour[0] / colour[1])
    np.testing.assert_allclose(hue, hue[0], rtol=0.08)


def test_nothing_is_painted_over_the_photo(face, drawn):
    """Brows and lips come from the texture alone; this one has none."""
    image, values = picture(drawn, posed()), posed()
    brow, above = (at_landmark(drawn, image, values, number, 1).mean() for number in (105, 104))
    assert brow > 0.9 * above
    lip, chin = (at_landmark(drawn, image, values, number, 1) for number in (17, 200))
    assert abs(lip[0] / lip[1] - chin[0] / chin[1]) < 0.12
    painted = MeshRenderer(face, 256, backend="cpu")
    image = picture(painted, values)
    lip, chin = (at_landmark(painted, image, values, number, 1) for number in (17, 200))
    assert lip[0] / lip[1] - chin[0] / chin[1] > 0.12  # so the measure sees painted lips


def test_eyes_keep_their_own_colour_and_lids_close_with_skin(face, identity, drawn):
    values = posed()
    u, v = project(face.landmarks(values)[0][[386, 374]].mean(axis=0), 256, drawn.focal).astype(int)
    eye = slice(v - 3, v + 4), slice(u - 4, u + 5)
    seen = picture(drawn, values)[eye]
    assert (seen[..., 2] - seen[..., 0]).max() > 20  # the iris is blue; no skin is
    red = replace(identity, iris=np.array([0.5, 0.1, 0.05], np.float32))
    other = picture(MeshRenderer(face, 256, mesh_identity=red, backend="cpu"), values)[eye]
    assert (other - seen)[..., 0].max() > 40
    dark = replace(identity, sclera=identity.sclera * np.float32(0.5))
    other = picture(MeshRenderer(face, 256, mesh_identity=dark, backend="cpu"), values)[eye]
    assert (seen - other).max() > 20
    left = picture(drawn, posed(eyeLookOutLeft=1.0, eyeLookInRight=1.0))[eye]
    assert np.abs(left - seen).max() > 60  # the gaze moves the iris
    lids = picture(drawn, posed(eyeBlinkLeft=1.0, eyeBlinkRight=1.0))[eye]
    assert (lids[..., 0] >= lids[..., 2]).all() and np.median(lids) > 80


def test_where_there_is_no_texture_the_average_colour_stands_in(face, identity):
    """Half of the head has no place in the texture: it looks like the other half's skin, not like another person's."""
    uv = identity.texture_uv.copy()
    uv[face.mean_shape[face.triangles][:, :, 0].mean(axis=1) > 0] = np.nan
    image, values = picture(MeshRenderer(face, 256, mesh_identity=replace(identity, texture_uv=uv)), posed()), posed()
    renderer = MeshRenderer(face, 256)
    left, right = (at_landmark(renderer, image, values, number) for number in (205, 425))
    assert abs(left[0] / left[2] - right[0] / right[2]) < 0.25


def test_a_fine_texture_is_averaged_before_it_is_drawn(face, identity):
    """A chequered texture of single texels is grey at any size; picking texels would draw noise that shimmers."""
    chequered = np.zeros((2048, 2048, 3), np.uint8)
    chequered[::2, ::2] = chequered[1::2, 1::2] = 255
    values = posed()
    frame = picture(MeshRenderer(face, 128, mesh_identity=replace(identity, texture=chequered)), values)
    forehead = frame[30:40, 55:72]
    assert np.abs(np.diff(forehead, axis=1)).max() < 6
    assert forehead.mean() > 120  # half of the light, which is more than half of the number
    fitted = fit_texture(chequered, identity.texture_uv, identity.shape, face.triangles, 60.0)
    assert fitted.texels.size < chequered.size / 16


def test_hair_is_seen_from_both_sides(face):
    bare, hairy = made_up_identity(face), made_up_identity(face, hair=True)
    inside_out = replace(hairy, hair=replace(hairy.hair, triangles=hairy.hair.triangles[:, ::-1]))
    covered = [
        next(MeshRenderer(face, 128, mesh_identity=who).render_transparent(posed()))[..., 3].astype(int).sum() / 255
        for who in (bare, hairy, inside_out)
    ]
    assert covered[1] > covered[0] + 200 and covered[2] == covered[1]
    values = posed()
    with_hair, without = (picture(MeshRenderer(face, 128, mesh_identity=who), values) for who in (hairy, bare))
    red, green, blue = with_hair[np.abs(with_hair - without).max(axis=2) > 40].mean(axis=0)
    assert red > 1.2 * blue and green > 1.15 * blue  # the texture's own corner, not the scalp's colour


def test_a_transparent_textured_head_over_its_wall_is_the_opaque_picture(drawn):
    values = posed(jawOpen=0.3, rotationY=0.2)
    cut, whole = next(drawn.render_transparent(values)), next(drawn.render(values))
    opaque = cut[..., 3] == 255
    assert 0.2 < opaque.mean() < 0.8
    np.testing.assert_array_equal(cut[opaque][:, :3], whole[opaque])


def test_the_grey_style_draws_the_persons_shape(face, identity):
    wider = replace(identity, shape=identity.shape * np.array([1.2, 1, 1], np.float32))
    narrow, wide = (
        (picture(MeshRenderer(face, 128, "grey", mesh_identity=who), posed()) > 0).sum() for who in (identity, wider)
    )
    assert wide > 1.1 * narrow


def test_an_identity_of_another_head_is_refused(face, identity):
    with pytest.raises(RenderError, match="another head"):
        MeshRenderer(face, mesh_identity=replace(identity, shape=identity.shape[:-1]))
    for texture in (identity.texture[..., 0], identity.texture[:1], identity.texture / 255):
        with pytest.raises(RenderError, match="colour picture"):
            MeshRenderer(face, mesh_identity=replace(identity, texture=texture))
    with pytest.raises(RenderError, match="built-in head"):
        MeshRenderer(replace(face, parts=None), mesh_identity=identity)


def test_opengl_draws_the_same_textured_picture(face):
    identity = made_up_identity(face, hair=True)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        other = MeshRenderer(face, 224, mesh_identity=identity, backend="gl")
    if warned:
        pytest.skip(str(warned[0].message))
    rows = np.concatenate([posed(), posed(jawOpen=0.5, mouthSmileLeft=0.8), posed(rotationY=0.3, eyeBlinkLeft=1.0)])
    ours = MeshRenderer(face, 224, mesh_identity=identity, backend="cpu")
    for cpu_frame, gl_frame in zip(ours.render(rows), other.render(rows), strict=True):
        difference = np.abs(cpu_frame.astype(int) - gl_frame).max(axis=2)
        contrast = np.zeros(difference.shape, int)
        for axis in (0, 1):
            step = np.abs(np.diff(gl_frame.astype(int), axis=axis)).max(axis=2)
            contrast[tuple(slice(1, None) if a == axis else slice(None) for a in (0, 1))] += step
            contrast[tuple(slice(None, -1) if a == axis else slice(None) for a in (0, 1))] += step
        flat = contrast < 24
        assert flat.mean() > 0.6
        assert difference[flat].mean() < 0.5 and (difference[flat] > 12).mean() < 5e-4


def test_high_hair_stays_in_the_picture(face, identity):
    """The camera steps back from a tall head, and from nobody else."""
    shape = identity.shape.copy()
    above_brows = np.minimum(shape[:, 1] + 0.3, 0)  # y points down
    shape[:, 1] += 0.2 * above_brows
    tall = MeshRenderer(face, 128, mesh_identity=replace(identity, shape=shape), backend="cpu")
    usual = MeshRenderer(face, 128, mesh_identity=identity, backend="cpu")
    assert tall.focal < usual.focal <= MeshRenderer(face, 128, backend="cpu").focal
    assert not next(iter(tall.render_transparent(posed())))[:3, :, 3].any(), "air above the head"
    corners = next(iter(tall.render_transparent(posed())))[-1, [0, -1], 3]
    assert (corners == 255).all(), "the shoulders reach the picture's corners"
