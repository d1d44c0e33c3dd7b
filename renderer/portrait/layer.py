"""The person as a layer that is bent over the still background.

The layer is enlarged once by bicubic interpolation, and read by bilinear interpolation for every frame: as sharp as
bicubic interpolation of the photo itself, at a quarter of the time.
"""

import cv2
import numpy as np

from renderer.jit import jit_loop

ENLARGED = 2  # pixels of the layer for one of the photo


class PersonLayer:
    """A photo's person, prepared for `draw`. rgba (P, P, 4) uint8: the person's colours and its matte."""

    def __init__(self, rgba: np.ndarray) -> None:
        fine = np.arange(ENLARGED * len(rgba), dtype=np.float32) / ENLARGED
        self._pixels = cv2.remap(rgba, *np.meshgrid(fine, fine), cv2.INTER_CUBIC, None, cv2.BORDER_REPLICATE)

    def draw(
        self,
        maps: tuple[np.ndarray, np.ndarray],
        offset: int,
        still: tuple[np.ndarray, np.ndarray],
        facing: np.ndarray,
        light: float,
    ) -> np.ndarray:
        """The moved person over the still background: (S, S, 3) uint8.

        maps: x and y (S, S) float32 of what each pixel shows, in ENLARGED pixels of the photo; offset: of the frame in
        the photo; still: background and photo (S, S, 3) uint8, the frame without and with the person. Where nothing
        moved the photo itself is drawn: a still frame is the photo to the bit. facing (P, P) int8: see
        `light.facing_aside`, and light: how much brighter the person is where it is 127.
        """
        person = cv2.remap(self._pixels, *maps, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
        frame = np.empty_like(still[0])
        _composite(person, *still, *maps, np.float32(offset), facing, np.float32(light / 127), frame)
        return frame


@jit_loop
def _composite(person, background, photo, map_x, map_y, offset, facing, light, out):
    """`PersonLayer.draw`, pixel by pixel, from the warped person (S, S, 4)."""
    height, width = map_x.shape
    last, scale = facing.shape[0] - 1, np.float32(1 / ENLARGED)
    for y in range(height):
        for x in range(width):
            alpha = person[y, x, 3]
            gain = np.float32(1)
            if light != 0 and alpha > 0:
                row = min(max(np.int32(map_y[y, x] * scale + np.float32(0.5)), 0), last)
                column = min(max(np.int32(map_x[y, x] * scale + np.float32(0.5)), 0), last)
                gain += light * np.float32(facing[row, column])
            if alpha == 255:
                for k in range(3):
                    value = np.float32(person[y, x, k]) * gain + np.float32(0.5)
                    out[y, x, k] = np.uint8(min(value, np.float32(255)))
                continue
            moved = abs(map_x[y, x] * scale - (np.float32(x) + offset))
            moved += abs(map_y[y, x] * scale - (np.float32(y) + offset))
            # all photo below a quarter pixel, all background from 1.25 on
            photo_weight = min(max(np.float32(1.25) - moved, np.float32(0)), np.float32(1))
            if alpha == 0 and photo_weight == 0:
                for k in range(3):
                    out[y, x, k] = background[y, x, k]
                continue
            blend_weight = np.float32(alpha) * np.float32(1 / 255)
            for k in range(3):
                still = np.float32(photo[y, x, k])
                mixed = np.float32(background[y, x, k])
                mixed += (still - mixed) * photo_weight
                moving = np.float32(person[y, x, k]) * gain
                moving += (still - moving) * photo_weight
                mixed += (moving - mixed) * blend_weight
                out[y, x, k] = np.uint8(min(mixed + np.float32(0.5), np.float32(255)))
