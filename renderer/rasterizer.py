"""The compiled loops of both mesh styles: vertex normals, and which triangle each sample of the picture sees."""

from __future__ import annotations

import numpy as np

from renderer.jit import jit, jit_loop

CENTRE_SAMPLE = np.array([0.5], np.float32)  # one sample in the middle of a pixel
SAMPLE_PATTERN = np.array([0.3, 0.9, 0.5, 0.1, 0.7], np.float32)
"""Where a pixel's samples lie from left to right, from its top row to its bottom row: five places in either direction.

An upright or level edge shows six steps that way; with nine samples in a square there would be four.
"""
CENTRE_SAMPLE_ROW = 2  # the row of SAMPLE_PATTERN whose sample is the pixel's middle
SIMD_WIDTH = 8  # samples of a row that are tried at once, and the columns that stand free at a buffer's right
_STEPS = np.arange(SIMD_WIDTH, dtype=np.float32)
NO_TRIANGLE = -1  # surface id of a sample that sees the background
CLEARED_SAMPLE = np.int64(0xFFFFFFFF)  # inverse depth 0, no triangle
EDGE_TOLERANCE = np.float32(1e-5)  # rounding slack of the barycentric test, or hairline cracks open between neighbours


@jit_loop
def vertex_normals(vertices, triangles, normals):
    """Area-weighted unit normals of (V, 3) `vertices`, written to `normals` (V, 3)."""
    normals[:] = 0.0
    for face in range(triangles.shape[0]):
        a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (a, b, c):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for i in range(normals.shape[0]):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        scale = np.float32(1.0) / (np.sqrt(x * x + y * y + z * z) + np.float32(1e-12))
        normals[i, 0] = x * scale
        normals[i, 1] = y * scale
        normals[i, 2] = z * scale


@jit_loop
def project_to_screen(vertices, focal, centre, size, camera_z, screen_vertices):
    """World (V, 3) -> the picture: screen_vertices (V, 3) = u, v, 1 / distance (greater is nearer).

    `focal`, `centre` (principal point) and `size` are in pixels; pixel i has its middle at i + 0.5.
    """
    for i in range(vertices.shape[0]):
        inverse_depth = np.float32(1.0) / (np.float32(camera_z) - vertices[i, 2])
        scale = np.float32(focal) * inverse_depth
        screen_vertices[i, 0] = np.float32(centre) + vertices[i, 0] * scale
        screen_vertices[i, 1] = np.float32(size - centre) - vertices[i, 1] * scale
        screen_vertices[i, 2] = inverse_depth


def new_visibility_buffer(size: int, sample_offsets: np.ndarray = CENTRE_SAMPLE) -> np.ndarray:
    """What `rasterise` fills for size x size pixels: (size * rows, size + SIMD_WIDTH) int64."""
    return np.empty((size * len(sample_offsets), size + SIMD_WIDTH), np.int64)


def visible_triangle_ids(visibility_buffer: np.ndarray) -> np.ndarray:
    """(rows, columns) int32 view of a filled buffer: id of the surface that a sample sees, or NO_TRIANGLE."""
    # little-endian, as every machine that numba knows
    return visibility_buffer.view(np.int32)[:, : -2 * SIMD_WIDTH : 2]


def inverse_depths(visibility_buffer: np.ndarray) -> np.ndarray:
    """(rows, columns) float32 view of a filled buffer: 1 / distance of what each sample sees, 0 for nothing."""
    return visibility_buffer.view(np.float32)[:, 1 : -2 * SIMD_WIDTH : 2]


def rasterise(
    screen_vertices: np.ndarray,
    triangles: np.ndarray,
    cull: np.ndarray,
    visibility_buffer: np.ndarray,
    sample_offsets: np.ndarray = CENTRE_SAMPLE,
    surface_ids: np.ndarray | None = None,
) -> None:
    """Z-buffer: for every sample the triangle it sees and how near that is, written to `visibility_buffer`.

    screen_vertices (V, 3) come from `project_to_screen`; cull (F,) says whether a triangle seen from behind is left
    out; sample_offsets (rows,) is CENTRE_SAMPLE or SAMPLE_PATTERN; surface_ids (F,) int64, 0 to 2^31, are what the
    buffer holds of each triangle, None: its number. 1 / distance is linear on the screen, so the depth test is exact in
    perspective. Of equally near triangles the one with the greater id is seen.
    """
    surface_ids = np.arange(len(triangles)) if surface_ids is None else surface_ids
    _rasterise_loop(screen_vertices, triangles, surface_ids, cull, sample_offsets, _STEPS, visibility_buffer)


@jit_loop
def _rasterise_loop(screen_vertices, triangles, surface_ids, cull, sample_offsets, steps, visibility_buffer):
    """One sample is one number, inverse depth above and surface id below: the greater number is what is seen.

    `steps` are handed in, how many is not known to the compiler: else it spreads the samples over the rows, not side by
    side. They are a table, since turning whole numbers into others takes longer.
    """
    visibility_buffer[:] = CLEARED_SAMPLE
    simd_width = steps.shape[0]
    height, width = visibility_buffer.shape[0], visibility_buffer.shape[1] - simd_width
    rows = sample_offsets.shape[0]
    min_offset, max_offset = sample_offsets[0], sample_offsets[0]
    for k in range(rows):
        min_offset, max_offset = min(min_offset, sample_offsets[k]), max(max_offset, sample_offsets[k])
    half, one = np.float32(0.5), np.float32(1.0)
    for face in range(triangles.shape[0]):
        a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        ax, ay = screen_vertices[a, 0], screen_vertices[a, 1] * np.float32(rows)
        bx, by = screen_vertices[b, 0], screen_vertices[b, 1] * np.float32(rows)
        cx, cy = screen_vertices[c, 0], screen_vertices[c, 1] * np.float32(rows)
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # v runs down, so a triangle wound outward and seen from the front has a negative area
        if area == 0.0 or (area > 0.0 and cull[face]):
            continue
        low_x = max(0, int(np.ceil(min(ax, bx, cx) - max_offset)))
        high_x = min(width - 1, int(np.floor(max(ax, bx, cx) - min_offset)))
        low_y = max(0, int(np.ceil(min(ay, by, cy) - half)))
        high_y = min(height - 1, int(np.floor(max(ay, by, cy) - half)))
        if low_x > high_x or low_y > high_y:
            continue
        inverse = one / area
        # barycentric weights and inverse depth are linear in x and y: start value and step
        b_dx, b_dy = (cy - ay) * inverse, -(cx - ax) * inverse
        c_dx, c_dy = -(by - ay) * inverse, (bx - ax) * inverse
        za = screen_vertices[a, 2]
        zb, zc = screen_vertices[b, 2] - za, screen_vertices[c, 2] - za
        inverse_depth_dx = b_dx * zb + c_dx * zc
        surface_id = surface_ids[face]
        sample_index = low_y % rows
        for y in range(low_y, high_y + 1):
            dx, dy = np.float32(low_x) + sample_offsets[sample_index] - ax, np.float32(y) + half - ay
            sample_index = sample_index + 1 if sample_index + 1 < rows else 0
            wb, wc = dx * b_dx + dy * b_dy, dx * c_dx + dy * c_dy
            inverse_depth = za + wb * zb + wc * zc
            sample_row = visibility_buffer[y]
            first = low_x
            while first <= high_x:
                start = np.float32(first - low_x)
                for offset in range(simd_width):
                    step_count = start + steps[offset]
                    inside_b, inside_c = wb + step_count * b_dx, wc + step_count * c_dx
                    inside = min(one - inside_b - inside_c, min(inside_b, inside_c))
                    sample_inverse_depth = np.float32(inverse_depth + step_count * inverse_depth_dx)
                    sample = np.int64(sample_inverse_depth.view(np.int32)) << 32 | surface_id
                    column = np.uint64(first + offset)
                    previous = sample_row[column]
                    sample_row[column] = sample if (inside >= -EDGE_TOLERANCE) & (sample > previous) else previous
                first += simd_width


@jit
def resolve_grey(visibility_buffer, triangle_greys, image):
    """`image` (S, S) float32: the mean over each pixel's samples of the `triangle_greys` (F,), 0 for background.

    `visibility_buffer` holds triangles by number.
    """
    rows = visibility_buffer.shape[0] // image.shape[0]
    for y in range(image.shape[0]):
        image[y] = np.float32(0.0)
        for row in range(y * rows, (y + 1) * rows):
            for x in range(image.shape[1]):
                face = np.int32(visibility_buffer[row, x] & CLEARED_SAMPLE)
                if face != NO_TRIANGLE:
                    image[y, x] += triangle_greys[face]
        image[y] *= np.float32(1.0) / np.float32(rows)
