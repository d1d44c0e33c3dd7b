"""The person as a layer that is bent over the still background: only what shows is interpolated."""

import cv2
import numpy as np

from renderer.jit import jit_loop

_BORDER = 3  # pixels repeated round the layer: what bicubic interpolation reads beyond its edge
_STEPS = 32  # positions between two pixels that have weights of their own, as in OpenCV
_ONE = 2048  # sum of the sixteen weights of a position
_LANE = 21  # bits of a colour in a packed sum: 256 levels of _ONE steps, and as much again for what overshoots
_LANES = 1 + (1 << _LANE) + (1 << 2 * _LANE)
_RAISED = 256  # levels added to each sum, since bicubic sums fall below 0
_START = (_RAISED * _ONE + _ONE // 2) * _LANES

_NOTHING, _EDGE, _INSIDE = 0, 1, 2  # of the person in the sixteen pixels of a position


def _bicubic_weights() -> np.ndarray:
    """(32 * 32, 16) int32 weights of 4 x 4 pixels by the position between the middle ones, rows first.

    Bicubic convolution with a = -0.75 (Keys, 1981), as OpenCV's INTER_CUBIC.
    """
    a, t = -0.75, np.arange(_STEPS)[:, None] / _STEPS
    distance = np.abs(t - np.array([-1.0, 0.0, 1.0, 2.0]))
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    far = a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    line = np.where(distance <= 1, near, far)
    weights = np.round(_ONE * line[:, None, :, None] * line[None, :, None, :]).astype(np.int32).reshape(-1, 16)
    largest = weights.argmax(axis=1)
    weights[np.arange(len(weights)), largest] += _ONE - weights.sum(axis=1)
    return weights


_WEIGHTS = _bicubic_weights()


class PersonLayer:
    """A photo's person, prepared for `draw`. rgba (P, P, 4) uint8: the person's colours and its matte."""

    def __init__(self, rgba: np.ndarray) -> None:
        self.rgba = rgba
        padded = cv2.copyMakeBorder(rgba, *[_BORDER] * 4, cv2.BORDER_REPLICATE)
        lanes = padded[..., :3].astype(np.int64) << (_LANE * np.arange(3))
        self._colours = lanes.sum(axis=2)
        self._matte = np.ascontiguousarray(padded[..., 3])
        taps, first = np.ones((4, 4), np.uint8), (1, 1)
        self._parts = np.full(self._matte.shape, _EDGE, np.uint8)
        self._parts[cv2.dilate(self._matte, taps, anchor=first) == 0] = _NOTHING
        self._parts[cv2.erode(self._matte, taps, anchor=first) == 255] = _INSIDE

    def draw(
        self,
        maps: tuple[np.ndarray, np.ndarray],
        offset: int,
        still: tuple[np.ndarray, np.ndarray],
        facing: np.ndarray,
        light: float,
    ) -> np.ndarray:
        """The moved person over the still background: (S, S, 3) uint8.

        maps: x and y (S, S) float32 in the layer of what each pixel shows, which is S + 2 offset wide; still:
        background and photo (S, S, 3) uint8, the frame without and with the person. Where nothing moved the photo itself
        is drawn: a still frame is the photo to the bit. facing (P, P) int8: see `light.facing_aside`, and light: how
        much brighter the person is where it is 127.
        """
        frame = np.empty_like(still[0])
        _draw(
            self._colours, self._matte, self._parts, _WEIGHTS, *maps, offset, *still, facing, np.float32(light / 127),
            frame,
        )  # fmt: skip
        return frame


@jit_loop
def _draw(
    colours, matte, parts, weights, map_x, map_y, offset, background, photo, facing, light, out
):  # fmt: skip
    """Pixel by pixel. The three colours are summed as lanes of one 64-bit integer: one product for all of them."""
    height, width = map_x.shape
    last = facing.shape[0] - 1
    lane_mask = (1 << _LANE) - 1
    for y in range(height):
        for x in range(width):
            from_x, from_y = map_x[y, x], map_y[y, x]
            moved = abs(from_x - np.float32(x + offset)) + abs(from_y - np.float32(y + offset))
            # all photo below a quarter pixel, all background from 1.25 on
            photo_weight = min(max(np.float32(1.25) - moved, np.float32(0)), np.float32(1))
            # beyond the layer its edge is repeated
            fine_x = int(min(max(from_x, np.float32(-1)), np.float32(last + 1)) * _STEPS + np.float32(_STEPS + 0.5))
            fine_y = int(min(max(from_y, np.float32(-1)), np.float32(last + 1)) * _STEPS + np.float32(_STEPS + 0.5))
            column, row = (fine_x >> 5) + (_BORDER - 1), (fine_y >> 5) + (_BORDER - 1)
            part = parts[row, column]
            if part == _NOTHING:
                if photo_weight == 0:
                    for k in range(3):
                        out[y, x, k] = background[y, x, k]
                else:
                    for k in range(3):
                        mixed = np.float32(background[y, x, k])
                        mixed += (np.float32(photo[y, x, k]) - mixed) * photo_weight
                        out[y, x, k] = np.uint8(mixed + np.float32(0.5))
                continue
            position = ((fine_y & 31) << 5) + (fine_x & 31)
            packed = np.int64(_START)
            for j in range(4):
                for i in range(4):
                    packed += weights[position, 4 * j + i] * colours[row - 1 + j, column - 1 + i]
            alpha = 255
            if part == _EDGE:
                total = np.int32(_ONE // 2)
                for j in range(4):
                    for i in range(4):
                        total += weights[position, 4 * j + i] * np.int32(matte[row - 1 + j, column - 1 + i])
                alpha = min(max(total >> 11, 0), 255)
            gain = np.float32(1)
            if light != 0 and alpha > 0:
                at_row = min(max(int(from_y + np.float32(0.5)), 0), last)
                at_column = min(max(int(from_x + np.float32(0.5)), 0), last)
                gain += light * np.float32(facing[at_row, at_column])
            blend_weight = np.float32(alpha) * np.float32(1 / 255)
            for k in range(3):
                level = ((packed >> (_LANE * k)) & lane_mask) >> 11
                value = np.float32(min(max(level - _RAISED, 0), 255)) * gain
                if alpha < 255:
                    still = np.float32(photo[y, x, k])
                    mixed = np.float32(background[y, x, k])
                    mixed += (still - mixed) * photo_weight
                    value += (still - value) * photo_weight
                    value = mixed + (value - mixed) * blend_weight
                out[y, x, k] = np.uint8(min(value + np.float32(0.5), np.float32(255)))
