"""A video file that grows frame by frame and is there only when it is whole."""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import av
import numpy as np

from renderer.errors import RenderError

FPS = 25
"""Pictures per second of every video written here: the rate of the coefficients (REACT 2024)."""


class FrameFile(ABC):
    """What every video writer shares: a temporary name until the end, one check for every frame, nothing left behind.

    Use it as a context manager: leaving the block normally finishes the file, leaving it by an exception removes it.
    """

    channels: ClassVar[int]  # of a frame
    format: ClassVar[str]  # of the container
    container_options: ClassVar[dict[str, str]] = {}

    def __init__(self, path: Path | str, size: tuple[int, int], fps: int, metadata: dict[str, str] | None) -> None:
        self.path, self.size, self.frames, self._fps = Path(path), size, 0, fps
        self._temporary_path = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")
        try:
            self._temporary_path.touch()  # PyAV itself opens the file only at the first picture
            self._container = av.open(
                str(self._temporary_path), "w", format=self.format, options=self.container_options
            )
        except OSError as error:
            raise self._refusal(error, "choose a folder that exists and is writable") from error
        try:
            self._container.metadata.update(metadata or {})
            self._add_streams()
        except BaseException:
            self._abort()
            raise

    @abstractmethod
    def _add_streams(self) -> None:
        """Set up the container's streams, the pictures' first."""

    @abstractmethod
    def _to_video_frame(self, frame: np.ndarray) -> av.VideoFrame:
        """The frame as the encoder wants it."""

    def _write_audio(self) -> None:  # noqa: B027  (only some files have sound)
        """Write the sound up to the end of the last picture, where there is any."""

    def write(self, frame: np.ndarray) -> None:
        """Add one picture: (height, width, channels) uint8, of the size given at the start."""
        self.check(frame)
        self._encode(self._to_video_frame(frame))

    def check(self, frame: np.ndarray) -> None:
        """Raises RenderError where `write` would refuse the picture."""
        width, height = self.size
        if frame.dtype != np.uint8 or frame.shape != (height, width, self.channels):
            raise RenderError(
                f"A frame for {self.path.name} must be uint8 ({height}, {width}, {self.channels}); "
                f"frame {self.frames} is {frame.dtype} {frame.shape}."
            )

    def _encode(self, picture: av.VideoFrame) -> None:
        """Add one picture as the encoder wants it."""
        picture.pts, picture.time_base = self.frames, Fraction(1, self._fps)
        try:
            self._container.mux(self._container.streams.video[0].encode(picture))
            self.frames += 1
            self._write_audio()
        except OSError as error:
            raise self._refusal(error, "make room on the disk") from error

    def close(self) -> None:
        """Finish the file and give it its name."""
        if not self.frames:
            self._abort()
            raise RenderError(f"No frame was drawn for {self.path.name}: the reaction is empty.")
        try:
            for stream in self._container.streams:
                self._container.mux(stream.encode(None))
            self._container.close()
            self._temporary_path.replace(self.path)
        except OSError as error:
            self._abort()
            raise self._refusal(error, "make room on the disk") from error
        except BaseException:
            self._abort()
            raise

    def _refusal(self, error: OSError, remedy: str) -> RenderError:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return RenderError(f"The video {self.path} cannot be written ({reason}): {remedy}.")

    def _abort(self) -> None:
        try:
            self._container.close()
        except Exception:  # the encoder may object to being closed half way; the file goes in any case
            pass
        finally:
            self._temporary_path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if kind is None:
            self.close()
        else:
            self._abort()
