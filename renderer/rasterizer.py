"""The compiled loops every look shares: vertex normals, and which triangle each sample of the picture sees."""

from __future__ import annotations

import numpy as np

from renderer.compiled import compiled

CENTRE = np.array([0.5], np.float32)  # one sample in the middle of a pixel
SPREAD = np.array([0.3, 0.9, 0.5, 0.1, 0.7], np.float32)
"""Where a pixel's samples lie from left to right, from its top row to its bottom row: five places in either direction.

An upright or level edge shows six steps that way; with nine samples in a square there would be four.
"""
MIDDLE = 2  # the row of SPREAD whose sample is the pixel's middle
LANES = 8  # samples of a row that are tried at once, and the columns that stand free at a buffer's right
EMPTY = -1  # mark of a sample that sees the background
UNSEEN = np.int64(0xFFFFFFFF)  # nearness 0, mark EMPTY
SEAM = np.float32(1e-5)  # rounding slack of the barycentric test, or hairline cracks open between neighbours


@compiled
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


@compiled
def screen_points(vertices, focal, centre, size, camera_z, points):
    """World (V, 3) -> the picture: points (V, 3) = u, v, 1 / distance (greater is nearer).

    `focal`, `centre` (principal point) and `size` are in pixels; pixel i has its middle at i + 0.5.
    """
    for i in range(vertices.shape[0]):
        near = np.float32(1.0) / (np.float32(camera_z) - vertices[i, 2])
        scale = np.float32(focal) * near
        points[i, 0] = np.float32(centre) + vertices[i, 0] * scale
        points[i, 1] = np.float32(size - centre) - vertices[i, 1] * scale
        points[i, 2] = near


def sample_buffer(size: int, places: np.ndarray = CENTRE) -> np.ndarray:
    """What `visible_triangles` fills for a picture of size x size pixels: (size * rows, size + LANES) int64."""
    return np.empty((size * len(places), size + LANES), np.int64)


def owners(seen: np.ndarray) -> np.ndarray:
    """(rows, columns) int32 view of a filled buffer: the mark of the triangle that a sample sees, EMPTY for none."""
    return seen.view(np.int32)[:, : -2 * LANES : 2]  # little-endian, as every machine that numba knows


def nearness(seen: np.ndarray) -> np.ndarray:
    """(rows, columns) float32 view of a filled buffer: 1 / distance of what each sample sees, 0 for nothing."""
    return seen.view(np.float32)[:, 1 : -2 * LANES : 2]


def visible_triangles(
    points: np.ndarray,
    triangles: np.ndarray,
    cull: np.ndarray,
    seen: np.ndarray,
    places: np.ndarray = CENTRE,
    marks: np.ndarray | None = None,
) -> None:
    """Z-buffer: for every sample the triangle it sees and how near that is, written to `seen` (see `sample_buffer`).

    points (V, 3) come from `screen_points`; cull (F,) says whether a triangle seen from behind is left out; places
    (rows,) are CENTRE or SPREAD; marks (F,) int64, 0 to 2^31, are what is noted of a triangle, else its number.
    1 / distance is linear on the screen, so the depth test is exact in perspective. Of equally near triangles the one
    with the greater mark is seen.
    """
    marks = np.arange(len(triangles)) if marks is None else marks
    _fill(points, triangles, marks, cull, places, LANES, seen)


@compiled
def _fill(points, triangles, marks, cull, places, lanes, seen):
    """One sample is one number, nearness above and mark below: the greater number is what is seen.

    `lanes` is handed in, not known to the compiler: else it spreads the samples over the rows instead of side by side.
    """
    seen[:] = UNSEEN
    height, width = seen.shape[0], seen.shape[1] - lanes
    rows = places.shape[0]
    least, most = places.min(), places.max()
    half, one = np.float32(0.5), np.float32(1.0)
    steps = np.arange(lanes).astype(np.float32)  # a table: turning whole numbers into others takes longer
    for face in range(triangles.shape[0]):
        a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        ax, ay = points[a, 0], points[a, 1] * np.float32(rows)
        bx, by = points[b, 0], points[b, 1] * np.float32(rows)
        cx, cy = points[c, 0], points[c, 1] * np.float32(rows)
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # v runs down, so a triangle wound outward and seen from the front has a negative area
        if area == 0.0 or (area > 0.0 and cull[face]):
            continue
        low_x = max(0, int(np.ceil(min(ax, bx, cx) - most)))
        high_x = min(width - 1, int(np.floor(max(ax, bx, cx) - least)))
        low_y = max(0, int(np.ceil(min(ay, by, cy) - half)))
        high_y = min(height - 1, int(np.floor(max(ay, by, cy) - half)))
        if low_x > high_x or low_y > high_y:
            continue
        inverse = one / area
        # barycentric weights and nearness are linear in x and y: start value and step
        b_dx, b_dy = (cy - ay) * inverse, -(cx - ax) * inverse
        c_dx, c_dy = -(by - ay) * inverse, (bx - ax) * inverse
        za = points[a, 2]
        zb, zc = points[b, 2] - za, points[c, 2] - za
        step = b_dx * zb + c_dx * zc
        mark = marks[face]
        place = low_y % rows
        for y in range(low_y, high_y + 1):
            dx, dy = np.float32(low_x) + places[place] - ax, np.float32(y) + half - ay
            place = place + 1 if place + 1 < rows else 0
            wb, wc = dx * b_dx + dy * b_dy, dx * c_dx + dy * c_dy
            near = za + wb * zb + wc * zc
            line = seen[y]
            first = low_x
            while first <= high_x:
                start = np.float32(first - low_x)
                for lane in range(lanes):
                    far = start + steps[lane]
                    inside_b, inside_c = wb + far * b_dx, wc + far * c_dx
                    inside = min(one - inside_b - inside_c, min(inside_b, inside_c))
                    here = np.float32(near + far * step)
                    sample = np.int64(here.view(np.int32)) << 32 | mark
                    at = np.uint64(first + lane)
                    held = line[at]
                    line[at] = sample if (inside >= -SEAM) & (sample > held) else held
                first += lanes


@compiled
def mean_shade(seen, shades, image):
    """`image` (S, S) float32: the mean over each pixel's samples of the `shades` (F,) of what they see, 0 for nothing.

    `seen` holds triangles by number.
    """
    rows = seen.shape[0] // image.shape[0]
    for y in range(image.shape[0]):
        image[y] = np.float32(0.0)
        for row in range(y * rows, (y + 1) * rows):
            for x in range(image.shape[1]):
                face = np.int32(seen[row, x] & UNSEEN)
                if face != EMPTY:
                    image[y, x] += shades[face]
        image[y] *= np.float32(1.0) / np.float32(rows)
