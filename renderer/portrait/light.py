"""A light that follows the turn: what turns away from the camera gets a little darker, what turns to it brighter."""

import numpy as np

from renderer.portrait.framing import head_axes

STRENGTH = 0.08  # change of brightness of a cheek's edge at a turn of REFERENCE_TURN
REFERENCE_TURN = np.radians(20)
HALF_WIDTH = 0.40  # face heights from the middle of the face to the edge of a cheek
NECK = (0.35, 0.8)  # face heights below the middle of the face: all of the effect, none of it


def facing_aside(size: int, landmarks: np.ndarray) -> np.ndarray:
    """(size, size) int8 map of a picture: -127 where the head's surface faces the picture's left, 127 the right.

    landmarks (478, 3) in the picture's pixels. The head is taken for a cylinder (the sine of its angle), which is
    smoother than the landmarks' depth: nothing of it is seen but the change. It ends at the neck.
    """
    centre, right, down, height = head_axes(landmarks)
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    columns -= np.float32(centre[0])
    rows -= np.float32(centre[1])
    across = (columns * right[0] + rows * right[1]) / (HALF_WIDTH * height)
    below = (columns * down[0] + rows * down[1]) / height
    share = ((NECK[1] - below) / (NECK[1] - NECK[0])).clip(0, 1)
    facing = np.sin(0.5 * np.pi * across.clip(-1, 1)) * share * share * (3 - 2 * share)
    return np.round(127 * facing).astype(np.int8)


def light_of_turn(rotation: np.ndarray) -> float:
    """Change of brightness where `facing_aside` is 127, for a rotation (3, 3) of the head against the photo.

    Picture axes: x right, y down, z away from the camera. 0 for a head that is not turned.
    """
    aside = -float(rotation[0, 2])  # how far the nose, which pointed to the camera, now points to the right
    return -STRENGTH * float(np.clip(aside / np.sin(REFERENCE_TURN), -1.25, 1.25))
