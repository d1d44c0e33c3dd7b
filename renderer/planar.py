"""RGB pictures as H.264 wants them: YCbCr of BT.709 in limited range, colour at half the resolution (yuv420p)."""

from __future__ import annotations

import av
import numpy as np

from renderer.compiled import compiled


def planar(picture: np.ndarray) -> av.VideoFrame:
    """(H, W, 3) uint8 RGB, H and W even -> a frame of its own memory.

    Within one step of FFmpeg's converter in luma, at a small share of its time: no copy is made on the way.
    """
    height, width = picture.shape[:2]
    frame = av.VideoFrame(width, height, "yuv420p")
    _convert(picture, *(np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes))
    return frame


@compiled
def _convert(rgb, luma, blue, red):
    """BT.709 in fixed point: 219 steps of luma from 16, 224 of colour about 128; four pixels share a colour.

    All sums stay in 32 bits and go along whole rows, so that the compiler does many pixels at once.
    """
    width = rgb.shape[1]
    sums = np.empty((3, width), np.int32)  # of the pixels above and below
    reds, greens, blues = sums[0], sums[1], sums[2]
    for y in range(0, rgb.shape[0], 2):
        for below in range(2):
            pixels, out = rgb[y + below].reshape(-1), luma[y + below]
            for x in range(width):
                r, g, b = np.int32(pixels[3 * x]), np.int32(pixels[3 * x + 1]), np.int32(pixels[3 * x + 2])
                light = np.int32(11966) * r + np.int32(40254) * g + np.int32(4064) * b
                out[x] = np.uint8((light + np.int32((16 << 16) + (1 << 15))) >> np.int32(16))
                reds[x] = reds[x] + r if below else r
                greens[x] = greens[x] + g if below else g
                blues[x] = blues[x] + b if below else b
        towards_blue, towards_red, middle = blue[y // 2], red[y // 2], np.int32((128 << 18) + (1 << 17))
        for x in range(width // 2):
            r, g, b = reds[2 * x] + reds[2 * x + 1], greens[2 * x] + greens[2 * x + 1], blues[2 * x] + blues[2 * x + 1]
            share = np.int32(28785) * b - np.int32(6596) * r - np.int32(22189) * g
            towards_blue[x] = np.uint8((share + middle) >> np.int32(18))
            share = np.int32(28785) * r - np.int32(26145) * g - np.int32(2640) * b
            towards_red[x] = np.uint8((share + middle) >> np.int32(18))
