"""A photo animated by PIRender, behind the same interface as the built-in animator."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import torch
from torch import Tensor

from renderer.coefficients import plausible_coefficients
from renderer.errors import RenderError
from renderer.portrait.framing import frame_photo
from renderer.portrait.pirender.network import HALF_WINDOW, Network, SourceFeatures
from renderer.portrait.pirender.weights import load_weights

REACT_SIZE, ORIGINAL_SIZE = 224, 256  # pixels the weights were trained on
GPU_BATCH = 16  # frames of one run; on a CPU one at a time is fastest (docs/method.md 13.12)
PRECISIONS = ("float32", "bfloat16")


class PIRenderAnimator:
    """Protocol `PortraitAnimator`, drawn by the network in `weights` (see `weights.load_weights`).

    size: side of the frames in pixels; the network draws at the size it was trained on, and that is scaled.
    device: torch device; None takes a GPU where there is one.
    precision: of the editing network, "float32" or "bfloat16"; None: bfloat16 on a GPU, float32 on a CPU. The warping
        network stays in float32: image edges magnify its errors.
    compiled: let torch.compile arrange the network (a minute at the first frame, then faster); only worth it on a GPU.
    Raises RenderError for weights that do not fit and for settings that do not exist.
    """

    name = "pirender"

    def __init__(
        self,
        weights: str | Path,
        size: int = 256,
        device: str | None = None,
        precision: str | None = None,
        compiled: bool = False,
    ) -> None:
        if not 64 <= size <= 1024:
            raise RenderError(f"The portrait's size must be 64 to 1024 pixels, not {size}.")
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self._device = torch.device(device)
        except RuntimeError as error:
            raise RenderError(f"There is no device named {device!r}; choose cpu or cuda.") from error
        gpu = self._device.type == "cuda"
        if gpu and not torch.cuda.is_available():
            raise RenderError("PIRender was to run on a GPU, but torch sees none; choose the device cpu.")
        precision = precision or ("bfloat16" if gpu else "float32")
        if precision not in PRECISIONS:
            raise RenderError(f"There is no precision named {precision!r}; choose one of {', '.join(PRECISIONS)}.")
        if precision == "bfloat16" and not gpu and torch.backends.cpu.get_cpu_capability() != "AVX512":
            raise RenderError("This processor has no AVX-512: bfloat16 would be some 50 times slower; use float32.")
        self.size = int(size)
        network = Network(*load_weights(weights))
        self._network_size = REACT_SIZE if network.architecture.is_react else ORIGINAL_SIZE
        network.editing_precision = getattr(torch, precision)
        network.to(self._device)
        if gpu:
            network.channels_last()
        elif precision == "float32" and not compiled:  # torch.compile cannot look into those loops
            network.use_winograd()
        self._network = network
        self._draw = torch.compile(network, dynamic=False) if compiled else network
        self._batch = GPU_BATCH if gpu else 1
        self._lock = Lock()  # one run at a time: each takes all cores, or the whole GPU
        self._source: SourceFeatures | None = None

    @property
    def coefficient_count(self) -> int:
        """Coefficients in a frame: 58, or 73 for the original's weights (Deep3DFaceRecon's)."""
        return self._network.architecture.coefficients

    @torch.inference_mode()
    def set_portrait(self, image: np.ndarray, landmarks: np.ndarray, coefficients: np.ndarray | None = None) -> None:
        """Takes the photo to animate: the protocol's arguments.

        The photo's own coefficients are not used: the network reads the photo's expression off the picture.
        """
        photo = frame_photo(image, landmarks, self._network_size)
        inner = slice(photo.margin, photo.margin + self._network_size)
        picture = torch.from_numpy(np.ascontiguousarray(photo.picture[inner, inner])).to(self._device)
        picture = picture.permute(2, 0, 1)[None].float() / 127.5 - 1
        with self._lock:
            self._source = self._network.source(picture)

    def animate(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """(T, 58) coefficients to T frames (size, size, 3) uint8 RGB, one by one. Wild values are clamped.

        Raises RenderError before the first frame when no photo was set, on a wrong shape and on NaN.
        """
        return self.animate_many([coefficients])[0]

    def animate_many(self, sequences: list[np.ndarray]) -> list[Iterator[np.ndarray]]:
        """Several sequences of one length at once: a GPU draws their frames together, batch by batch.

        Take the iterators' frames in turn, as the side-by-side video does: what one is behind the others is kept for
        it. An iterator that is closed is no longer drawn for.
        """
        if self._source is None:
            raise RenderError("No portrait is set; call set_portrait first.")
        rows = [self._validated(sequence) for sequence in sequences]
        if len({len(each) for each in rows}) > 1:
            raise RenderError("Sequences that are animated together must have the same number of frames.")
        return (
            _BatchedSequences(self, self._source, rows).frame_iterators()
            if self._batch > 1
            else [self._single(row) for row in rows]
        )

    def _validated(self, coefficients: np.ndarray) -> np.ndarray:
        if self._network.architecture.is_react:
            return plausible_coefficients(coefficients)
        values = np.array(coefficients, np.float32)
        if values.ndim != 2 or values.shape[1] != self.coefficient_count or not np.isfinite(values).all():
            raise RenderError(
                f"The original PIRender needs finite Deep3DFaceRecon coefficients (frames, {self.coefficient_count}), "
                f"not {values.shape}; use the 58-coefficient variant for this program's own."
            )
        return values

    def _single(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        batched = _BatchedSequences(self, self._source, [rows])
        return batched.frame_iterators()[0]

    @torch.inference_mode()
    def _descriptors(self, rows: np.ndarray) -> Tensor:
        """(T, coefficients) -> (T, D), each from the 27 frames about it; the ends are repeated."""
        if not len(rows):
            return torch.empty(0, self._network.architecture.descriptor)
        padded = torch.from_numpy(np.pad(rows, ((HALF_WINDOW, HALF_WINDOW), (0, 0)), mode="edge")).to(self._device)
        with self._lock:
            return self._network.descriptors(padded)

    @torch.inference_mode()
    def _frames(self, source: SourceFeatures, descriptors: Tensor) -> list[np.ndarray]:
        """Pictures (size, size, 3) of descriptors (N, D), in runs of the batch size."""
        with self._lock:
            outputs = []
            for batch in descriptors.split(self._batch):
                count = len(batch)
                if self._draw is not self._network and count < self._batch:  # another batch size would compile anew
                    batch = torch.cat([batch, batch[-1:].expand(self._batch - count, -1)])
                outputs.append(self._draw(source, self._network.modulations(batch))[:count])
            values = (torch.cat(outputs).clamp(-1, 1) + 1) * 127.5
            pictures = values.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()  # truncated, as REACT does
        if self.size == self._network_size:
            return list(pictures)
        shrink = cv2.INTER_AREA if self.size < self._network_size else cv2.INTER_CUBIC
        return [cv2.resize(picture, (self.size, self.size), interpolation=shrink) for picture in pictures]


class _BatchedSequences:
    """Draws the next frames of all sequences when the first of their iterators runs dry."""

    def __init__(self, animator: PIRenderAnimator, source: SourceFeatures, rows: list[np.ndarray]) -> None:
        self._animator, self._source = animator, source
        self._rows, self._length, self._next = rows, len(rows[0]), 0
        self._descriptors: list[Tensor] | None = None
        self._queues: list[deque[np.ndarray] | None] = [deque() for _ in rows]  # None: nobody reads it any more
        self._lock = Lock()

    def frame_iterators(self) -> list[Iterator[np.ndarray]]:
        return [self._frame_iterator(number) for number in range(len(self._rows))]

    def _frame_iterator(self, number: int) -> Iterator[np.ndarray]:
        try:
            for _ in range(self._length):
                with self._lock:
                    if not self._queues[number]:
                        self._draw()
                    frame = self._queues[number].popleft()
                yield frame
        finally:
            self._queues[number] = None

    def _draw(self) -> None:
        if self._descriptors is None:
            self._descriptors = [self._animator._descriptors(rows) for rows in self._rows]
        active = [number for number, queue in enumerate(self._queues) if queue is not None]
        count = max(1, self._animator._batch // len(active))
        frame_range = slice(self._next, self._next + count)
        batch_descriptors = [self._descriptors[number][frame_range] for number in active]
        frames = iter(self._animator._frames(self._source, torch.cat(batch_descriptors)))
        for number, descriptors in zip(active, batch_descriptors, strict=True):
            queue = self._queues[number]
            sequence_frames = [next(frames) for _ in range(len(descriptors))]
            if queue is not None:
                queue.extend(sequence_frames)
        self._next += count
