"""Decoded pictures -> upright RGB with square pixels, all of them or one region."""

from fractions import Fraction

import av
import cv2
import numpy as np
from av.filter import Graph

__all__ = ["Converter", "Region", "display_size"]

Region = tuple[int, int, int, int]
"""x, y, width, height in display pixels: those of the picture as a player shows it, upright and square."""

_TURN_BACK = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


def quarter_turns(frame: av.VideoFrame) -> int:
    """Quarter turns counter-clockwise that make the picture upright, from its display matrix."""
    return round((frame.rotation or 0) / 90) % 4


def display_size(frame: av.VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height of the picture as a player shows it, from its pixels' aspect ratio and rotation."""
    stretch = float(aspect or 1)
    if not 0.1 < stretch < 10:
        stretch = 1.0  # a damaged header, not a lens
    width, height = max(1, round(frame.width * stretch)), frame.height
    return (height, width) if quarter_turns(frame) % 2 else (width, height)


class Converter:
    """Converts the pictures of one video; ``width`` and ``height`` are its display size."""

    def __init__(self, width: int, height: int):
        self._display_size = (width, height)
        self._graph: Graph | None = None
        self._graph_key: tuple | None = None
        self._last_frame: av.VideoFrame | None = None
        self._last_key: tuple | None = None
        self._last_picture: np.ndarray | None = None

    def rgb(self, frame: av.VideoFrame, region: Region | None, long_side: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB of the region, shrunk to ``long_side`` where it is larger, never enlarged."""
        if frame is self._last_frame and (region, long_side) == self._last_key:
            return self._last_picture  # a picture that is shown for several frames is converted once
        _, _, width, height = region or (0, 0, *self._display_size)
        scale = min(1.0, long_side / max(width, height))
        size = (max(2, round(width * scale)), max(2, round(height * scale)))
        turns = quarter_turns(frame)
        coded = size[::-1] if turns % 2 else size
        if region is None:
            method = "AREA" if coded[0] < frame.width else "BILINEAR"
            picture = frame.reformat(*coded, format="rgb24", interpolation=method).to_ndarray()
        else:
            picture = self._crop(frame, self._coded_region(frame, region, turns), coded)
        if turns:
            picture = cv2.rotate(picture, _TURN_BACK[turns])
        self._last_frame, self._last_key, self._last_picture = frame, (region, long_side), picture
        return picture

    def _coded_region(self, frame: av.VideoFrame, region: Region, turns: int) -> Region:
        """The region in the pixels of the stored picture, before rotation and pixel aspect."""
        x, y, width, height = region
        display_width, display_height = self._display_size
        if turns == 1:  # stored x runs up the displayed picture, stored y to its right
            x, y, width, height = display_height - y - height, x, height, width
        elif turns == 2:
            x, y = display_width - x - width, display_height - y - height
        elif turns == 3:
            x, y, width, height = y, display_width - x - width, height, width
        if turns % 2:
            display_width, display_height = display_height, display_width
        across, down = frame.width / display_width, frame.height / display_height
        left, top = round(x * across), round(y * down)
        return left, top, max(2, round(width * across)), max(2, round(height * down))

    def _crop(self, frame: av.VideoFrame, region: Region, size: tuple[int, int]) -> np.ndarray:
        key = (frame.format.name, frame.width, frame.height, region, size)
        if key != self._graph_key:
            x, y, width, height = region
            graph = Graph()
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
            )
            crop = graph.add("crop", f"{width}:{height}:{x}:{y}")
            method = "area" if size[0] < width else "bilinear"
            scale = graph.add("scale", f"{size[0]}:{size[1]}:flags={method}")
            rgb = graph.add("format", "rgb24")
            graph.link_nodes(source, crop, scale, rgb, graph.add("buffersink")).configure()
            self._graph, self._graph_key = graph, key
        self._graph.vpush(frame)
        return self._graph.vpull().to_ndarray()
