"""The built-in photo animator: one photo, moved by warping it over a still background. No network, no weights."""

from collections.abc import Iterator

import numpy as np

from renderer.coefficients import plausible_coefficients
from renderer.errors import RenderError
from renderer.face_model import FaceModel
from renderer.portrait.background import add_hair_strands, fill_background, without_background
from renderer.portrait.drawing import new_maps, rasterise
from renderer.portrait.eyes import Eye
from renderer.portrait.framing import frame_photo
from renderer.portrait.geometry import LocalAffine, PortraitMesh
from renderer.portrait.glasses import kept_motion, wears_glasses
from renderer.portrait.layer import ENLARGED, PersonLayer
from renderer.portrait.light import facing_aside, light_of_turn
from renderer.portrait.matte import person_matte
from renderer.portrait.motion import BlendshapeMotion, Motion, RelativeMotion
from renderer.portrait.mouth import Mouth, close_lips
from renderer.portrait.topology import EYES, FACE_LANDMARKS, LIPS_LOWER_INNER, LIPS_UPPER_INNER, face_triangles
from renderer.portrait.unfold import unfold_landmarks

MIN_SIZE, MAX_CANVAS_SIZE = 64, 1024


class WarpAnimator:
    """Animates a photo by its 478 landmarks (protocol `PortraitAnimator`).

    `face` brings the expression units at MediaPipe's landmarks; `size` is the side of the frames in pixels.
    """

    name = "warp"

    def __init__(self, face: FaceModel, size: int = 256) -> None:
        if not MIN_SIZE <= size <= MAX_CANVAS_SIZE:
            raise RenderError(f"The portrait's size must be {MIN_SIZE} to {MAX_CANVAS_SIZE} pixels, not {size}.")
        self.size = int(size)
        self._source = BlendshapeMotion(face)
        self._photo: _PreparedPhoto | None = None

    def set_portrait(self, image: np.ndarray, landmarks: np.ndarray, coefficients: np.ndarray) -> None:
        """Takes the photo to animate.

        image (H, W, 3) uint8 RGB; landmarks (478, 3) pixels of that image, z in the scale of x (MediaPipe's
        normalised landmarks times width, height, width); coefficients (58,) of the photo as tracked: they are its
        rest, so a smile that is already there is not added again. Raises RenderError on bad input.
        """
        motion = RelativeMotion(self._source, coefficients)
        self._photo = _PreparedPhoto(image, landmarks, motion, self.size)

    def animate(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """(T, 58) coefficients to T frames (size, size, 3) uint8 RGB, one by one. Wild values are clamped.

        Raises RenderError before the first frame when no photo was set, on a wrong shape and on NaN.
        """
        if self._photo is None:
            raise RenderError("No portrait is set; call set_portrait first.")
        return self._frames(self._photo, plausible_coefficients(coefficients))

    def animate_many(self, sequences: list[np.ndarray]) -> list[Iterator[np.ndarray]]:
        """`animate` of each sequence; they may be drawn by different threads."""
        return [self.animate(sequence) for sequence in sequences]

    @staticmethod
    def _frames(photo: "_PreparedPhoto", rows: np.ndarray) -> Iterator[np.ndarray]:
        scratch = photo.scratch()
        for motion in photo.motion.motions(rows):
            yield photo.draw(motion, scratch)


class _PreparedPhoto:
    """Everything that is prepared once for a photo. Drawing does not change it, so threads may share it."""

    def __init__(self, image: np.ndarray, landmarks: np.ndarray, motion: RelativeMotion, size: int) -> None:
        self.motion = motion
        crop = frame_photo(image, landmarks, size)
        self.size, self.margin = size, crop.margin
        points = unfold_landmarks(crop.landmarks, motion.source.rest, face_triangles())
        points, is_open = close_lips(points)
        matte = person_matte(crop.picture, points)
        background = fill_background(crop.picture, matte, points)
        matte = add_hair_strands(matte, crop.picture, background)
        frame = slice(crop.margin, crop.margin + size)
        self.photo_frame = np.ascontiguousarray(crop.picture[frame, frame])
        self.background = np.ascontiguousarray(background[frame, frame])
        alpha = (matte * 255).round().astype(np.uint8)
        self.person = PersonLayer(np.dstack([without_background(crop.picture, matte, background), alpha]))
        self.facing = facing_aside(len(crop.picture), points)
        self.geometry = PortraitMesh(crop, points, matte, motion.source)
        glasses = wears_glasses(crop.picture, points)
        if glasses:
            self.geometry.feature_scale *= kept_motion(points)
        self.eyes = [Eye(crop, indices, glasses) for indices in EYES]
        self.mouth = Mouth(crop, points, is_open)
        self._eye_affines = [LocalAffine(points[np.concatenate([e.upper, e.lower, e.crease_upper])]) for e in EYES]
        self._mouth_affine = LocalAffine(points[[*LIPS_UPPER_INNER, 2, 164, 94]])
        first = len(self.geometry.sources)
        lids = []
        for eye in self.eyes:
            lids.append(eye.lid_triangles + first)
            first += eye.lid_triangles.max() + 1
        self.triangles = np.concatenate([self.geometry.triangles, *lids]).astype(np.int32)
        pixel_coordinates = ENLARGED * (np.arange(size, dtype=np.float32) + crop.margin)
        self._still_maps = new_maps(size)
        self._still_maps[0, :, :size], self._still_maps[1, :, :size] = np.meshgrid(pixel_coordinates, pixel_coordinates)
        self._still_maps[2] = np.inf
        self._still_maps[:2, :, size:] = 0

    def targets(self, motion: Motion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Moved landmarks (468, 3), all targets (N, 3) and all sources (N, 2) of one frame, padded picture."""
        expressed = self.geometry.apply_expression(motion)
        face = self.geometry.apply_pose(expressed, motion)
        vertices = self.geometry.without_folds(self.geometry.all_vertices(expressed, face, motion))
        face = vertices[:FACE_LANDMARKS]  # a view: the lids move in both
        for eye, closure, squint in zip(self.eyes, motion.lid_closure, motion.squint, strict=True):
            eye.move_lids(face, float(closure), float(squint))
        patches = [eye.lid_patch(face, float(c)) for eye, c in zip(self.eyes, motion.lid_closure, strict=True)]
        targets = np.concatenate([vertices, *(patch[0] for patch in patches)])
        sources = np.concatenate([self.geometry.sources, *(patch[1] for patch in patches)])
        return face, targets, sources

    def scratch(self) -> np.ndarray:
        """Memory for `draw`, of one thread: fresh memory for each frame is slow."""
        return np.empty_like(self._still_maps)

    def draw(self, motion: Motion, scratch: np.ndarray) -> np.ndarray:
        face, targets, sources = self.targets(motion)
        scratch[:] = self._still_maps
        rasterise(
            targets.astype(np.float32), (ENLARGED * sources).astype(np.float32), self.triangles, self.margin, scratch
        )
        still, light = (self.background, self.photo_frame), light_of_turn(motion.rotation)
        frame = self.person.draw(
            (scratch[0, :, : self.size], scratch[1, :, : self.size]), self.margin, still, self.facing, light
        )
        geometry = self.geometry
        affine = geometry.head_affine(self._mouth_affine, motion)
        self.mouth.draw(frame, face, affine, self._jaw(motion))
        for eye, local, lid_closure, gaze in zip(
            self.eyes, self._eye_affines, motion.lid_closure, motion.gaze, strict=True
        ):
            eye.draw(frame, face, geometry.head_affine(local, motion), gaze, float(lid_closure))
        return frame

    def _jaw(self, motion: Motion) -> np.ndarray:
        """(2,) motion of the lower teeth against the skull in mouth widths: they stay behind the lower lip."""
        geometry = self.geometry
        lip = motion.displacement[LIPS_LOWER_INNER[4:7]].mean(axis=0)
        moved = geometry.scale * (lip @ geometry.head_rotation.T)[:2] / self.mouth.width
        return np.array([moved @ self.mouth.right, moved @ self.mouth.down])
