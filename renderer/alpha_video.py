"""Pictures with transparency in, WebM out: a head to lay over something else. Chrome, Firefox and editors show it."""

from __future__ import annotations

import os
import secrets
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.reformatter import Colorspace

from renderer.errors import RenderError
from renderer.video import FPS

ENCODER = {"deadline": "realtime", "cpu-used": "8", "crf": "28", "b": "0", "row-mt": "0", "auto-alt-ref": "0"}
"""libvpx-vp9 settings. Alternate reference frames must be off: with them the alpha channel is refused."""


class AlphaVideoWriter:
    """Writes one WebM: VP9 with an alpha channel (yuva420p), without sound.

    A context manager like `renderer.video.VideoWriter`: half a file is never left behind.
    path: the finished file; size: (width, height), even; metadata: tags of the container.
    Raises RenderError: frames of another shape or type, no frame at all, a path that cannot be written.
    """

    def __init__(
        self, path: Path | str, size: tuple[int, int], fps: int = FPS, metadata: dict[str, str] | None = None
    ) -> None:
        width, height = size
        if width < 2 or height < 2 or width % 2 or height % 2:
            raise RenderError(f"A transparent video needs an even size of at least 2, not {width}x{height}.")
        self.path, self.size, self.frames = Path(path), (width, height), 0
        self._fps = fps
        self._partial = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")
        try:
            self._partial.touch()
            self._container = av.open(str(self._partial), "w", format="webm")
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise RenderError(
                f"The video {self.path} cannot be written ({reason}): choose a folder that exists and is writable."
            ) from error
        self._container.metadata.update(metadata or {})
        self._stream = self._container.add_stream("libvpx-vp9", rate=fps, options=ENCODER)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuva420p"
        self._stream.codec_context.thread_count = 1
        self._stream.codec_context.colorspace = Colorspace.ITU709

    def write(self, frame: np.ndarray) -> None:
        """Add one picture (height, width, 4) uint8: RGB as it would be seen alone, and opacity 0..255."""
        width, height = self.size
        if frame.dtype != np.uint8 or frame.shape != (height, width, 4):
            raise RenderError(
                f"A frame for {self.path.name} must be uint8 ({height}, {width}, 4); "
                f"frame {self.frames} is {frame.dtype} {frame.shape}."
            )
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgba")
        picture = picture.reformat(format="yuva420p", dst_colorspace=Colorspace.ITU709)
        picture.pts, picture.time_base = self.frames, Fraction(1, self._fps)
        self._container.mux(self._stream.encode(picture))
        self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name."""
        if not self.frames:
            self._discard()
            raise RenderError(f"No frame was drawn for {self.path.name}: the reaction is empty.")
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._partial.replace(self.path)
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        try:
            self._container.close()
        except Exception:  # the encoder may object to being closed half way; the file goes in any case
            pass
        finally:
            self._partial.unlink(missing_ok=True)

    def __enter__(self) -> AlphaVideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if kind is None:
            self.close()
        else:
            self._discard()
