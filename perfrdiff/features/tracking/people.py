"""Who is seen in a video or photo, as a picture with a number at each face."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from perfrdiff.errors import InputError
from perfrdiff.features import MAX_SECONDS
from perfrdiff.features.media.input import Media, Source, as_media
from perfrdiff.features.tracking.landmarker import FaceTracker
from perfrdiff.features.tracking.search import PHOTO_FACES, CandidateFace, find_faces, survey_faces

__all__ = ["preview", "write_preview"]

LONG_SIDE = 1280  # pixels of the picture
PREVIEW_FRAMES = 8  # pictures among which the one with the most faces is chosen


def preview(source: Source, max_seconds: float = MAX_SECONDS) -> tuple[np.ndarray, list[CandidateFace]]:
    """An (H, W, 3) uint8 RGB picture of the video or photo with the faces' numbers, and the faces, the default first.

    Number n is what ``track_video(face_number=n)`` follows and ``track_image`` takes. The file is a path or opened
    already (``open_input``).

    Raises:
        InputError: as ``open_input``; a features file; no face was found.
    """
    with as_media(source, max_seconds) as media:
        photo = media.image() if media.kind == "image" else None
        candidates = survey_faces(media) if photo is None else _faces_of(photo)
        if not candidates:
            what = "video" if photo is None else "picture"
            raise InputError(f"No face was found in {media.name}; use a {what} in which a face is seen from the front.")
        if photo is None:
            picture = _picture_of(media, len(candidates))
            scale = picture.shape[1] / media.info.width
        else:
            scale = min(1.0, LONG_SIDE / max(photo.shape[:2]))
            picture = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for number, candidate in enumerate(candidates, start=1):
        _mark(picture, number if len(candidates) > 1 else None, candidate.centre * scale, candidate.size * scale)
    return picture, candidates


def _faces_of(photo: np.ndarray) -> list[CandidateFace]:
    """The faces of an (H, W, 3) uint8 RGB photo, largest first."""
    with FaceTracker(streaming=False, faces=PHOTO_FACES) as tracker:
        return [CandidateFace([face.centre], [face.size]) for face in find_faces(tracker, photo)]


def write_preview(source: Source, out: Path, max_seconds: float = MAX_SECONDS) -> int:
    """Write the preview as a picture file; returns how many faces can be followed.

    Raises:
        InputError: as ``preview``; the file cannot be written.
    """
    picture, candidates = preview(source, max_seconds)
    try:
        Image.fromarray(picture).save(out)
    except (OSError, ValueError):
        raise InputError(f"{out} cannot be written; name a picture such as people.png.") from None
    return len(candidates)


def _picture_of(media: Media, count: int) -> np.ndarray:
    """The picture of the first few in which the most faces are detected, (H, W, 3) uint8 RGB."""
    best, most = None, -1
    with FaceTracker(streaming=False, faces=min(10, 2 * count)) as tracker:
        for index, picture in enumerate(media.sample_frames(0.5, LONG_SIDE)):
            if index >= PREVIEW_FRAMES or most == count:
                break
            faces = find_faces(tracker, picture)
            if len(faces) > most:
                best, most = picture, len(faces)
    return best.copy()


def _mark(picture: np.ndarray, number: int | None, centre: np.ndarray, size: float) -> None:
    """Draw a frame around a face and its number, if any, beside it, in place."""
    thick = max(2, round(size / 60))
    low, high = (centre - 0.6 * size).astype(int), (centre + 0.6 * size).astype(int)
    cv2.rectangle(picture, low.tolist(), high.tolist(), (255, 255, 255), 2 * thick)
    cv2.rectangle(picture, low.tolist(), high.tolist(), (196, 90, 63), thick)
    if number is None:
        return
    radius = max(14, round(size / 6))
    middle = (
        int(np.clip(low[0], radius, picture.shape[1] - radius)),
        int(np.clip(low[1], radius, picture.shape[0] - radius)),
    )
    cv2.circle(picture, middle, radius, (196, 90, 63), -1, cv2.LINE_AA)
    text, scale = str(number), radius / 18
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 2)
    place = (middle[0] - width // 2, middle[1] + height // 2)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 2, cv2.LINE_AA)
