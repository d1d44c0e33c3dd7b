"""Where the faces are: a survey of a picture or a video, at several scales, before one face is followed.

MediaPipe's detector sees its input at 128 px and misses faces below about a fifth of the picture, so a picture without
a face is searched again in overlapping squares, down to faces of some 30 px in 1080 lines. A face detected in a square
is detected once more in a region of its own: one cut by the square's edge is measured wrongly there, and a chance
likeness is not detected twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from perfrdiff.features.media.convert import Region
from perfrdiff.features.media.input import Media
from perfrdiff.features.tracking.landmarker import Face, FaceTracker

__all__ = ["PHOTO_FACES", "SURVEY_PIXELS", "CandidateFace", "find_faces", "region_around", "survey_faces"]

SURVEY_FRAMES = 10  # pictures of a video that are searched, more only while no face was seen
SURVEY_STEP = 0.5  # seconds between them
SURVEY_PIXELS = 1920  # their long side
CLOSE_SEARCHES = 6  # of them, how many are searched in squares when the full picture shows no face
SQUARES = (1.0, 0.5, 1 / 3, 0.2)  # sides of the squares, as shares of the picture's short side
SMALLEST_SQUARE = 96  # pixels; a face that is lost in such a square cannot be read
MARGIN = 2.6  # side of a region in face sizes: room for nods, and the detector wants the face at a third or so
PHOTO_FACES = 10  # of a photo of many, how many can be chosen from
LEAST_PRESENCE = 0.4  # another face counts when seen at least this often compared with the most frequent


@dataclass
class CandidateFace:
    """A face that can be followed, as detected in several pictures of a video; all in display pixels."""

    centres: list[np.ndarray] = field(default_factory=list)  # (2,) each
    sizes: list[float] = field(default_factory=list)  # longer side of the landmarks' box

    @property
    def weight(self) -> float:
        """Area times presence: what decides who is followed."""
        return float(np.square(self.sizes).sum())

    @property
    def centre(self) -> np.ndarray:
        """(2,) the median of all centres."""
        return np.median(self.centres, axis=0)

    @property
    def size(self) -> float:
        """The median of all sizes."""
        return float(np.median(self.sizes))


def find_faces(tracker: FaceTracker, picture: np.ndarray, include_small: bool = True) -> list[Face]:
    """Faces of an (H, W, 3) uint8 RGB picture, largest first; ``include_small``: also small ones where no other is."""
    faces = tracker.detect(picture)
    if faces or not include_small:
        return faces
    for share in SQUARES:
        for square in _squares(picture.shape[1], picture.shape[0], share):
            for candidate in _detect_in(tracker, picture, square):
                face = _confirmed(tracker, picture, candidate) if _is_new(candidate, faces) else None
                if face and _is_new(face, faces):
                    faces.append(face)
        if faces:
            break
    return sorted(faces, key=lambda face: face.size, reverse=True)


def _detect_in(tracker: FaceTracker, picture: np.ndarray, region: Region) -> list[Face]:
    """Faces of a region, in the full picture's pixels."""
    x, y, width, height = region
    corner = np.array([x, y, 0], dtype=np.float32)
    faces = tracker.detect(picture[y : y + height, x : x + width])
    return [replace(face, landmarks=face.landmarks + corner) for face in faces]


def _is_new(face: Face, faces: list[Face]) -> bool:
    return all(np.linalg.norm(face.centre - other.centre) > 0.5 * other.size for other in faces)


def _confirmed(tracker: FaceTracker, picture: np.ndarray, candidate: Face) -> Face | None:
    """The face as detected in a region of its own; None where it is not detected there again."""
    region = region_around(candidate.centre[None], candidate.size, picture.shape[1], picture.shape[0])
    confirmations = _detect_in(tracker, picture, region)
    matches = [face for face in confirmations if np.linalg.norm(face.centre - candidate.centre) < 0.7 * candidate.size]
    return max(matches, key=lambda face: face.size, default=None)


def _squares(width: int, height: int, share: float) -> Iterator[Region]:
    side = int(min(width, height) * share)
    if side < SMALLEST_SQUARE or side == max(width, height):
        return
    across, down = (np.linspace(0, span - side, 1 + -(-(span - side) * 2 // side)) for span in (width, height))
    for y in down.astype(int):
        for x in across.astype(int):
            yield int(x), int(y), side, side


def survey_faces(media: Media) -> list[CandidateFace]:
    """The faces of a video by weight, the one to follow first; empty where none was detected."""
    candidates: list[CandidateFace] = []
    close_searches = 0
    with FaceTracker(streaming=False) as tracker:
        for index, picture in enumerate(media.sample_frames(SURVEY_STEP, SURVEY_PIXELS)):
            if index >= SURVEY_FRAMES and candidates:
                break
            scale = media.info.width / picture.shape[1]
            faces = find_faces(tracker, picture, include_small=False)
            if not faces and close_searches < CLOSE_SEARCHES:
                faces = find_faces(tracker, picture)
                close_searches += 1
            for face in faces:
                centre, size = face.centre * scale, face.size * scale
                candidate = _nearest(candidates, centre, size)
                if candidate is None:
                    candidate = CandidateFace()
                    candidates.append(candidate)
                candidate.centres.append(centre)
                candidate.sizes.append(size)
    candidates.sort(key=lambda candidate: candidate.weight, reverse=True)
    most_seen = max((len(candidate.sizes) for candidate in candidates), default=0)
    least = LEAST_PRESENCE * most_seen
    return [candidate for candidate in candidates if candidate is candidates[0] or len(candidate.sizes) >= least]


def _nearest(candidates: list[CandidateFace], centre: np.ndarray, size: float) -> CandidateFace | None:
    def distance(candidate: CandidateFace) -> float:
        return float(np.linalg.norm(candidate.centres[-1] - centre))

    similar = (candidate for candidate in candidates if 0.5 < size / candidate.sizes[-1] < 2)
    return min((candidate for candidate in similar if distance(candidate) < size), key=distance, default=None)


def region_around(centres: np.ndarray, size: float, width: int, height: int) -> Region:
    """A region of the picture that holds a face of ``size`` pixels at all of ``centres`` (N, 2), with margin."""
    low, high = np.min(centres, axis=0), np.max(centres, axis=0)
    side = min(float((high - low).max()) + MARGIN * size, float(max(width, height)))
    middle = (low + high) / 2
    edges = []
    for at, span in zip(middle, (width, height), strict=True):
        length = min(side, span)
        edges.append((int(np.clip(at - length / 2, 0, span - length)), int(length)))
    (x, across), (y, down) = edges
    return x, y, across, down
