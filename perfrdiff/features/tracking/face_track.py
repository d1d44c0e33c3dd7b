"""A face followed through a clip, or read from a photo: the 58 coefficients and where they came from.

A survey of the video decides who is followed and in which region of the picture (``search.py``). Then only that region
is converted and tracked: a small face in a tall picture keeps its pixels, and no time goes into backgrounds. Memory
grows with the clip by 2.8 kB a frame.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from perfrdiff.coefficients import CHANNEL, EXPRESSION, FPS, ROTATION, TRANSLATION, WIDTH, react_mean
from perfrdiff.errors import InputError
from perfrdiff.features import MAX_SECONDS
from perfrdiff.features.attribute_network import AttributeNetwork
from perfrdiff.features.media.input import Media, Source, as_media
from perfrdiff.features.media.prefetch import CroppedFrame, Prefetcher
from perfrdiff.features.media.video import VideoInfo
from perfrdiff.features.tracking.landmarker import Face, FaceTracker
from perfrdiff.features.tracking.notes import notes_on, times_of
from perfrdiff.features.tracking.occlusion import face_appearance, occluded_frames
from perfrdiff.features.tracking.portrait_frame import portrait_order, views_of_the_head
from perfrdiff.features.tracking.pose import euler_angles, rotation_matrix, tracked_angles
from perfrdiff.features.tracking.search import (
    PHOTO_FACES,
    SURVEY_PIXELS,
    CandidateFace,
    find_faces,
    region_around,
    survey_faces,
)
from perfrdiff.features.tracking.signals import FaceReading, RawTrack, clean, quality_of
from perfrdiff.features.tracking.units import face_shape

__all__ = ["FaceStill", "FaceTrack", "FaceTracker", "FaceView", "quarter_turns_of", "track_image", "track_video"]

REGION_PIXELS = 512  # long side of what the tracker is given: it sees a face at 256 px, half as large as the region
LEAST_TRACKED = 0.5  # share of frames with a face below which a clip is refused
SEARCH_INTERVAL = 12  # frames without the face before the whole picture is searched
EDGE_SHARE = 0.04  # of the region; a face this near its edge makes the region follow
_PERCENTILE_95 = round(0.95 * 128 * 128)  # place of the 95th percentile in 128 x 128 sorted pixels


@dataclass(frozen=True)
class FaceStill:
    """A face in a single picture."""

    coefficients: np.ndarray  # (58,) float32 as tracked, at the REACT mean place; no neutral removed
    landmarks: np.ndarray  # (478, 3) float32, pixels of the picture: x right, y down, z away from the camera
    faces: int = 1  # how many faces were seen; this is the largest


@dataclass(frozen=True)
class FaceView:
    """A picture of the person and what was tracked in it."""

    picture: np.ndarray  # (H, W, 3) uint8 RGB
    landmarks: np.ndarray  # (478, 3) float32, pixels of the picture
    coefficients: np.ndarray  # (58,) float32, no neutral removed


@dataclass(frozen=True)
class FaceTrack:
    """A face followed through a clip at 25 frames per second."""

    coefficients: np.ndarray  # (T, 58) float32
    tracked: np.ndarray  # (T,) bool: seen and not covered, as opposed to filled in
    quality: np.ndarray  # (T,) uint8, index into signals.QUALITIES
    notes: list[str] = field(default_factory=list)  # sentences for the person who gave the file
    attributes: np.ndarray | None = None  # (T, 10) float32 of an AttributeNetwork: valence, arousal, 8 probabilities
    best_frame: np.ndarray | None = None  # (H, W, 3) uint8 RGB: calm, sharp, frontal (portrait_order); on request
    landmarks: np.ndarray | None = None  # (478, 3) float32, pixels of best_frame
    best_coefficients: np.ndarray | None = None  # (58,) float32 of best_frame as a photo
    head_views: tuple[FaceView, ...] = ()  # more calm frames, which show other sides of the head; with best_frame


def track_video(
    source: Source,
    progress: Callable[[float], None] | None = None,
    *,
    max_seconds: float = MAX_SECONDS,
    portrait: bool = False,
    face_number: int | None = None,
    network: AttributeNetwork | None = None,
) -> FaceTrack:
    """Follow one face through a clip: the largest that stays, or the one of a number.

    Args:
        source: a video file, or one that is open already (``open_input``).
        progress: called with 0 … 1.
        max_seconds: a longer video is refused; one that is open was measured by its own limit.
        portrait: also choose and return the best frame.
        face_number: 1 for the largest face that stays, 2 for the next …, as ``people.preview`` numbers them.
        network: reads valence, arousal and expressions (``FaceTrack.attributes``).

    Raises:
        InputError: as ``open_input``; not a video; no face; no face of that number; the face seen in less than half
            of the frames.
    """
    with as_media(source, max_seconds) as media:
        return _track(media, progress, portrait, face_number, network)


def _track(
    media: Media,
    progress: Callable[[float], None] | None,
    portrait: bool,
    face_number: int | None,
    network: AttributeNetwork | None,
) -> FaceTrack:
    info = media.info
    candidates = survey_faces(media)
    if not candidates:
        raise InputError(f"No face was found in {info.name}; use a video in which a face is seen from the front.")
    if face_number is not None and not 1 <= face_number <= len(candidates):
        raise InputError(f"There is no person {face_number} in {info.name}; {len(candidates)} can be followed.")
    followed = (face_number or 1) - 1
    track = _Follower(info, candidates[followed], network).follow(media, progress)
    tracked = track.tracked
    if not tracked.any():
        raise InputError(f"No face was found in {info.name}; use a video in which a face is seen from the front.")
    if tracked.mean() < LEAST_TRACKED:
        raise InputError(
            f"A face was seen in only {tracked.mean():.0%} of {info.name} ({times_of(tracked)}); at least "
            f"{LEAST_TRACKED:.0%} is needed, cut the part that shows the face."
        )
    turns = _set_upright(track)
    occluded = occluded_frames(track.appearances, track.takes)
    track.forget(occluded)
    tracked = track.tracked
    coefficients, _ = clean(track)
    quality = quality_of(coefficients, tracked, np.array(track.sizes), np.array(track.lights))
    notes = notes_on(info, candidates, track, quality, followed, occluded)
    if turns:
        notes.append(f"The face in {info.name} did not stand upright; its movement was read as if it did.")
    result = FaceTrack(coefficients, tracked, quality, notes, _interpolated(track.attributes) if network else None)
    if portrait:
        result = _with_portrait(result, track, media, turns, candidates[followed])
    if progress:
        progress(1.0)
    return result


def track_image(
    picture: np.ndarray,
    name: str = "the photo",
    near: np.ndarray | None = None,
    face_number: int | None = None,
) -> FaceStill:
    """The largest face of a photo, the one nearest to a place, or the one of a number.

    Args:
        picture: (H, W, 3) uint8 RGB.
        name: how the photo is called in the error's sentence.
        near: (2,) pixels of the picture.
        face_number: 1 for the largest, 2 for the next …, as ``people.preview`` numbers them.

    Raises:
        InputError: no face was found, or none of that number.
    """
    height, width = picture.shape[:2]
    with FaceTracker(streaming=False, **({} if face_number is None else {"faces": PHOTO_FACES})) as tracker:
        faces = find_faces(tracker, picture)
        if not faces:
            raise InputError(f"No face was found in {name}; use a picture in which a face is seen from the front.")
        if face_number is not None and not 1 <= face_number <= len(faces):
            raise InputError(f"There is no person {face_number} in {name}; {len(faces)} can be chosen.")
        if near is not None:
            faces.sort(key=lambda face: float(np.linalg.norm(face.centre - near)))
        elif face_number is not None:
            faces.insert(0, faces.pop(face_number - 1))
        # Once more in a region of its own: the tracker sees more pixels of it, from straight in front.
        x, y, across, down = region_around(faces[0].centre[None], faces[0].size, width, height)
        faces_in_region = tracker.detect(picture[y : y + down, x : x + across])
    face = faces[0]
    if faces_in_region:
        expected = faces[0].centre - np.array([x, y])
        face = min(faces_in_region, key=lambda other: float(np.linalg.norm(other.centre - expected)))
        face = replace(face, landmarks=face.landmarks + np.array([x, y, 0], dtype=np.float32))
    coefficients = np.zeros(WIDTH, dtype=np.float32)
    coefficients[EXPRESSION] = face.expressions
    coefficients[ROTATION] = tracked_angles(face.rotation)
    coefficients[TRANSLATION] = react_mean()[TRANSLATION]
    return FaceStill(coefficients, face.landmarks, len(faces))


class _Follower:
    """Follows one face through the pictures of a clip, moving the region along when needed."""

    def __init__(self, info: VideoInfo, candidate: CandidateFace, network: AttributeNetwork | None):
        self._info, self._network = info, network
        self._centre, self._size = candidate.centre, candidate.size  # where the face was last, display pixels
        self._region = region_around(np.array(candidate.centres), max(candidate.sizes), info.width, info.height)
        self._lost_frames = 0
        self._take = 0

    def follow(self, media: Media, progress: Callable[[float], None] | None) -> RawTrack:
        track = RawTrack()
        expected = max(1, round(self._info.seconds * FPS))
        searcher: FaceTracker | None = None  # few clips need one, and it takes as long as two pictures
        with (
            FaceTracker(streaming=True, faces=3) as tracker,
            ExitStack() as of_searches,
            media.frame_reader(REGION_PIXELS) as reader,
            Prefetcher(reader, self._region) as frames,
        ):
            for index, frame in enumerate(frames):
                face = self._continuation(tracker.detect(frame.picture), frame)
                if face is None:
                    self._lost_frames += 1
                    track.add(None, self._take)
                    if self._lost_frames % SEARCH_INTERVAL == 0:
                        searcher = searcher or of_searches.enter_context(FaceTracker(streaming=False))
                        self._search(searcher, reader.whole(frame.number, SURVEY_PIXELS))
                else:
                    self._lost_frames = 0
                    self._centre, self._size = _in_display_pixels(face, frame)
                    sharpness, light, appearance = _measure_picture(frame.picture, face)
                    reading = FaceReading(
                        expressions=face.expressions,
                        rotation=face.rotation,
                        position=self._position(face, frame),
                        sharpness=sharpness,
                        shape=face_shape(face.landmarks),
                        size=self._size,
                        light=light,
                        attributes=self._network.read(frame.picture, face) if self._network else None,
                        appearance=appearance,
                    )
                    track.add(reading, self._take)
                    self._keep_inside(face, frame)
                frames.request_region(self._region)
                if progress and index % 10 == 0:
                    progress(min(0.99, index / expected))
        return track

    def _continuation(self, faces: list[Face], frame: CroppedFrame) -> Face | None:
        """The face that continues the one followed, by place and size."""
        largest_step = (0.6 + 0.1 * min(self._lost_frames, 15)) * self._size
        best, nearest = None, np.inf
        for face in faces:
            centre, size = _in_display_pixels(face, frame)
            distance = float(np.linalg.norm(centre - self._centre))
            if distance < min(largest_step, nearest) and 0.5 < size / self._size < 2:
                best, nearest = face, distance
        return best

    def _position(self, face: Face, frame: CroppedFrame) -> np.ndarray:
        """Centimetres in a camera that looks at the whole picture, whatever the region: (3,)."""
        per_pixel = face.centimetres_per_pixel / frame.scale  # centimetres per display pixel at the face
        x, y, across, down = frame.region
        offset = np.array([x + across / 2 - self._info.width / 2, self._info.height / 2 - y - down / 2]) * per_pixel
        focal = self._info.height / 2 / np.tan(np.radians(63.0) / 2)
        return np.array([*(face.position[:2] + offset), -per_pixel * focal])

    def _keep_inside(self, face: Face, frame: CroppedFrame) -> None:
        height, width = frame.picture.shape[:2]
        left, top, right, bottom = face.box
        x, y, across, down = frame.region
        touches = (
            (left < EDGE_SHARE * width and x > 0)
            or (top < EDGE_SHARE * height and y > 0)
            or (right > (1 - EDGE_SHARE) * width and x + across < self._info.width)
            or (bottom > (1 - EDGE_SHARE) * height and y + down < self._info.height)
        )
        if touches:
            self._region = region_around(self._centre[None], self._size, self._info.width, self._info.height)

    def _search(self, searcher: FaceTracker, picture: np.ndarray) -> None:
        """Look for the lost face in the whole picture; small squares only at the first and every eighth time."""
        scale = self._info.width / picture.shape[1]
        faces = find_faces(searcher, picture, include_small=(self._lost_frames // SEARCH_INTERVAL) % 8 == 1)
        similar = [face for face in faces if 0.4 < face.size * scale / self._size < 2.5]
        if similar:
            face = min(similar, key=lambda other: float(np.linalg.norm(other.centre * scale - self._centre)))
            moved = float(np.linalg.norm(face.centre * scale - self._centre)) > self._size
            self._centre, self._size = face.centre * scale, face.size * scale
            self._region = region_around(self._centre[None], self._size, self._info.width, self._info.height)
            self._take += moved


def _in_display_pixels(face: Face, frame: CroppedFrame) -> tuple[np.ndarray, float]:
    """Centre (2,) and size of a face in the clip's display pixels."""
    return np.array(frame.region[:2]) + face.centre * frame.scale, face.size * frame.scale


def _interpolated(rows: list[np.ndarray | None]) -> np.ndarray:
    """(T, C) float32 with straight lines over frames without a face, and the nearest row at the ends."""
    frames = [index for index, row in enumerate(rows) if row is not None]
    columns = np.stack([rows[index] for index in frames], axis=1)
    return np.stack([np.interp(np.arange(len(rows)), frames, column) for column in columns], axis=1).astype(np.float32)


def _measure_picture(picture: np.ndarray, face: Face) -> tuple[float, float, np.ndarray | None]:
    """Sharpness, light and appearance, as in ``FaceReading``, of a face in an (H, W, 3) uint8 RGB picture."""
    height, width = picture.shape[:2]
    left, top, right, bottom = np.clip(face.box, 0, [width, height, width, height]).astype(int)
    if right - left < 8 or bottom - top < 8:
        return 0.0, 255.0, None
    grey = cv2.cvtColor(picture[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, (128, 128), interpolation=cv2.INTER_AREA)
    sharpness = cv2.Laplacian(grey, cv2.CV_32F).var()
    light = np.partition(grey, _PERCENTILE_95, axis=None)[_PERCENTILE_95]
    return float(sharpness), float(light), face_appearance(grey, (left, top, right, bottom), face.landmarks)


def quarter_turns_of(coefficients: np.ndarray) -> int:
    """How many quarter turns, counter-clockwise as seen, the face of (58,) coefficients is away from upright: 0 … 3."""
    return round(float(coefficients[CHANNEL["rotationZ"]]) / (np.pi / 2)) % 4


def _set_upright(track: RawTrack) -> int:
    """Turn the poses of a face that lies on its side or its head, in place; returns the quarter turns it was off."""
    rolls = euler_angles(np.stack([rotation for rotation in track.rotations if rotation is not None]))[:, 2]
    turns = round(float(np.angle(np.exp(1j * rolls).mean())) / (np.pi / 2)) % 4
    if turns:
        back = rotation_matrix(np.array([0.0, 0.0, -turns * np.pi / 2]))
        track.rotations = [None if rotation is None else back @ rotation for rotation in track.rotations]
        track.positions = [None if position is None else back @ position for position in track.positions]
    return turns


def _with_portrait(result: FaceTrack, track: RawTrack, media: Media, turns: int, candidate: CandidateFace) -> FaceTrack:
    sharpness, takes = np.array(track.sharpness), np.array(track.takes)
    ranked = [int(tick) for tick in portrait_order(result.coefficients, track.tracked, sharpness)[:5]]
    same_take = track.tracked & (takes == takes[ranked[0]])  # after a cut it may be somebody else
    further = views_of_the_head(result.coefficients, same_take, sharpness, photo=ranked[0])
    # one pass over the video; at most 8 pictures of 1280 pixels
    pictures = dict(media.frames_at({*ranked, *further}))

    def view(tick: int) -> FaceView | None:
        frame = np.ascontiguousarray(np.rot90(pictures[tick], -turns))
        try:
            near = None if turns else candidate.centre * frame.shape[1] / media.info.width
            still = track_image(frame, media.name, near)
        except InputError:
            return None
        return FaceView(frame, still.landmarks, still.coefficients)

    photo = next((found for tick in ranked if (found := view(tick)) is not None), None)
    if photo is None:
        raise InputError(f"No frame of {media.name} shows the face well enough for a portrait; give a photo instead.")
    views = tuple(found for tick in further if (found := view(tick)) is not None)
    return replace(
        result, best_frame=photo.picture, landmarks=photo.landmarks, best_coefficients=photo.coefficients,
        head_views=views,
    )  # fmt: skip
