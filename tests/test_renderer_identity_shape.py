"""The shape of a listener's head from landmarks. Heads of known shape are seen, and must be found again."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from renderer.errors import RenderError
from renderer.face_model import COEFFICIENTS, EXPRESSION_NAMES, load_face_model, rotation_matrix
from renderer.identity.basis import load_identity_basis
from renderer.identity.camera import HEAD_PLACE, PhotoCamera
from renderer.identity.landmark_sets import LID_RIMS, LOWER_LID, LOWER_LIP_RIM, UPPER_LID, UPPER_LIP_RIM
from renderer.identity.landmark_solver import above_rest
from renderer.identity.rest import mouth_activity
from renderer.identity.shape import Frame, fit_shape, fit_shapes
from renderer.identity.units import adapted_units
from renderer.studio_surface import lift_upper_lids

FACE = load_face_model()
BASIS = load_identity_basis()
SIZE = (480, 640)
CAMERA = PhotoCamera(focal=6.0 * 200, centre=np.array([320.0, 230.0]))  # 200 pixels per model unit
UNIT = EXPRESSION_NAMES.index


def person(seed: int, components: int = 20) -> np.ndarray:
    """(K,) coefficients of a made-up person who differs from the mean in the first components."""
    coefficients = np.zeros(BASIS.components.shape[2])
    coefficients[:components] = np.random.default_rng(seed).standard_normal(components)
    return coefficients


def angles(pitch: float = 0.0, yaw: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """(3,) radians of degrees from upright."""
    return np.radians([180 + pitch, yaw, roll])


def seen(
    coefficients: np.ndarray, turn: np.ndarray, expression: np.ndarray | None = None, camera: PhotoCamera = CAMERA
) -> Frame:
    """What a flawless tracker sees of a person."""
    expression = np.zeros(len(EXPRESSION_NAMES)) if expression is None else expression
    vertices = FACE.mean_shape + BASIS.components @ coefficients + FACE.expression_basis @ expression
    world = vertices @ rotation_matrix(turn).T + HEAD_PLACE
    points = np.einsum("lkc,lk->lc", world[FACE.landmark_vertices], FACE.landmark_weights)
    landmarks = np.zeros((478, 3))
    landmarks[:468, :2] = camera.project(points)
    landmarks[:468, 2] = -(points[:, 2] - points[:, 2].mean()) * camera.pixels_per_unit
    rest = np.array([0.35 if name.startswith("eyeBlink") else 0.0 for name in EXPRESSION_NAMES])
    return Frame(landmarks, SIZE, np.concatenate([np.maximum(expression, rest), turn, np.zeros(3)]))


def fit(frame: Frame):
    return fit_shape(FACE, frame.landmarks, frame.image_size, frame.coefficients)


def at_landmarks(vertices: np.ndarray) -> np.ndarray:
    return np.einsum("lkc,lk->lc", vertices[FACE.landmark_vertices], FACE.landmark_weights)


def part(name: str) -> np.ndarray:
    return np.unique(FACE.triangles[FACE.parts == FACE.part_names.index(name)])


def aligned(shape: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """`shape` (V, 3) turned, moved and scaled onto `truth`: one photo does not tell how large a head is."""
    ours, theirs = shape[FACE_FRONT].mean(axis=0), truth[FACE_FRONT].mean(axis=0)
    turn, _ = Rotation.align_vectors(truth[FACE_FRONT] - theirs, shape[FACE_FRONT] - ours)
    turned = turn.apply(shape - ours)
    size = (turned[FACE_FRONT] * (truth[FACE_FRONT] - theirs)).sum() / (turned[FACE_FRONT] ** 2).sum()
    return turned * size + theirs


FACE_FRONT = np.flatnonzero((FACE.mean_shape[:, 2] < -0.1) & (FACE.head_weight > 0.99))


def test_basis_lies_in_the_frame_of_the_built_in_head():
    """Else every listener's head would be bent: the head's own directions are sums of the basis's components."""
    flat = BASIS.components.reshape(-1, BASIS.components.shape[2]).astype(np.float64)
    for name in ("masculine", "african", "asian", "age"):
        direction = FACE.identity_basis[:, :, FACE.identity_names.index(name)].reshape(-1).astype(np.float64)
        rest = direction - flat @ np.linalg.lstsq(flat, direction, rcond=None)[0]
        assert np.linalg.norm(rest) < 0.1 * np.linalg.norm(direction), name


def test_basis_is_sorted_small_and_leaves_the_shoulders():
    spread = np.linalg.norm(BASIS.components, axis=(0, 1))
    assert BASIS.components.shape == (*FACE.mean_shape.shape, 80)
    face = np.linalg.norm(BASIS.components[FACE_FRONT], axis=1)  # (vertices, 80): units moved by a standard deviation
    assert face.max() < 0.2, "32 mm: more would be a monster at one standard deviation"
    assert np.linalg.norm(BASIS.components[FACE_FRONT], axis=(0, 1))[:5].min() > spread[40:].max()
    assert np.abs(BASIS.components[FACE.head_weight == 0]).max() == 0
    mirror = BASIS.landmark_mirror
    assert (mirror[mirror] == np.arange(468)).all() and mirror[33] == 263 and mirror[1] == 1


def test_missing_and_foreign_basis_files_are_refused(tmp_path):
    with pytest.raises(RenderError, match="no identity basis"):
        load_identity_basis(tmp_path / "identity.npz")
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, other=np.zeros(3))
    with pytest.raises(RenderError, match="not an identity basis"):
        load_identity_basis(foreign)


@pytest.mark.parametrize(("seed", "turn"), [(0, angles()), (1, angles(8, 12, -5)), (2, angles(-10, -20, 9))])
def test_a_seen_head_is_found_again(seed, turn):
    """Shape, pose and place of a known head, to a few millimetres of 170: this is the person's likeness."""
    truth = person(seed)
    found = fit(seen(truth, turn))
    head = FACE.mean_shape + BASIS.components @ truth
    off = np.linalg.norm(aligned(found.shape, head) - head, axis=1)[FACE_FRONT]
    mean_head_off = np.linalg.norm(aligned(FACE.mean_shape, head) - head, axis=1)[FACE_FRONT]
    assert off.mean() < 0.5 * mean_head_off.mean()
    assert off.mean() < 0.018, "3 mm"
    cosine = (np.trace(found.rotation.T @ rotation_matrix(turn)) - 1) / 2
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))) < 2.0
    assert found.camera.focal == pytest.approx(CAMERA.focal, rel=0.05)
    assert found.landmark_error < 0.3
    assert found.scores["shape"] > 0.9


def test_world_and_pixels_are_the_photo():
    """The photo is laid onto the head by `pixels`; a shift would paint the nose beside the nose."""
    frame = seen(person(3), angles(0, 15, 0))
    found = fit(frame)
    assert np.abs(found.camera.project(found.world) - found.pixels).max() < 0.05
    off = np.linalg.norm(at_landmarks(found.pixels) - frame.landmarks[:468, :2], axis=1)
    assert off.mean() < 1.0, "pixels, of a face 200 pixels high"


def test_residual_carries_what_the_components_cannot():
    """A feature that no slider has, such as a nose that is bent to one side, is drawn all the same."""
    frame = seen(person(4), angles())
    nose = np.array([1, 2, 4, 5, 19, 94, 195, 197])
    bent = frame.landmarks.copy()
    bent[nose, 0] += 8.0
    straight, found = fit(frame), fit(dataclasses.replace(frame, landmarks=bent))
    moved = (at_landmarks(found.shape) - at_landmarks(straight.shape))[nose, 0] * found.camera.pixels_per_unit
    assert moved.mean() > 4.0, "pixels, of 8; the spline smooths"


def test_a_smile_stays_in_the_expression():
    """A photo with a smile gives a person who can be serious."""
    smile = np.zeros(52)
    smile[[UNIT("mouthSmileLeft"), UNIT("mouthSmileRight")]] = 0.8
    truth = 0.6 * person(5)
    found = fit(seen(truth, angles(), smile))
    assert found.expression[UNIT("mouthSmileLeft")] > 0.5
    head = FACE.mean_shape + BASIS.components @ truth
    left = at_landmarks(aligned(found.shape, head) - head)
    smiled = at_landmarks(FACE.expression_basis @ smile)
    for corner in (61, 291):
        assert abs(left[corner] @ smiled[corner]) < 0.3 * (smiled[corner] @ smiled[corner])


def test_resting_squint_is_not_taken_for_an_expression():
    """The tracker reads squints and blinks on calm faces; taken off, everybody would stare."""
    tracked = np.zeros(52)
    tracked[[UNIT("eyeSquintLeft"), UNIT("eyeBlinkLeft"), UNIT("browInnerUp")]] = (0.45, 0.3, 0.2)
    assert above_rest(tracked).max() == pytest.approx(0, abs=1e-9)
    tracked[UNIT("mouthSmileLeft")] = 1.0
    assert above_rest(tracked)[UNIT("mouthSmileLeft")] == pytest.approx(1)
    assert mouth_activity(np.zeros(52)) == 0 and mouth_activity(np.eye(52)[UNIT("jawOpen")]) == 1


def test_lips_touch_and_eyes_lie_in_their_lids():
    """No teeth between the lips of a resting head, no skin inside the eyeballs."""
    smile = np.zeros(52)
    smile[[UNIT("mouthSmileLeft"), UNIT("mouthSmileRight"), UNIT("jawOpen")]] = (0.7, 0.7, 0.3)
    for seed, turn, expression in ((6, angles(0, 10, 0), smile), (7, angles(5, -15, 0), None)):
        shape = fit(seen(person(seed, 40), turn, expression)).shape
        points = at_landmarks(shape)
        gap = points[LOWER_LIP_RIM, 1] - points[UPPER_LIP_RIM, 1]
        assert np.abs(gap).max() < 0.004
        for side in ("Left", "Right"):
            ball = shape[part(f"eye{side}")]
            middle = (ball.min(axis=0) + ball.max(axis=0)) / 2
            radius = np.linalg.norm(ball - middle, axis=1).max()
            rim = np.linalg.norm(points[LID_RIMS[side]] - middle, axis=1)
            assert 0.9 * radius < rim.min() and rim.max() < 1.25 * radius  # mean head: 0.94 ... 1.06
            assert np.abs(points[LID_RIMS[side], 0].mean() - middle[0]) < 0.03


@pytest.mark.parametrize("seed", [8, 9])
def test_a_blink_closes_a_person_s_own_eye(seed):
    """With the mean head's blink, narrow eyes would cross their lids, and wide ones stay ajar."""
    shape = fit(seen(person(seed, 40) * 1.5, angles())).shape
    units = adapted_units(FACE, shape)
    for side in ("Left", "Right"):
        shut = at_landmarks(shape + units[:, :, UNIT(f"eyeBlink{side}")])
        rest = at_landmarks(shape)
        left_open = shut[LOWER_LID[side], 1] - shut[UPPER_LID[side], 1]
        opening = rest[LOWER_LID[side], 1] - rest[UPPER_LID[side], 1]
        assert opening.max() > 0.02
        assert left_open[2:-2].max() < 0.006 and left_open.min() > -0.025  # mean head: -0.012 ... 0.001
    lifted = lift_upper_lids(FACE, units)
    assert np.isfinite(lifted).all() and lifted.shape == FACE.expression_basis.shape


def test_a_narrow_mouth_smiles_as_far_and_a_wide_one_farther():
    """With smiles scaled by the mouth's width, the smile of a narrow mouth was not read as one."""

    def reach(width: float, name: str) -> float:
        units = adapted_units(FACE, FACE.mean_shape * np.array([width, 1, 1], np.float32))
        number = UNIT(name)
        return float(np.abs(units[..., number]).max() / np.abs(FACE.expression_basis[..., number]).max())

    assert reach(0.88, "mouthSmileLeft") == pytest.approx(1.0, abs=1e-3)
    assert reach(1.1, "mouthSmileLeft") == pytest.approx(1.1, abs=1e-3)
    assert reach(0.88, "mouthStretchLeft") == pytest.approx(0.88, abs=1e-3)


def test_units_of_the_mean_head_stay_its_own():
    units = adapted_units(FACE, FACE.mean_shape)
    assert np.abs(units - FACE.expression_basis).max() < 1e-4


def test_several_frames_are_one_head():
    """From a clip: one shape for all frames, nearer to the truth than one frame's when the tracker is noisy."""
    truth, random = person(10), np.random.default_rng(0)
    frames = []
    for yaw in (-18.0, 0.0, 18.0):
        frame = seen(truth, angles(0, yaw, 0))
        noise = random.normal(0, 1.0, frame.landmarks.shape)
        frames.append(dataclasses.replace(frame, landmarks=frame.landmarks + noise))
    together = fit_shapes(FACE, frames)
    head = FACE.mean_shape + BASIS.components @ truth

    def off(found):
        return np.linalg.norm(aligned(found.shape, head) - head, axis=1)[FACE_FRONT].mean()

    assert all((found.shape == together[0].shape).all() for found in together)
    assert off(together[0]) < np.mean([off(fit(frame)) for frame in frames])
    assert together[0].pixels[4, 0] != together[2].pixels[4, 0]


def test_same_input_same_head():
    frame = seen(person(11), angles(3, 4, 5))
    assert (fit(frame).shape == fit(frame).shape).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"landmarks": np.zeros((468, 3))}, r"landmarks of shape (478, 3), got (468, 3)"),
        ({"coefficients": np.zeros(52)}, f"coefficients of shape ({COEFFICIENTS},), got (52,)"),
        ({"landmarks": np.full((478, 3), np.nan)}, "NaN or infinity"),
        ({"image_size": (100, 100)}, "outside of the photo"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(change, sentence):
    with pytest.raises(RenderError, match=re.escape(sentence)):
        fit(dataclasses.replace(seen(person(0), angles()), **change))


def test_small_and_turned_faces_are_refused():
    """From these only a monster could be made."""
    small = PhotoCamera(focal=6.0 * 25, centre=np.array([320.0, 230.0]))
    with pytest.raises(RenderError, match="27 pixels large; its shape needs 40"):
        fit(seen(person(0, 0), angles(), camera=small))
    with pytest.raises(RenderError, match="turned by 38 degrees; its shape can be read up to 35"):
        fit(seen(person(0), angles(0, 38, 0)))
    with pytest.raises(RenderError, match="at least one photo"):
        fit_shapes(FACE, [])


def test_face_models_without_landmarks_are_refused():
    bare = dataclasses.replace(FACE, landmark_vertices=None)
    frame = seen(person(0), angles())
    with pytest.raises(RenderError, match="no MediaPipe landmarks"):
        fit_shape(bare, frame.landmarks, frame.image_size, frame.coefficients)
    with pytest.raises(RenderError, match="no MediaPipe landmarks"):
        adapted_units(bare, FACE.mean_shape)
    with pytest.raises(RenderError, match="Expected a shape"):
        adapted_units(FACE, FACE.mean_shape[:10])
