"""The quick way of drawing the studio style against the slow one: every pixel from all its samples, point by point."""

import threading

import numpy as np
import pytest

from renderer.backends import CPUBackend
from renderer.depth_buffer import draw_depths, new_depth_buffer, row_stride
from renderer.edges import SAMPLES, find_edges, new_edge_pixels
from renderer.face_model import CAMERA_Z, COEFFICIENT_NAMES, neutral_coefficients
from renderer.mesh import MeshRenderer
from renderer.posing import BLOCK, blended
from renderer.rasterizer import (
    CENTRE_SAMPLE,
    SAMPLE_PATTERN,
    inverse_depths,
    new_visibility_buffer,
    project_to_screen,
    rasterise,
    visible_triangle_ids,
)
from renderer.shading import surface_ids
from renderer.simd import LANES
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


@pytest.mark.parametrize("shapes", [1, 4, 7, 52])
def test_shapes_are_blended_to_the_same_bits_wherever_a_frame_stands(shapes):
    rng = np.random.default_rng(0)
    basis, weights = rng.random((shapes, BLOCK + 37), np.float32), rng.random((19, shapes), np.float32)
    together = blended(weights, basis)
    np.testing.assert_allclose(together, weights @ basis, rtol=1e-5)
    for first in (1, 7, 18):
        np.testing.assert_array_equal(blended(weights[first:], basis), together[first:])
    np.testing.assert_array_equal(blended(weights[:1], basis), together[:1])


@pytest.mark.parametrize("style", ["studio", "grey"])
def test_pieces_of_a_run_are_the_same_bits_as_the_whole(face, style):
    """A run is drawn piece by piece while later seconds are made; how it is cut must not be seen."""
    renderer = MeshRenderer(face, 96, mesh_style=style, backend="cpu")
    values = np.tile(neutral_coefficients(), (21, 1))
    values[:, :52] = np.random.default_rng(0).random((21, 52))
    whole = list(renderer.render(values))
    for ends in ((1, 2, 3, 21), (16, 17, 21), (20, 21)):
        starts = (0, *ends[:-1])
        pieces = [
            frame for start, end in zip(starts, ends, strict=True) for frame in renderer.render(values[start:end])
        ]
        np.testing.assert_array_equal(pieces, whole)


def test_a_run_that_is_left_early_or_overlaps_another_disturbs_none(face, rows):
    renderer = MeshRenderer(face, 96, backend="cpu")
    expected = list(renderer.render(rows))
    left, first = renderer.render(rows[::-1]), renderer.render(rows)
    seen = [next(first), next(left)][:1]
    left.close()
    for frame, other in zip(first, renderer.render(rows[1:]), strict=True):  # in turns
        seen.append(frame)
        np.testing.assert_array_equal(frame, other)
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("size", [100, 256])  # no multiple of the lanes, and one
def test_samples_see_the_triangles_that_the_plain_rasteriser_sees(face, rows, size):
    renderer = MeshRenderer(face, size, mesh_identity="Yuna", backend="cpu")
    scene = renderer._backend._scene
    triangles, stride, ids = scene.triangles, row_stride(size), surface_ids(scene.surface.triangle_materials)
    buffer, edges = new_depth_buffer(size, len(triangles)), new_edge_pixels(size)
    for world in renderer._studio_vertices(rows):
        screen = np.empty_like(world)
        project_to_screen(world, scene.focal, size // 2, size, CAMERA_Z, screen)
        facing = draw_depths(screen, triangles, ids, size, stride, buffer)
        seen = {CENTRE_SAMPLE.size: (buffer.surfaces.reshape(size, -1), buffer.depths.reshape(size, -1))}
        edges = find_edges(buffer, facing, screen, triangles, ids, np.zeros(0, np.int64), edges, everywhere=True)
        count = size * size * LANES
        seen[SAMPLES] = [
            values[:count].reshape(size, size, LANES).transpose(0, 2, 1)[:, :SAMPLES].reshape(size * SAMPLES, size)
            for values in (edges.surfaces, edges.depths)
        ]
        for pattern in (CENTRE_SAMPLE, SAMPLE_PATTERN):
            expected = new_visibility_buffer(size, pattern)
            rasterise(screen, triangles, np.ones(len(triangles), bool), expected, pattern, ids.astype(np.int64))
            surfaces, depths = seen[len(pattern)]
            differs = surfaces[:, :size] != visible_triangle_ids(expected)
            assert differs.mean() < 1e-4  # by rounding, where two triangles meet
            np.testing.assert_allclose(depths[:, :size][~differs], inverse_depths(expected)[~differs], atol=1e-6)
