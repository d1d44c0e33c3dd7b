"""Where MediaPipe's 468 landmarks lie on the built-in head, and the frame in which its pose and ours agree."""

from __future__ import annotations

import zipfile

import mediapipe as mp
import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from renderer.face_model import EXPRESSION_NAMES, FaceModel, neutral_coefficients, project
from renderer.mesh import STUDIO_ZOOM, MeshRenderer
from renderer.rasterizer import new_visibility_buffer, project_to_screen, rasterise, visible_triangle_ids
from renderer.resources import asset

TRACKER = asset("tracker/face_landmarker.task")
SIZE = 768  # pixels of the picture that the tracker is shown

# MediaPipe's landmark numbers along the rims that open: right is the subject's
UPPER_LID = {"l": (466, 388, 387, 386, 385, 384, 398), "r": (246, 161, 160, 159, 158, 157, 173)}
LOWER_LID = {"l": (249, 390, 373, 374, 380, 381, 382), "r": (7, 163, 144, 145, 153, 154, 155)}
EYE_CORNERS = {"l": (263, 362), "r": (33, 133)}
UPPER_LIP_INNER = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_LIP_INNER = (95, 88, 178, 87, 14, 317, 402, 318, 324)


def canonical_landmarks() -> np.ndarray:
    """(468, 3) centimetres, x to the image's right (subject's left), y up, z to the camera: MediaPipe's own head."""
    with zipfile.ZipFile(TRACKER) as task:
        return _vertex_buffer(task.read("geometry_pipeline_metadata_landmarks.binarypb"))


def _vertex_buffer(message: bytes) -> np.ndarray:
    """The 468 x (x, y, z, u, v) floats of the protobuf: the one long run of field 3 with 32-bit values."""
    tag, stride = b"\x1d", 5
    count = 468 * 5
    start = message.find(tag)
    values = np.frombuffer(message[start : start + count * stride], np.uint8).reshape(count, stride)
    if start < 0 or (values[:, 0] != tag[0]).any():
        raise SystemExit("The canonical head's vertices were not found where they lie in the tracker's model file.")
    floats = np.ascontiguousarray(values[:, 1:]).view("<f4").reshape(468, 5)
    return floats[:, :3].astype(np.float64)


def detect(picture: np.ndarray) -> np.ndarray:
    """(468, 2) pixels of the landmarks in an RGB picture."""
    options = mp.tasks.vision.FaceLandmarkerOptions(
        base_options=mp.tasks.BaseOptions(model_asset_path=str(TRACKER)),
        running_mode=mp.tasks.vision.RunningMode.IMAGE,
    )
    with mp.tasks.vision.FaceLandmarker.create_from_options(options) as tracker:
        found = tracker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(picture)))
    if not found.face_landmarks:
        raise SystemExit("MediaPipe finds no face in the rendered head.")
    height, width = picture.shape[:2]
    return np.array([(p.x * width, p.y * height) for p in found.face_landmarks[0][:468]])


def find_landmarks(face: FaceModel, lids: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (468, 3) and barycentric weights (468, 3) of MediaPipe's landmarks on `face`.

    The resting head is drawn, tracked, and each landmark dropped on the skin behind its pixel. The rims of lids and
    lips lie edge to edge there, so they are picked by what they do: lower lip points follow the jaw, upper ones do not;
    lid points are the roots of the lashes, `lids` (object space, by lid and eye).
    """
    rest = neutral_coefficients()
    picture = next(iter(MeshRenderer(face, size=SIZE).render(rest)))
    pixels = detect(picture)
    world = face.world_vertices(rest)[0]
    focal = STUDIO_ZOOM * 1315 * SIZE / 224
    flat = project(world, SIZE, focal)

    skin = np.isin(face.parts, [face.part_names.index(n) for n in ("skin", "lips")])
    triangles = np.ascontiguousarray(face.triangles[skin])
    vertices, weights = drop_on_surface(world, triangles, pixels, focal)

    jaw = face.expression_basis[:, 1, EXPRESSION_NAMES.index("jawOpen")]
    lip_skin = np.unique(face.triangles[face.parts == face.part_names.index("lips")])
    follows = jaw[lip_skin] > 0.5 * jaw[lip_skin].max()
    ahead = world[lip_skin, 2] > np.quantile(world[lip_skin, 2], 0.3)  # not the part behind the teeth's front
    for numbers, chosen in ((UPPER_LIP_INNER, ~follows & ahead), (LOWER_LIP_INNER, follows & ahead)):
        rim = lip_skin[chosen]
        vertices[list(numbers)] = rim[cKDTree(flat[rim]).query(pixels[list(numbers)])[1]][:, None]
        weights[list(numbers)] = (1, 0, 0)

    skin_ids = np.unique(triangles)
    tree = cKDTree(face.mean_shape[skin_ids])
    for side in "lr":
        for lid, numbers in (("upper", UPPER_LID[side]), ("lower", LOWER_LID[side])):
            rim = skin_ids[tree.query(lids[f"{lid}-helper-{side}-eye"])[1]]
            rim = rim[np.argsort(flat[rim, 0])]
            for number in numbers:
                vertices[number], weights[number] = _between(flat[rim, 0], rim, pixels[number, 0])
        ends = np.concatenate([lids[f"{lid}-helper-{side}-eye"] for lid in ("upper", "lower")])
        corners = skin_ids[tree.query(ends[[ends[:, 0].argmin(), ends[:, 0].argmax()]])[1]]
        for number in EYE_CORNERS[side]:
            vertices[number] = corners[np.abs(flat[corners, 0] - pixels[number, 0]).argmin()]
            weights[number] = (1, 0, 0)
    return vertices, weights


def _between(across: np.ndarray, rim: np.ndarray, x: float) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """The point of a rim, given by vertices with ascending pixel `across`, at pixel x."""
    right = int(np.clip(np.searchsorted(across, x), 1, len(rim) - 1))
    share = float(np.clip((x - across[right - 1]) / max(across[right] - across[right - 1], 1e-6), 0, 1))
    return (rim[right - 1], rim[right], rim[right]), (1 - share, share, 0.0)


def drop_on_surface(
    world: np.ndarray, triangles: np.ndarray, pixels: np.ndarray, focal: float
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N, 3) and weights (N, 3) of the foremost surface points behind pixels (N, 2), or nearest to them."""
    fine = 4
    size = SIZE * fine
    points = np.zeros_like(world, dtype=np.float32)
    project_to_screen(world, focal * fine, SIZE // 2 * fine, size, 10.0, points)
    samples = new_visibility_buffer(size)
    owner = visible_triangle_ids(samples)
    rasterise(points, triangles, np.ones(len(triangles), bool), samples)
    rows, columns = np.nonzero(owner >= 0)
    seen = cKDTree(np.stack([columns + 0.5, rows + 0.5], axis=1))
    _, hit = seen.query(pixels * fine)
    at = np.stack([columns[hit] + 0.5, rows[hit] + 0.5], axis=1)
    corners = triangles[owner[rows[hit], columns[hit]]]
    inside = np.linalg.norm(at - pixels * fine, axis=1) < 1
    at[inside] = pixels[inside] * fine
    weights = np.zeros((len(pixels), 3))
    for i, (corner, pixel) in enumerate(zip(corners, at, strict=True)):
        flat = points[corner].astype(np.float64)
        edges = np.stack([flat[1, :2] - flat[0, :2], flat[2, :2] - flat[0, :2]], axis=1)
        b, c = np.linalg.solve(edges, pixel - flat[0, :2])
        share = np.clip([1 - b - c, b, c], 0, 1) / flat[:, 2]  # undo the perspective: weights on the surface itself
        weights[i] = share / share.sum()
    return corners.astype(np.int64), weights


def fit_frame(
    shape: np.ndarray, landmarks: tuple[np.ndarray, np.ndarray], canonical: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (3, 3) and offset (3,) that bring `shape` to the canonical head's pose and origin, keeping its size.

    Only a nod (about x) and a move in the middle plane are fitted: the head is symmetric.
    """
    vertices, weights = landmarks
    ours = np.einsum("lkc,lk->lc", shape[vertices], weights)
    theirs = canonical * [1, -1, -1]
    theirs = theirs * (0.554 / (theirs[263, 0] - theirs[33, 0]))
    a, b = ours - ours.mean(axis=0), theirs - theirs.mean(axis=0)
    angle = np.arctan2((a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1]).sum(), (a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]).sum())
    frame = Rotation.from_euler("x", angle).as_matrix()
    offset = theirs.mean(axis=0) - frame @ ours.mean(axis=0)
    offset[0] = 0.0
    print(f"frame: nod {np.degrees(angle):+.2f} degrees, offset {offset.round(3)}")
    return frame, offset
