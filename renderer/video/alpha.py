"""Pictures with transparency in, WebM out: a head to lay over something else. Chrome, Firefox and editors show it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace

from renderer.errors import RenderError
from renderer.video.frame_file import FPS, FrameFile

ENCODER = {"deadline": "realtime", "cpu-used": "8", "crf": "28", "b": "0", "row-mt": "0", "auto-alt-ref": "0"}
"""libvpx-vp9 settings. Alternate reference frames must be off: with them the alpha channel is refused."""


class AlphaVideoWriter(FrameFile):
    """Writes one WebM: VP9 with an alpha channel (yuva420p), without sound. Frames are RGB as they would be seen alone,
    and opacity 0..255.

    path: the finished file; size: (width, height), even; metadata: tags of the container.
    Raises RenderError: frames of another shape or type, no frame at all, a path that cannot be written.
    """

    channels = 4
    format = "webm"

    def __init__(
        self, path: Path | str, size: tuple[int, int], fps: int = FPS, metadata: dict[str, str] | None = None
    ) -> None:
        width, height = size
        if width < 2 or height < 2 or width % 2 or height % 2:
            raise RenderError(f"A transparent video needs an even size of at least 2, not {width}x{height}.")
        super().__init__(path, (width, height), fps, metadata)

    def _add_streams(self) -> None:
        stream = self._container.add_stream("libvpx-vp9", rate=self._fps, options=ENCODER)
        (stream.width, stream.height), stream.pix_fmt = self.size, "yuva420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.colorspace = Colorspace.ITU709

    def _to_video_frame(self, frame: np.ndarray) -> av.VideoFrame:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgba")
        return picture.reformat(format="yuva420p", dst_colorspace=Colorspace.ITU709)
