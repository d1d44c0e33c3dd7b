"""A user's own network in place of the rules for valence, arousal and the eight expressions.

Any ONNX file of the AffectNet kind (Mollahosseini et al. 2017: 8 classes, valence, arousal) that keeps to this:

* one input, (N, 3, H, W) float32 RGB; H = W, or left open (then 224). Pixels are brought to 0 … 1, less ``mean``, by
  ``std`` of each channel: ImageNet's, unless the file's metadata has these keys with three numbers each.
* one output (N, 10): eight scores, valence, arousal; or two outputs, (N, 8) and (N, 2). Scores may be logits or
  probabilities; valence and arousal lie in -1 … 1.
* the scores stand in AffectNet's order (``EXPRESSION_LABELS``), unless the metadata key ``labels`` names the eight,
  with commas between.

The file lies in checkpoints/ as affect.onnx, or is named by an option. The 15 action units always come from the rules.
No network is shipped, and none was available while this was written: the tests make one.
"""

import os
import re
from pathlib import Path

import cv2
import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.features.attributes import EXPRESSION_LABELS
from perfrdiff.features.tracking.landmarker import Face
from renderer.resources import checkpoint_folder

__all__ = ["NETWORK_WIDTH", "AttributeNetwork", "default_network_path"]

NETWORK_WIDTH = 2 + len(EXPRESSION_LABELS)  # valence, arousal, probabilities: the last columns of ATTRIBUTE_NAMES
DEFAULT_SIDE = 224
MOST_BYTES = 512 << 20
EXTERNAL_DATA = re.compile(rb"(?:\x08|\x88\x80{0,9}\x00)location")
"""A text of eight letters, as ONNX names the file that holds a tensor's numbers; the length may be spelt longer."""
CROP_MARGIN = 1.3  # side of the square that is cut out, in sizes of the landmarks' box
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def default_network_path() -> Path | None:
    """The file affect.onnx in the folder of all weights (`renderer.resources.checkpoint_folder`), where it is there."""
    path = checkpoint_folder() / "affect.onnx"
    return path if path.is_file() else None


class AttributeNetwork:
    """The network, loaded once.

    Raises:
        InputError: the file cannot be read, or its inputs and outputs are others than this module's docstring says.
    """

    def __init__(self, path: str | os.PathLike):
        import onnxruntime

        self._name = Path(path).name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # the tracker has the other cores
        options.log_severity_level = 4
        try:
            if Path(path).stat().st_size > MOST_BYTES:
                raise InputError(f"{self._name} has more than {MOST_BYTES >> 20} MB; that is no network for a face.")
            data = Path(path).read_bytes()
            if data[4:8] == b"ORTM" or EXTERNAL_DATA.search(data):
                raise InputError(
                    f"{self._name} keeps its numbers in other files, which are not read; save it as one .onnx file."
                )
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except InputError:
            raise
        except OSError as error:
            raise InputError(f"The affect network {self._name} cannot be read ({error.strerror}).") from None
        except Exception:  # onnxruntime's errors have no common class below Exception
            raise InputError(f"{self._name} is damaged or no ONNX network that can be run; give another.") from None
        try:
            metadata = self._session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError:
            raise InputError(f"{self._name} has metadata that is no text; give another network.") from None
        self._mean, self._std = (self._three_numbers(metadata, key) for key in ("mean", "std"))
        self._order = self._order_of(metadata.get("labels", ",".join(EXPRESSION_LABELS)))
        self._input = self._session.get_inputs()[0]
        shape = self._input.shape
        if len(self._session.get_inputs()) != 1 or len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
            raise InputError(f"{self._name} has an input of shape {shape}; one of (N, 3, H, W) with H = W is expected.")
        self._side = shape[2] if isinstance(shape[2], int) else DEFAULT_SIDE
        self._read(np.zeros((self._side, self._side, 3), np.uint8))

    def read(self, picture: np.ndarray, face: Face) -> np.ndarray:
        """Valence, arousal and expressions of a face in an (H, W, 3) uint8 RGB picture.

        Returns:
            (10,) float32: valence and arousal, -1 … 1, then the probabilities of ``EXPRESSION_LABELS``.

        Raises:
            InputError: the network fails on the picture, or gives other shapes or numbers that are not finite.
        """
        side = max(2, round(CROP_MARGIN * face.size))
        left, top = np.round(face.centre - side / 2).astype(int)
        height, width = picture.shape[:2]
        columns = np.clip(np.arange(left, left + side), 0, width - 1)  # beyond the edge, its last pixel is repeated
        rows = np.clip(np.arange(top, top + side), 0, height - 1)
        crop = picture[rows[:, None], columns]
        method = cv2.INTER_AREA if side > self._side else cv2.INTER_LINEAR
        return self._read(cv2.resize(crop, (self._side, self._side), interpolation=method))

    def _read(self, crop: np.ndarray) -> np.ndarray:
        pixels = (crop.astype(np.float32) / 255 - self._mean) / self._std
        try:
            outputs = self._session.run(None, {self._input.name: pixels.transpose(2, 0, 1)[None]})
        except Exception:  # as above
            raise InputError(
                f"{self._name} does not take float32 pictures of 3 x {self._side} x {self._side}."
            ) from None
        shapes = [np.shape(output) for output in outputs]
        if shapes == [(1, 2), (1, 8)]:
            outputs = outputs[::-1]
        elif shapes not in ([(1, 10)], [(1, 8), (1, 2)]):
            raise InputError(f"{self._name} gives {shapes}; (N, 10), or (N, 8) and (N, 2), are expected.")
        row = np.concatenate(outputs, axis=1)[0].astype(np.float32)
        if not np.isfinite(row).all():
            raise InputError(f"{self._name} gave numbers that are not finite.")
        return np.concatenate([np.clip(row[8:], -1, 1), _probabilities(row[:8])[self._order]])

    def _three_numbers(self, metadata: dict[str, str], key: str) -> np.ndarray:
        try:
            numbers = np.array([float(word) for word in metadata[key].split(",")] if key in metadata else IMAGENET[key])
        except ValueError:
            numbers = np.zeros(0)
        if numbers.shape != (3,) or not np.isfinite(numbers).all() or (key == "std" and (numbers <= 0).any()):
            found = metadata[key][:40]
            raise InputError(f"The metadata '{key}' of {self._name} is {found!r}; three numbers are expected.")
        return numbers.astype(np.float32)

    def _order_of(self, labels: str) -> list[int]:
        words = [word.strip().capitalize() for word in labels.split(",")]
        if sorted(words) != sorted(EXPRESSION_LABELS):
            found, expected = labels[:80], ", ".join(EXPRESSION_LABELS)
            raise InputError(f"The labels of {self._name} are {found!r}; expected are {expected}.")
        return [words.index(label) for label in EXPRESSION_LABELS]


def _probabilities(scores: np.ndarray) -> np.ndarray:
    if scores.min() >= 0 and abs(float(scores.sum()) - 1) < 1e-3:
        return scores
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()
