"""The face model: FaceVerse's published arithmetic, and a built-in head whose parts move as their names say."""

from pathlib import Path

import numpy as np
import pytest

from renderer.errors import RenderError
from renderer.face_model import (
    COEFFICIENT_NAMES,
    EXPRESSION_NAMES,
    convert_faceverse,
    load_face_model,
    neutral_coefficients,
    project,
)

GOLDEN = np.load(Path(__file__).parent / "data" / "faceverse_golden_small.npz")  # 24 of 225 vertices of the fixtures


@pytest.fixture(scope="module")
def head():
    return load_face_model()


@pytest.fixture
def faceverse_arrays():
    """What FaceVerse's own file holds, for a model of 24 vertices."""
    count = len(GOLDEN["mean"])
    faces = np.arange(count).reshape(-1, 3)
    return {
        "meanshape": GOLDEN["mean"],
        "meantex": np.full((count, 3), 128.0, np.float32),
        "idBase": GOLDEN["identity"].reshape(3 * count, -1),
        "exBase": GOLDEN["expression"].reshape(3 * count, -1),
        "texBase": np.zeros((3 * count, 251), np.float32),
        "tri": faces,
        "point_buf": np.repeat(np.arange(count)[:, None] // 3, 8, axis=1),
        "keypoints": np.arange(count),
    }


def posed(**units):
    """Coefficients (1, 58) of an upright face with the given units at the given values."""
    values = neutral_coefficients()
    for name, value in units.items():
        values[0, COEFFICIENT_NAMES.index(name)] = value
    return values


@pytest.mark.parametrize("case", ["b1", "b2", "b2react", "b1default"])
def test_faceverse_geometry_is_the_published_one(case, faceverse_arrays, tmp_path):
    np.savez(tmp_path / "model.npz", **faceverse_arrays)
    model = load_face_model(tmp_path / "model.npz")
    for row, identity in enumerate(GOLDEN[f"{case}/identity"]):
        coefficients = GOLDEN[f"{case}/coefficients"][row : row + 1]
        vertices = model.vertices(coefficients[:, :52], identity)[0]
        world = model.world_vertices(coefficients, identity)[0]
        np.testing.assert_allclose(vertices, GOLDEN[f"{case}/vertices_object"][row], atol=3e-7)
        np.testing.assert_allclose(world, GOLDEN[f"{case}/vertices_world"][row], atol=5e-7)
        np.testing.assert_allclose(project(world, 224), GOLDEN[f"{case}/projected_image"][row], atol=1e-4)


def test_a_faceverse_pickle_is_converted_once_with_a_warning(faceverse_arrays, tmp_path):
    np.save(tmp_path / "faceverse.npy", faceverse_arrays, allow_pickle=True)
    with pytest.raises(RenderError, match=r"convert"):
        load_face_model(tmp_path / "faceverse.npy")
    with pytest.warns(UserWarning, match="pickle"):
        convert_faceverse(tmp_path / "faceverse.npy", tmp_path / "faceverse.npz")
    model = load_face_model(tmp_path / "faceverse.npz")
    np.testing.assert_array_equal(model.mean_shape, GOLDEN["mean"])
    with pytest.raises(RenderError, match="landmarks"):
        model.landmarks(neutral_coefficients())


def test_bad_models_and_coefficients_are_told_in_one_sentence(faceverse_arrays, tmp_path, head):
    with pytest.raises(RenderError, match="no face model"):
        load_face_model(tmp_path / "absent.npz")
    del faceverse_arrays["tri"]
    np.savez(tmp_path / "model.npz", **faceverse_arrays)
    with pytest.raises(RenderError, match="lacks tri"):
        load_face_model(tmp_path / "model.npz")
    with pytest.raises(RenderError, match="58"):
        head.world_vertices(np.zeros((3, 57)))
    with pytest.raises(RenderError, match="identity"):
        head.neutral_vertices(np.zeros(1000))


def test_the_built_in_head_stands_in_faceverses_frame(head):
    """+x to the subject's left, y down, nose towards -z, outer eye corners 0.554 apart, wound outward."""
    rest = head.landmarks(np.zeros((1, 58), np.float32))[0]
    assert rest[263, 0] - rest[33, 0] == pytest.approx(0.554, rel=0.03)
    assert rest[263, 0] > 0 > rest[33, 0]
    assert rest[152, 1] > rest[10, 1]  # the chin below the forehead
    assert rest[4, 2] < rest[[33, 263], 2].min()  # the nose in front of the eyes
    a, b, c = head.mean_shape[head.triangles].transpose(1, 0, 2)
    volume = np.einsum("fk,fk->f", a, np.cross(b, c)).sum()
    assert volume > 0
    assert np.abs(head.expression_basis).max(axis=(0, 1)).min() > 0.01  # no unit is empty


def test_upright_in_the_camera_like_the_trackers_own_head(head):
    """Poses tracked by MediaPipe are drawn as they were: our landmarks lie on its canonical head's (cm values)."""
    ours = head.landmarks(posed(translationX=0.0, translationY=0.0, translationZ=0.0))[0]
    canonical = {
        4: (0.0, -0.463, 7.587),
        33: (-4.446, 2.664, 3.173),
        263: (4.446, 2.664, 3.173),
        152: (0, -9.403, 4.264),
    }
    for number, place in canonical.items():
        np.testing.assert_allclose(ours[number], np.array(place) * 0.554 / 8.892, atol=0.09)


def test_landmarks_move_with_the_units(head):
    rest = head.landmarks(posed())[0]
    np.testing.assert_allclose(head.landmark_weights.sum(axis=1), 1, atol=1e-5)

    jaw = head.landmarks(posed(jawOpen=1.0))[0]
    assert np.linalg.norm(rest[13] - rest[14]) < 0.03
    assert jaw[13, 1] - jaw[14, 1] > 0.15  # world y is up
    assert np.linalg.norm(jaw[[1, 4, 33, 263]] - rest[[1, 4, 33, 263]], axis=1).max() < 0.02

    lids = {"Left": (386, 374), "Right": (159, 145)}
    for side, other in (("Left", "Right"), ("Right", "Left")):
        closed = head.landmarks(posed(**{f"eyeBlink{side}": 1.0}))[0]
        (upper, lower), (upper_other, lower_other) = lids[side], lids[other]
        assert rest[upper, 1] - rest[lower, 1] > 0.04
        assert abs(closed[upper, 1] - closed[lower, 1]) < 0.012
        assert closed[upper_other, 1] - closed[lower_other, 1] > 0.04

    smile = head.landmarks(posed(mouthSmileLeft=1.0))[0]
    assert smile[291, 1] - rest[291, 1] > 0.03  # the subject's left corner rises
    assert abs(smile[61, 1] - rest[61, 1]) < 0.02


def test_landmarks_are_points_of_the_whole_mesh(head):
    values = posed(jawOpen=0.5, mouthSmileLeft=0.7, rotationY=0.3)
    whole = head.world_vertices(values)[0]
    expected = (whole[head.landmark_vertices] * head.landmark_weights[..., None]).sum(axis=1)
    np.testing.assert_allclose(head.landmarks(values)[0], expected, atol=1e-5)


def test_eyeballs_follow_the_gaze(head):
    names = head.part_names
    for side, out, into in (
        ("Left", "eyeLookOutLeft", "eyeLookInLeft"),
        ("Right", "eyeLookInRight", "eyeLookOutRight"),
    ):
        ball = np.unique(head.triangles[head.parts == names.index(f"eye{side}")])
        pupil = ball[head.mean_shape[ball, 2].argmin()]
        units = head.expression_basis[pupil, 0]
        assert units[EXPRESSION_NAMES.index(out)] > 0.02  # towards the subject's left
        assert units[EXPRESSION_NAMES.index(into)] < -0.02
        assert head.expression_basis[pupil, 1, EXPRESSION_NAMES.index(f"eyeLookUp{side}")] < -0.01  # y is down
        assert head.expression_basis[pupil, 1, EXPRESSION_NAMES.index(f"eyeLookDown{side}")] > 0.01


def test_identities_change_the_face_but_not_its_place(head):
    assert len(head.identity_names) == head.identity_basis.shape[2] >= 10
    rest = head.landmarks(posed())[0]
    for k, name in enumerate(head.identity_names):
        other = head.landmarks(posed(), np.eye(len(head.identity_names))[k])[0]
        moved = np.linalg.norm(other - rest, axis=1)
        assert moved.max() > 0.008, name
        assert np.abs((other - rest).mean(axis=0)).max() < 0.05, name


def test_the_reduced_head_is_a_smaller_mesh_of_the_same_face(head):
    reduced = load_face_model(reduced=True)
    assert len(reduced.mean_shape) < len(head.mean_shape)
    assert reduced.triangles.max() < len(reduced.mean_shape)
    np.testing.assert_array_equal(reduced.mean_shape[reduced.ibug_keypoints], head.mean_shape[head.ibug_keypoints])
    assert len(reduced.ibug_keypoints) == 66
