"""Frames in, H.264 with sound out: files that any browser plays.

`VideoWriter` takes one picture at a time, so a two-minute video needs no more memory than a ten-second one. It writes
under a temporary name and renames when all is well: a reader never sees half a video, and a failure leaves nothing.
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd
from pathlib import Path
from typing import ClassVar

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from scipy.signal import resample_poly

from renderer.errors import RenderError
from renderer.video.frame_file import FPS, FrameFile
from renderer.yuv420 import YuvPicture, to_yuv420

CPU_AVX_512F = 13  # OpenCV's number of it, which cv2 has no name for
INSTRUCTIONS = ":asm=AVX2" if cv2.checkHardwareSupport(CPU_AVX_512F) else ""
"""x264's code for AVX-512 weighs blocks by memory that nobody has written to, where the width is no multiple of 128
pixels: the same pictures gave other bytes once in a hundred films. Its code for AVX2 is as fast."""

ENCODER = {"preset": "veryfast", "crf": "20", "x264-params": f"subme=1{INSTRUCTIONS}"}
"""libx264 settings: 256² talking heads at about 0.1 Mbit/s, without visible blocks. Finer search of motion than
`subme` 1 took a third more time for files 7 % smaller at the same distance from the picture."""

AUDIO_BIT_RATE = 96_000
AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)
"""Sampling rates (Hz) that AAC knows; sound at any other rate is resampled to 48 kHz."""


class VideoWriter(FrameFile):
    """Writes one MP4: H.264 (yuv420p, BT.709, index at the front) and, if there is sound, AAC in step with it.

    path: the finished file; its folder must exist, a file of that name is replaced at the end.
    size: (width, height) in pixels of the frames that will come. Odd sizes are padded by one repeated row or column.
    fps: pictures per second.
    audio: None, or (samples, rate): float32 mono (N,) in -1..1, and Hz. It starts with the first frame and is cut, or
        filled with silence, to exactly frames / fps seconds.
    metadata: tags of the container (`title`, `comment`, `description`, … are what MP4 keeps without extensions).
    threads: threads of the H.264 encoder; 1 is right where many writers work side by side.
    Raises RenderError: frames of another shape or type, no frame at all, a path that cannot be written.
    """

    channels = 3
    format = "mp4"
    container_options: ClassVar[dict[str, str]] = {"movflags": "+faststart"}

    def __init__(
        self,
        path: Path | str,
        size: tuple[int, int],
        fps: int = FPS,
        audio: tuple[np.ndarray, int] | None = None,
        metadata: dict[str, str] | None = None,
        threads: int = 1,
    ) -> None:
        width, height = size
        if width < 1 or height < 1:
            raise RenderError(
                f"A video of {width}x{height} pixels cannot be written to {path}: give a size of at least 1."
            )
        self._samples: np.ndarray | None = None
        self._rate = 0
        if audio is not None:
            self._samples, self._rate = _aac_compatible(*audio)
        self._samples_written, self._threads = 0, threads
        super().__init__(path, (width, height), fps, metadata)

    def _add_streams(self) -> None:
        width, height = self.size
        self._video_stream(width + width % 2, height + height % 2, self._threads)
        self._aac_stream = self._audio_stream() if self._samples is not None else None

    def _video_stream(self, width: int, height: int, threads: int) -> None:
        stream = self._container.add_stream("libx264", rate=self._fps, options=ENCODER)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = threads
        # Untagged, a browser takes small videos for BT.601 and large ones for BT.709: skin would change its colour.
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_primaries = ColorPrimaries.BT709
        stream.codec_context.color_trc = ColorTrc.BT709
        stream.codec_context.color_range = ColorRange.MPEG

    def _audio_stream(self) -> av.AudioStream:
        stream = self._container.add_stream("aac", rate=self._rate, layout="mono")
        stream.bit_rate = min(AUDIO_BIT_RATE, 5 * self._rate)  # at 8 kHz the encoder refuses more than 6 bits a sample
        return stream

    def _to_video_frame(self, frame: np.ndarray) -> av.VideoFrame:
        return to_yuv420(frame).frame

    def write_yuv(self, picture: YuvPicture) -> None:
        """Add one picture that is converted already, of the size given at the start. It must not change any more."""
        width, height = self.size
        if picture.size != (width + width % 2, height + height % 2):
            raise RenderError(f"A frame for {self.path.name} must be {width}x{height}, not {picture.size}.")
        self._encode(picture.frame)

    def _write_audio(self) -> None:
        """Sound up to the end of the last picture, so that the muxer never has to hold one stream for the other."""
        if self._samples is None or self._aac_stream is None:
            return
        end = round(self.frames * self._rate / self._fps)
        audio_block = np.zeros((1, end - self._samples_written), np.float32)
        available = self._samples[self._samples_written : end]
        audio_block[0, : len(available)] = np.nan_to_num(available, posinf=1, neginf=-1).clip(-1, 1)
        samples = av.AudioFrame.from_ndarray(audio_block, format="fltp", layout="mono")
        samples.sample_rate, samples.pts = self._rate, self._samples_written
        samples.time_base = Fraction(1, self._rate)
        self._container.mux(self._aac_stream.encode(samples))
        self._samples_written = end


def _aac_compatible(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """Mono sound at a rate that AAC knows; the samples themselves where it does, for many writers share them."""
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1 or rate < 1:
        raise RenderError(f"Sound must be mono, (N,) at a rate above 0 Hz; this is {samples.shape} at {rate} Hz.")
    if rate not in AAC_RATES and len(samples):
        common_divisor = gcd(48_000, rate)
        finite = np.nan_to_num(samples, posinf=1, neginf=-1)
        samples, rate = (
            resample_poly(finite, 48_000 // common_divisor, rate // common_divisor).astype(np.float32),
            48_000,
        )
    elif rate not in AAC_RATES:
        rate = 48_000
    return samples, rate
