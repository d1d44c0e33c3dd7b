"""Frames per second of the photo animator on one core, and its ratio to the plain way of warping a photo.

    python -m benchmarks.portrait

The plain way is what a first version does with OpenCV: for every triangle of the mesh one affine warp of the region
and one mask, blended into the frame. Both move the same vertices; neither reads a file. The photo is drawn here.
"""

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from renderer.face_model import COEFFICIENT_NAMES, load_face_model, neutral_coefficients
from renderer.portrait import WarpAnimator
from tests.support.drawn_portrait import drawn_portrait

FRAMES = 100


def performance(frames: int) -> np.ndarray:
    """(frames, 58): nods, turns, blinks, smiles and talk, so that every part of the drawing has work."""
    rows = neutral_coefficients(frames)
    time_axis = np.arange(frames) / 25
    column = COEFFICIENT_NAMES.index
    rows[:, column("rotationX")] += np.radians(8) * np.sin(5 * time_axis)
    rows[:, column("rotationY")] = np.radians(12) * np.sin(2 * time_axis)
    rows[:, column("jawOpen")] = 0.3 * np.sin(9 * time_axis) ** 2
    for side in ("Left", "Right"):
        rows[:, column("mouthSmile" + side)] = 0.5 + 0.4 * np.sin(3 * time_axis)
        rows[:, column("eyeBlink" + side)] = np.sin(4 * time_axis).clip(0) ** 6
        rows[:, column("eyeLookDown" + side)] = 0.3 * np.cos(3 * time_axis) ** 2
    return rows


def plain_warp(photo, picture, motion) -> np.ndarray:
    """One frame by one cv2.warpAffine per triangle."""
    _, targets, sources = photo.targets(motion)
    targets = (targets[:, :2] - photo.margin).astype(np.float32)
    sources = sources.astype(np.float32)
    frame = photo.photo_frame.copy()
    for triangle in photo.triangles:
        here, there = targets[triangle], sources[triangle]
        low = np.maximum(np.floor(here.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(here.max(axis=0)).astype(int) + 1, photo.size)
        if (high <= low).any():
            continue
        affine = cv2.getAffineTransform(there, here - low.astype(np.float32))
        width, height = (high - low).tolist()
        patch = cv2.warpAffine(picture, affine, (width, height), flags=cv2.INTER_CUBIC)
        mask = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(mask, np.round(here - low).astype(np.int32), 255, cv2.LINE_AA)
        cv2.copyTo(patch, mask, frame[low[1] : high[1], low[0] : high[0]])
    return frame


def main() -> None:
    cv2.setNumThreads(1)
    face = load_face_model()
    picture, landmarks, own = drawn_portrait(face, 768)
    rows = performance(FRAMES)
    print(f"{'size':>5} {'set_portrait':>13} {'frames/s':>9} {'plain way':>10} {'ratio':>6}")
    for size in (256, 512):
        animator = WarpAnimator(face, size)
        start = time.perf_counter()
        animator.set_portrait(picture, landmarks, own)
        prepared = time.perf_counter() - start
        list(animator.animate(rows[:3]))
        start = time.process_time()
        for _ in animator.animate(rows):
            pass
        ours = FRAMES / (time.process_time() - start)
        photo = animator._photo
        motions = [photo.motion(row) for row in rows[:5]]
        picture_only = photo.mouth.picture
        start = time.process_time()
        for motion in motions:
            plain_warp(photo, picture_only, motion)
        plain = len(motions) / (time.process_time() - start)
        print(f"{size:>5} {prepared:>11.2f} s {ours:>9.0f} {plain:>10.1f} {ours / plain:>6.1f}")


if __name__ == "__main__":
    main()
