"""Where the face is: a first look over a picture or a video, at several scales, before anything is followed.

MediaPipe's detector sees its input at 128 px and misses faces below about a fifth of the picture, so a picture without
a face is looked at again in overlapping squares, down to faces of some 30 px in 1080 lines. What a square shows is
looked at once more in a region of its own: a face cut by the square's edge is measured wrongly there, and a chance
likeness is not found twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from perfrdiff.features.media.convert import Region
from perfrdiff.features.media.input import Media
from perfrdiff.features.tracking.landmarker import Face, FaceTracker

__all__ = ["LOOK_PIXELS", "Person", "find_faces", "look_through", "region_around"]

LOOKS = 10  # pictures of a video that are looked at, more only while no face was seen
LOOK_STEP = 0.5  # seconds between them
LOOK_PIXELS = 1920  # long side of the pictures that are looked at
CLOSE_LOOKS = 6  # of them, how many are searched in squares when the whole shows no face
SQUARES = (1.0, 0.5, 1 / 3, 0.2)  # sides of the squares, as shares of the picture's short side
SMALLEST_SQUARE = 96  # pixels; a face that is lost in such a square cannot be read
MARGIN = 2.6  # side of a region in face sizes: room for nods, and the detector wants the face at a third or so
PERSON_SHARE = 0.4  # a second person counts when seen at least this often compared with the first


@dataclass
class Person:
    """One face as it was seen at several looks over a video; pixels as shown."""

    centres: list[np.ndarray] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)

    @property
    def weight(self) -> float:
        """Area times presence: what decides who is followed."""
        return float(np.square(self.sizes).sum())

    @property
    def centre(self) -> np.ndarray:
        return np.median(self.centres, axis=0)

    @property
    def size(self) -> float:
        return float(np.median(self.sizes))


def find_faces(tracker: FaceTracker, picture: np.ndarray, closely: bool = True) -> list[Face]:
    """Faces of an (H, W, 3) picture, largest first; with ``closely`` also small ones, when no large one is there."""
    faces = tracker.detect(picture)
    if faces or not closely:
        return faces
    for share in SQUARES:
        for square in _squares(picture.shape[1], picture.shape[0], share):
            for rough in _detect_in(tracker, picture, square):
                if _is_new(rough, faces) and (face := _confirmed(tracker, picture, rough)) and _is_new(face, faces):
                    faces.append(face)
        if faces:
            break
    return sorted(faces, key=lambda face: face.size, reverse=True)


def _detect_in(tracker: FaceTracker, picture: np.ndarray, region: Region) -> list[Face]:
    """Faces of a part of the picture, in the whole picture's pixels."""
    x, y, width, height = region
    corner = np.array([x, y, 0], dtype=np.float32)
    found = tracker.detect(picture[y : y + height, x : x + width])
    return [replace(face, landmarks=face.landmarks + corner) for face in found]


def _is_new(face: Face, faces: list[Face]) -> bool:
    return all(np.linalg.norm(face.centre - other.centre) > 0.5 * other.size for other in faces)


def _confirmed(tracker: FaceTracker, picture: np.ndarray, rough: Face) -> Face | None:
    """The face as it is seen in a region of its own; None where it is not found there again."""
    region = region_around(rough.centre[None], rough.size, picture.shape[1], picture.shape[0])
    again = _detect_in(tracker, picture, region)
    alike = [face for face in again if np.linalg.norm(face.centre - rough.centre) < 0.7 * rough.size]
    return max(alike, key=lambda face: face.size, default=None)


def _squares(width: int, height: int, share: float) -> Iterator[Region]:
    side = int(min(width, height) * share)
    if side < SMALLEST_SQUARE or side == max(width, height):
        return
    across, down = (np.linspace(0, span - side, 1 + -(-(span - side) * 2 // side)) for span in (width, height))
    for y in down.astype(int):
        for x in across.astype(int):
            yield int(x), int(y), side, side


def look_through(media: Media) -> list[Person]:
    """The people of a video by weight, the one to follow first; empty where no face was seen."""
    people: list[Person] = []
    close = 0
    with FaceTracker(streaming=False) as tracker:
        for look, picture in enumerate(media.sample_frames(LOOK_STEP, LOOK_PIXELS)):
            if look >= LOOKS and people:
                break
            scale = media.info.width / picture.shape[1]
            faces = find_faces(tracker, picture, closely=False)
            if not faces and close < CLOSE_LOOKS:
                faces = find_faces(tracker, picture)
                close += 1
            for face in faces:
                centre, size = face.centre * scale, face.size * scale
                person = _nearest(people, centre, size)
                if person is None:
                    person = Person()
                    people.append(person)
                person.centres.append(centre)
                person.sizes.append(size)
    people.sort(key=lambda person: person.weight, reverse=True)
    often = max((len(person.sizes) for person in people), default=0)
    return [person for person in people if person is people[0] or len(person.sizes) >= PERSON_SHARE * often]


def _nearest(people: list[Person], centre: np.ndarray, size: float) -> Person | None:
    def distance(person: Person) -> float:
        return float(np.linalg.norm(person.centres[-1] - centre))

    alike = [person for person in people if 0.5 < size / person.sizes[-1] < 2 and distance(person) < size]
    return min(alike, key=distance, default=None)


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
