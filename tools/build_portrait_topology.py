"""Writes assets/portrait/topology.npz: the triangles of MediaPipe's 468 landmarks, so that drawing needs no MediaPipe.

    python -m tools.build_portrait_topology

The tessellation (852 triangles with the eyes and the mouth left open) is read from the edge list that the mediapipe
wheel (Apache-2.0) publishes: three consecutive connections are the sides of one triangle.
"""

import numpy as np
from mediapipe.tasks.python.vision import FaceLandmarksConnections

from renderer.resources import asset

TARGET = asset("portrait/topology.npz")


def main() -> None:
    edges = [(edge.start, edge.end) for edge in FaceLandmarksConnections.FACE_LANDMARKS_TESSELATION]
    triangles = []
    for first, second, third in zip(edges[::3], edges[1::3], edges[2::3], strict=True):
        if not first[1] == second[0] or not second[1] == third[0] or not third[1] == first[0]:
            raise SystemExit("the edge list of this mediapipe is not ordered by triangles: use mediapipe 0.10.32")
        triangles.append((first[0], second[0], third[0]))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(TARGET, triangles=np.array(triangles, dtype=np.int32))
    print(f"{TARGET}: {len(triangles)} triangles of {max(map(max, triangles)) + 1} landmarks")


if __name__ == "__main__":
    main()
