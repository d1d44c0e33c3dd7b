"""OpenGL draws what the CPU draws; where it is missing, the CPU draws and one sentence says so."""

import threading
import warnings

import cv2
import numpy as np
import pytest

from renderer import backends
from renderer.errors import RenderError
from renderer.face_model import COEFFICIENT_NAMES, neutral_coefficients
from renderer.mesh import MESH_STYLES, MeshRenderer


@pytest.fixture(scope="module")
def rows():
    """At rest, laughing, and turned with one eye shut."""
    values = neutral_coefficients(3)
    for row, name, value in (
        (1, "jawOpen", 0.5), (1, "mouthSmileLeft", 0.8), (1, "mouthSmileRight", 0.8), (2, "rotationY", 0.3),
        (2, "eyeBlinkLeft", 1.0),
    ):  # fmt: skip
        values[row, COEFFICIENT_NAMES.index(name)] += value
    return values


def on_gl(face, size, mesh_style):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        renderer = MeshRenderer(face, size, mesh_style, backend="gl")
    if warned:
        pytest.skip(str(warned[0].message))
    return renderer


@pytest.mark.parametrize("mesh_style", MESH_STYLES)
def test_both_back_ends_draw_one_picture(face, rows, mesh_style):
    """They take other samples at an edge, so there the shades between differ; everywhere else they agree."""
    gl_renderer = on_gl(face, 224, mesh_style)
    for cpu_frame, gl_frame in zip(
        MeshRenderer(face, 224, mesh_style, backend="cpu").render(rows), gl_renderer.render(rows), strict=True
    ):
        difference = np.abs(cpu_frame.astype(int) - gl_frame).max(axis=2)
        around = np.ones((3, 3), np.uint8)
        contrast = (cv2.dilate(gl_frame, around).astype(int) - cv2.erode(gl_frame, around)).max(axis=2)
        flat = contrast < 24
        assert flat.mean() > 0.6
        assert difference[flat].mean() < 0.5 and (difference[flat] > 12).mean() < 5e-4
        assert (difference / np.maximum(contrast, 1))[~flat].mean() < 0.08  # of the step across the edge


def test_transparent_pictures_are_the_same_too(face, rows):
    theirs = next(on_gl(face, 128, "studio").render_transparent(rows))
    ours = next(MeshRenderer(face, 128, backend="cpu").render_transparent(rows))
    opacity, other = ours[..., 3].astype(float), theirs[..., 3].astype(float)
    assert np.abs(opacity - other).mean() < 0.8 and abs(opacity.sum() / other.sum() - 1) < 0.002
    solid = (ours[..., 3] == 255) & (theirs[..., 3] == 255)
    assert np.abs(ours.astype(int) - theirs)[solid].mean() < 1.5


def test_threads_share_the_one_that_draws(face, rows):
    renderers = [on_gl(face, size, "studio") for size in (96, 128)]
    expected = [list(renderer.render(rows)) for renderer in renderers]
    results = {}
    threads = [
        threading.Thread(target=lambda k=k: results.update({k: list(renderers[k % 2].render(rows))})) for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, frames in results.items():
        np.testing.assert_array_equal(frames, expected[k % 2])
    assert len(results) == 4


def test_without_gl_the_cpu_draws_and_says_so_once(face, rows, monkeypatch):
    def missing():
        raise OSError("libEGL.so.1: cannot open shared object file")

    monkeypatch.setattr(backends, "_context", missing)
    with pytest.warns(UserWarning, match=r"libEGL.*CPU draws") as warned:
        renderer = MeshRenderer(face, 64, backend="gl")
    assert len(warned) == 1 and len(list(renderer.render(rows))) == 3
    monkeypatch.setattr(backends, "has_gpu", lambda: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nobody asked for GL: no word about it
        MeshRenderer(face, 64)
    with pytest.raises(RenderError, match="abacus"):
        MeshRenderer(face, 64, backend="abacus")
