"""Pictures as H.264 wants them: YCbCr of BT.709 in limited range, colour at half the resolution (yuv420p)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import av
import cv2
import numpy as np

from renderer.jit import jit, jit_loop


@dataclass(frozen=True)
class YuvPicture:
    """A picture of even width and height. Its planes are the memory of a video frame: encoding makes no copy.

    planes: luma (height, line), blue and red difference (height / 2, line / 2) uint8; a line may be longer than width.
    """

    frame: av.VideoFrame
    planes: tuple[np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def empty(cls, width: int, height: int) -> Self:
        """Of whatever was in memory."""
        frame = av.VideoFrame(width, height, "yuv420p")
        y, u, v = (np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes)
        return cls(frame, (y, u, v))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.frame.width, self.frame.height

    def copy(self) -> Self:
        twin = type(self).empty(*self.size)
        for to, plane in zip(twin.planes, self.planes, strict=True):
            to[:] = plane
        return twin

    def resized(self, width: int, height: int) -> Self:
        """The picture at another even size; itself where it has that size."""
        if self.size == (width, height):
            return self
        result = type(self).empty(width, height)
        for plane, (to, source) in enumerate(zip(result.planes, self.planes, strict=True)):
            half = 2 if plane else 1
            to[:, : width // half] = _resized(source[:, : self.size[0] // half], width // half, height // half)
        return result

    def paste(self, picture: YuvPicture, x: int, y: int) -> None:
        """Lays `picture` over this one, in place, its upper left corner at even x and y."""
        width, height = picture.size
        for plane, (to, source) in enumerate(zip(self.planes, picture.planes, strict=True)):
            half = 2 if plane else 1
            target = to[y // half : (y + height) // half, x // half : (x + width) // half]
            target[:] = source[:, : width // half]

    def round_corners(
        self, area: tuple[int, int, int, int], masks: tuple[np.ndarray, np.ndarray], ground: list[int]
    ) -> None:
        """Lays a ground over the corners of an area, in place.

        area: x, y, width and height, all even. masks: how much of the picture stays in the upper left corner, (r, r)
        float32 for luma and (r / 2, r / 2) for colours; the others are its mirror images. ground: luma, blue and red
        difference, 0..255.
        """
        x, y, width, height = area
        for plane, (pixels, level) in enumerate(zip(self.planes, ground, strict=True)):
            half = 2 if plane else 1
            target = pixels[y // half : (y + height) // half, x // half : (x + width) // half]
            _round_corners(target, masks[min(plane, 1)], np.float32(level))


def to_yuv420(picture: np.ndarray) -> YuvPicture:
    """(H, W, 3) uint8 RGB -> a picture of its own memory; an odd H or W is made even by one repeated row or column.

    Within one step of FFmpeg's converter in luma, at a small share of its time: no copy is made on the way.
    """
    height, width = picture.shape[:2]
    if width % 2 or height % 2:
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    converted = YuvPicture.empty(width + width % 2, height + height % 2)
    _rgb_to_yuv420(np.ascontiguousarray(picture), *converted.planes)
    return converted


def _resized(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    """A plane (h, w) uint8 at another size: whole blocks are averaged, what is left to shrink by is less than 2."""
    blocks_y, blocks_x = (max(1, old // new) for old, new in zip(plane.shape, (height, width), strict=True))
    if blocks_x > 1 or blocks_y > 1:
        rows, columns = plane.shape[0] // blocks_y, plane.shape[1] // blocks_x
        plane = plane[: rows * blocks_y, : columns * blocks_x]
        plane = cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA)
    way = cv2.INTER_LINEAR if width < plane.shape[1] else cv2.INTER_CUBIC
    return cv2.resize(plane, (width, height), interpolation=way)


@jit_loop
def _round_corners(target, mask, level):
    """What `mask` (r, r) leaves of the four corners of target (h, w), before a ground of one level."""
    height, width = target.shape
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            for row in (y, height - 1 - y):
                for column in (x, width - 1 - x):
                    shown = level + (np.float32(target[row, column]) - level) * mask[y, x]
                    target[row, column] = np.uint8(shown + np.float32(0.5))


@jit
def _rgb_to_yuv420(rgb, y_plane, u_plane, v_plane):
    """BT.709 in fixed point: 219 steps of luma from 16, 224 of colour about 128; four pixels share a colour.

    All sums stay in 32 bits and go along whole rows, so that the compiler does many pixels at once.
    """
    width = rgb.shape[1]
    pair_sums = np.empty((3, width), np.int32)  # of the pixels above and below
    red_sums, green_sums, blue_sums = pair_sums[0], pair_sums[1], pair_sums[2]
    for y in range(0, rgb.shape[0], 2):
        for below in range(2):
            pixels, out = rgb[y + below].reshape(-1), y_plane[y + below]
            for x in range(width):
                r, g, b = np.int32(pixels[3 * x]), np.int32(pixels[3 * x + 1]), np.int32(pixels[3 * x + 2])
                weighted_luma = np.int32(11966) * r + np.int32(40254) * g + np.int32(4064) * b
                out[x] = np.uint8((weighted_luma + np.int32((16 << 16) + (1 << 15))) >> np.int32(16))
                red_sums[x] = red_sums[x] + r if below else r
                green_sums[x] = green_sums[x] + g if below else g
                blue_sums[x] = blue_sums[x] + b if below else b
        u_row, v_row, rounding_offset = u_plane[y // 2], v_plane[y // 2], np.int32((128 << 18) + (1 << 17))
        for x in range(width // 2):
            r, g, b = (
                red_sums[2 * x] + red_sums[2 * x + 1],
                green_sums[2 * x] + green_sums[2 * x + 1],
                blue_sums[2 * x] + blue_sums[2 * x + 1],
            )
            chroma = np.int32(28785) * b - np.int32(6596) * r - np.int32(22189) * g
            u_row[x] = np.uint8((chroma + rounding_offset) >> np.int32(18))
            chroma = np.int32(28785) * r - np.int32(26145) * g - np.int32(2640) * b
            v_row[x] = np.uint8((chroma + rounding_offset) >> np.int32(18))
