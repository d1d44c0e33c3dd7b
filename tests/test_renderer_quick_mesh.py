"""The quick way of drawing the studio style against the slow one: every pixel from all its samples, point by point."""

import threading

import numpy as np
import pytest

from renderer.backends import CPUBackend
from renderer.face_model import COEFFICIENT_NAMES, load_face_model, neutral_coefficients
from renderer.mesh import MeshRenderer
from tests.support.made_up_identity import made_up_identity

POSES = (
    {},
    {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "mouthUpperUpLeft": 0.6, "mouthUpperUpRight": 0.6},
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    {"jawOpen": 0.6, "tongueOut": 0.5},
    {"rotationY": 0.35},
    {"rotationY": -0.35, "rotationX": 0.2},
)


@pytest.fixture(scope="module")
def face():
    return load_face_model()


@pytest.fixture(scope="module")
def rows():
    values = neutral_coefficients(len(POSES))
    for row, pose in zip(values, POSES, strict=True):
        for name, value in pose.items():
            row[COEFFICIENT_NAMES.index(name)] += value
    return values


def slowly(renderer):
    """The renderer with the measure of all quick drawing in place of its back end."""
    renderer._backend = CPUBackend(renderer._backend._scene, supersample=True)
    return renderer


@pytest.mark.parametrize(("who", "size"), [("Alex", 256), ("Yuna", 128), ("Kofi", 512), ("listener", 256)])
def test_the_quick_picture_looks_like_the_slow_one(face, rows, who, size):
    person = made_up_identity(face, hair=True) if who == "listener" else who
    quick = MeshRenderer(face, size, mesh_identity=person, backend="cpu")
    slow = slowly(MeshRenderer(face, size, mesh_identity=person, backend="cpu"))
    for seen, expected in zip(quick.render(rows), slow.render(rows), strict=True):
        difference = np.abs(seen.astype(int) - expected)
        assert difference.mean() < 0.5 and np.percentile(difference, 99.9) < 12
        assert difference.max() > 0  # two ways, not one compared with itself


def test_opacity_is_that_of_all_samples(face, rows):
    quick = MeshRenderer(face, 128, backend="cpu")
    slow = slowly(MeshRenderer(face, 128, backend="cpu"))
    for seen, expected in zip(quick.render_transparent(rows), slow.render_transparent(rows), strict=True):
        assert np.abs(seen[..., 3].astype(int) - expected[..., 3]).mean() < 0.1


def test_threads_draw_the_same_bits(face, rows):
    renderer = MeshRenderer(face, 96, backend="cpu")
    alone, results = list(renderer.render(rows)), {}
    threads = [threading.Thread(target=lambda k=k: results.update({k: list(renderer.render(rows))})) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    for frames in results.values():
        np.testing.assert_array_equal(frames, alone)
