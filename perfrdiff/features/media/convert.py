"""Decoded pictures -> upright RGB with square pixels, the whole of them or one region."""

from fractions import Fraction

import av
import cv2
import numpy as np
from av.filter import Graph

__all__ = ["Converter", "Region", "shown_size"]

Region = tuple[int, int, int, int]
"""x, y, width, height in pixels of the picture as shown."""

_TURN_BACK = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


def quarter_turns(frame: av.VideoFrame) -> int:
    """Quarter turns counter-clockwise that make the picture upright, from its display matrix."""
    return round((frame.rotation or 0) / 90) % 4


def shown_size(frame: av.VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height of the picture as a player shows it, from its pixels' aspect ratio and rotation."""
    stretch = float(aspect or 1)
    if not 0.1 < stretch < 10:
        stretch = 1.0  # a damaged header, not a lens
    width, height = max(1, round(frame.width * stretch)), frame.height
    return (height, width) if quarter_turns(frame) % 2 else (width, height)


class Converter:
    """Converts the pictures of one video; ``width`` and ``height`` are its size as shown."""

    def __init__(self, width: int, height: int):
        self._shown = (width, height)
        self._graph: Graph | None = None
        self._graph_key: tuple | None = None
        self._shown_frame: av.VideoFrame | None = None
        self._shown_key: tuple | None = None
        self._picture: np.ndarray | None = None

    def rgb(self, frame: av.VideoFrame, region: Region | None, long_side: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB of the region, shrunk to ``long_side`` where it is larger, never enlarged."""
        if frame is self._shown_frame and (region, long_side) == self._shown_key:
            return self._picture  # a picture that is shown for several frames is converted once
        _, _, width, height = region or (0, 0, *self._shown)
        scale = min(1.0, long_side / max(width, height))
        size = (max(2, round(width * scale)), max(2, round(height * scale)))
        turns = quarter_turns(frame)
        coded = size[::-1] if turns % 2 else size
        if region is None:
            method = "AREA" if coded[0] < frame.width else "BILINEAR"
            picture = frame.reformat(*coded, format="rgb24", interpolation=method).to_ndarray()
        else:
            picture = self._cut(frame, self._coded_region(frame, region, turns), coded)
        if turns:
            picture = cv2.rotate(picture, _TURN_BACK[turns])
        self._shown_frame, self._shown_key, self._picture = frame, (region, long_side), picture
        return picture

    def _coded_region(self, frame: av.VideoFrame, region: Region, turns: int) -> Region:
        """The region in the pixels of the stored picture, before rotation and pixel aspect."""
        x, y, width, height = region
        shown_width, shown_height = self._shown
        if turns == 1:  # stored x runs up the shown picture, stored y to its right
            x, y, width, height = shown_height - y - height, x, height, width
        elif turns == 2:
            x, y = shown_width - x - width, shown_height - y - height
        elif turns == 3:
            x, y, width, height = y, shown_width - x - width, height, width
        if turns % 2:
            shown_width, shown_height = shown_height, shown_width
        across, down = frame.width / shown_width, frame.height / shown_height
        left, top = round(x * across), round(y * down)
        return left, top, max(2, round(width * across)), max(2, round(height * down))

    def _cut(self, frame: av.VideoFrame, region: Region, size: tuple[int, int]) -> np.ndarray:
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
