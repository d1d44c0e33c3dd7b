"""FaceVerse's own texture, normals, lighting and textured picture, against the published code's numbers."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from renderer.errors import RenderError
from renderer.face_model import load_face_model, project
from renderer.faceverse import (
    FaceVerse,
    default_vector,
    react_identity,
    spherical_harmonics,
    split_vector,
    textured_image,
)
from renderer.mesh import MeshRenderer

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = dict(np.load(ROOT / "tests" / "data" / "faceverse_light.npz"))
SMALL = dict(np.load(ROOT / "tests" / "data" / "faceverse_golden_small.npz"))  # 24 of 225 vertices, with their bases


class Still(FaceVerse):
    """A FaceVerse of the stored vertices: the tests need not carry the bases of all of them."""

    def __init__(self, case):
        self.case = case
        head = load_face_model()
        self.face = replace(
            head, triangles=GOLDEN["tri"].astype(np.int32), vertex_faces=GOLDEN["point_buf"].astype(np.int32)
        )

    def vertices(self, packed):
        return GOLDEN[f"{self.case}/vertices_object"]

    def albedo(self, packed):
        return GOLDEN[f"{self.case}/texture"]


@pytest.mark.parametrize("case", ["b1", "b4neg", "b3"])
def test_normals_and_light_are_the_published_ones(case):
    model, packed = Still(case), GOLDEN[f"{case}/packed"]
    np.testing.assert_allclose(model.world_vertices(packed), GOLDEN[f"{case}/vertices_world"], atol=2e-6)
    published = model.normals(packed, as_published=True)
    np.testing.assert_allclose(published, GOLDEN[f"{case}/normals_object"], atol=4e-5)
    turned = model.normals_rotated(packed, as_published=True)
    np.testing.assert_allclose(turned, GOLDEN[f"{case}/normals_rotated"], atol=4e-5)
    np.testing.assert_allclose(model.colours(packed, as_published=True), GOLDEN[f"{case}/color_lit"], atol=5e-3)


def test_a_batch_of_three_is_lit_as_its_rows_alone():
    """The published code takes a cross product over the batch there; its own single rows are the truth."""
    packed = GOLDEN["b3/packed"]
    np.testing.assert_allclose(Still("b3").normals(packed), GOLDEN["b3/normals_object_per_item"], atol=4e-5)
    np.testing.assert_allclose(Still("b3").colours(packed), GOLDEN["b3/color_lit_per_item"], atol=5e-3)


@pytest.mark.slow
def test_the_textured_picture_is_the_published_one():
    focal, size = GOLDEN["img_tex/focal_size"]
    triangles = GOLDEN["tri"].astype(np.uint32)
    expected = GOLDEN["img_tex/rendered"][0]
    image, coverage = textured_image(
        GOLDEN["img_tex/vertices_world"][0], triangles, GOLDEN["img_tex/color_lit"][0], int(size), float(focal)
    )
    np.testing.assert_array_equal(coverage, expected[..., 3])
    np.testing.assert_allclose(image, expected[..., :3], atol=5e-3)


def test_albedo_and_both_kinds_of_landmarks(tmp_path):
    count = len(SMALL["mean"])
    np.savez(
        tmp_path / "model.npz",
        meanshape=SMALL["mean"],
        meantex=GOLDEN["meantex"],
        idBase=SMALL["identity"].reshape(3 * count, -1),
        exBase=SMALL["expression"].reshape(3 * count, -1),
        texBase=GOLDEN["texBase"].reshape(3 * count, -1),
        tri=np.arange(count).reshape(-1, 3),
        point_buf=np.repeat(np.arange(count)[:, None] // 3, 8, axis=1),
        keypoints=np.arange(count),
    )
    model = FaceVerse(load_face_model(tmp_path / "model.npz"))
    packed = GOLDEN["b4neg/packed"]
    np.testing.assert_allclose(model.albedo(packed), GOLDEN["b4neg/texture"][:, :count], atol=2e-4)
    given = model.landmarks(packed, 256)
    if (SMALL["mean"] == GOLDEN["b4neg/vertices_object"][0, :count]).all():
        np.testing.assert_allclose(given, GOLDEN["b4neg/projected_image"][:, :count], atol=2e-4)
    fitted = model.landmarks(packed, 256, fitting=True)
    assert split_vector(packed).expression.min() < 0 and np.abs(given - fitted).max() > 0.01
    positive = packed.copy()
    positive[:, 150:202] = np.abs(positive[:, 150:202])
    np.testing.assert_array_equal(fitted, project(model.world_vertices(positive), 256, 1315.0))


def test_resting_light_and_vector():
    bands = spherical_harmonics(np.array([[0.0, 0.0, 1.0]], np.float32))
    assert bands.shape == (1, 9) and bands[0, 0] * 0.8 == pytest.approx(0.7089815)
    packed = default_vector(2)
    parts = split_vector(packed)
    assert parts.rotation[1, 0] == pytest.approx(np.pi) and parts.translation[1].tolist() == [0, 0, 6]
    with pytest.raises(RenderError, match="486"):
        split_vector(packed[:, 1:])
    with pytest.raises(RenderError, match="FaceVerse"):
        FaceVerse(load_face_model())


def test_the_reference_person_is_drawn_from_150_numbers(tmp_path):
    assert react_identity().shape == (150,) and np.abs(react_identity()).max() > 1
    with pytest.raises(RenderError, match="150"):
        MeshRenderer(load_face_model(), 64, "grey", mesh_identity=react_identity())  # the built-in head is another's


@pytest.mark.slow
def test_the_converting_command_warns_and_asks(tmp_path):
    command = [sys.executable, "-m", "renderer.faceverse", str(tmp_path / "a.npy"), str(tmp_path / "a.npz")]
    absent = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert absent.returncode == 2 and absent.stderr.count("\n") == 1
    np.save(tmp_path / "a.npy", np.array({"meanshape": np.zeros(3)}, object), allow_pickle=True)
    refused = subprocess.run(command, cwd=ROOT, input="no\n", capture_output=True, text=True)
    assert refused.returncode == 1 and "pickle" in refused.stdout
    told = subprocess.run([*command, "--yes"], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 2 and "lacks meantex" in told.stderr
