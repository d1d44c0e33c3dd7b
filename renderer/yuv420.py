"""RGB pictures as H.264 wants them: YCbCr of BT.709 in limited range, colour at half the resolution (yuv420p)."""

from __future__ import annotations

import av
import numpy as np

from renderer.jit import jit


def to_yuv420(picture: np.ndarray) -> av.VideoFrame:
    """(H, W, 3) uint8 RGB, H and W even -> a frame of its own memory.

    Within one step of FFmpeg's converter in luma, at a small share of its time: no copy is made on the way.
    """
    height, width = picture.shape[:2]
    frame = av.VideoFrame(width, height, "yuv420p")
    _rgb_to_yuv420(picture, *(np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes))
    return frame


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
