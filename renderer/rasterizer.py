"""The compiled loops every look shares: vertex normals, and which triangle each sample of the image sees."""

from __future__ import annotations

import numpy as np

from .compiled import compiled

SAMPLES = 2  # samples per pixel and axis: 2 x 2 ordered supersampling
EMPTY = -1  # triangle number of a sample that sees the background
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
    """World (V, 3) -> sample coordinates and nearness: points (V, 3) = u, v, 1 / distance (greater is nearer).

    `focal`, `centre` (principal point) and `size` are in samples; sample i has its middle at i + 0.5.
    """
    for i in range(vertices.shape[0]):
        near = np.float32(1.0) / (np.float32(camera_z) - vertices[i, 2])
        scale = np.float32(focal) * near
        points[i, 0] = np.float32(centre) + vertices[i, 0] * scale
        points[i, 1] = np.float32(size - centre) - vertices[i, 1] * scale
        points[i, 2] = near


@compiled
def visible_triangles(points, triangles, cull, depth, owner):
    """Z-buffer: for every sample the triangle it sees (EMPTY for none) in `owner`, its nearness in `depth`.

    points (V, 3) come from `screen_points`; cull (F,) says whether a triangle seen from behind is left out;
    depth (S, S) float32 and owner (S, S) int32 are overwritten. 1 / distance is linear on the screen, so the depth test
    is exact in perspective.
    """
    height, width = owner.shape
    depth[:] = np.float32(0.0)
    owner[:] = EMPTY
    for face in range(triangles.shape[0]):
        a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        ax, ay = points[a, 0], points[a, 1]
        bx, by = points[b, 0], points[b, 1]
        cx, cy = points[c, 0], points[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # v runs down, so a triangle wound outward and seen from the front has a negative area
        if area == 0.0 or (area > 0.0 and cull[face]):
            continue
        low_x = max(0, int(np.ceil(min(ax, bx, cx) - np.float32(0.5))))
        high_x = min(width - 1, int(np.floor(max(ax, bx, cx) - np.float32(0.5))))
        low_y = max(0, int(np.ceil(min(ay, by, cy) - np.float32(0.5))))
        high_y = min(height - 1, int(np.floor(max(ay, by, cy) - np.float32(0.5))))
        if low_x > high_x or low_y > high_y:
            continue
        inverse = np.float32(1.0) / area
        # barycentric weights and nearness are linear in x and y: start value and step
        b_dx, b_dy = (cy - ay) * inverse, -(cx - ax) * inverse
        c_dx, c_dy = -(by - ay) * inverse, (bx - ax) * inverse
        za = points[a, 2]
        zb, zc = points[b, 2] - za, points[c, 2] - za
        step = b_dx * zb + c_dx * zc
        a_dx = -b_dx - c_dx
        tiny = np.float32(1e-20)  # keeps the divisions finite where an edge runs along the row
        a_run = np.float32(1.0) / (a_dx if abs(a_dx) > tiny else tiny)
        b_run = np.float32(1.0) / (b_dx if abs(b_dx) > tiny else tiny)
        c_run = np.float32(1.0) / (c_dx if abs(c_dx) > tiny else tiny)
        dx = np.float32(low_x) + np.float32(0.5) - ax
        last = np.float32(high_x - low_x)
        for y in range(low_y, high_y + 1):
            dy = np.float32(y) + np.float32(0.5) - ay
            wb = dx * b_dx + dy * b_dy
            wc = dx * c_dx + dy * c_dy
            wa = np.float32(1.0) - wb - wc
            # each weight crosses zero once along the row: the samples inside are one run, without a test for each
            begin, end = np.float32(0.0), last
            cross = -(wa + SEAM) * a_run
            if a_run > 0.0:
                begin = max(begin, cross)
            else:
                end = min(end, cross)
            cross = -(wb + SEAM) * b_run
            if b_run > 0.0:
                begin = max(begin, cross)
            else:
                end = min(end, cross)
            cross = -(wc + SEAM) * c_run
            if c_run > 0.0:
                begin = max(begin, cross)
            else:
                end = min(end, cross)
            if begin > end:
                continue
            start = int(np.ceil(begin))
            near = za + wb * zb + wc * zc + np.float32(start) * step
            for x in range(low_x + start, low_x + int(end) + 1):
                if near > depth[y, x]:
                    depth[y, x] = near
                    owner[y, x] = face
                near += step
