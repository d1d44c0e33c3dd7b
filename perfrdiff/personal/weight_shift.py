"""One listener's weight shift by itself: a file well under a megabyte that can be saved, mixed, scaled and taken off.

Edits never touch the generator's own weights, so taking a shift off gives the generic generator back bit for bit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from perfrdiff.errors import InputError
from perfrdiff.files import read_safetensors, write_safetensors
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.layers import Edits, WeightEdit
from perfrdiff.models.weight_editor import WeightEditor, edited_weights
from perfrdiff.personal import MAX_STRENGTH
from perfrdiff.personal.motion_gain import MotionGain, combined_gains

FORMAT = "perfrdiff weight shift 2"
METADATA_KEY = "weight_shift"
LONGEST_HEADER = 10**7  # bytes, of a safetensors file
LARGEST = 1e6  # of a motion gain's numbers, so that a long row of digits is none
NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
OLD_FORMAT = "perfrdiff listener shift 1"
OLD_METADATA_KEY = "listener_shift"
OLD_FIELDS = {"manner": "motion_gain"}  # of format 1 -> of today; the gain's own fields have kept their names


@dataclass(frozen=True)
class WeightShift:
    """What one listener adds to some of the generator's weights."""

    shifts: Mapping[str, WeightEdit]  # parameter -> one listener's shift (P = 1), low-rank or dense
    weights: str  # name of the weights it was made for
    weights_sha256: str  # and of their content: a shift fits no others
    listener: str = "personal"
    motion_gain: MotionGain = field(default_factory=MotionGain)  # applied to the finished reactions

    @property
    def size(self) -> int:
        """Bytes of its numbers."""
        tensors = [tensor for shift in self.shifts.values() for tensor in _tensors(shift).values()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def edits(self, denoiser: Denoiser, strength: float = 1.0) -> Edits:
        """Edits for the generator: 0 = generic, 1 = as learnt, up to 2 = exaggerated. The generator stays as it is.

        Raises InputError for a strength outside 0 … 2 and for a generator that lacks the shifted weights.
        """
        if not 0.0 <= strength <= MAX_STRENGTH:
            raise InputError(f"Strength {strength} is outside 0 … 2 (0 = generic, 1 = as learnt).")
        parameters = dict(denoiser.named_parameters())
        for name, shift in self.shifts.items():
            shape = tuple(_dense(shift).shape[1:]) if shift.dense is not None else _low_rank_shape(shift)
            if name not in parameters or tuple(parameters[name].shape) != shape:
                raise InputError(
                    f"This listener's shift is for other weights: {name} of shape {shape} is not in these."
                )
        with torch.no_grad():
            return edited_weights(denoiser, self.shifts, strength)

    def compressed(self, rank: int = 8) -> tuple["WeightShift", float]:
        """The nearest shift of this rank, and the share of the shift (of its Frobenius norm) that is lost."""
        shifts, lost_square, square = {}, 0.0, 0.0
        for name, shift in self.shifts.items():
            u, s, v = torch.linalg.svd(_dense(shift)[0].float(), full_matrices=False)
            left, right = u[:, :rank] * s[:rank], v[:rank]
            shifts[name] = WeightEdit(left=left[None].contiguous(), right=right[None].contiguous())
            lost_square += float(s[rank:].square().sum())
            square += float(s.square().sum())
        return replace(self, shifts=shifts), (lost_square / square) ** 0.5 if square else 0.0

    def save(self, path: Path) -> None:
        """Write it to one safetensors file; nothing half-written stays behind. Raises InputError if it cannot be."""
        path = Path(path)
        tensors = {
            f"{name}.{key}": value[0] for name, shift in self.shifts.items() for key, value in _tensors(shift).items()
        }
        about = {
            "format": FORMAT, "weights": self.weights, "sha256": self.weights_sha256, "listener": self.listener,
            "motion_gain": asdict(self.motion_gain),
        }  # fmt: skip
        try:
            write_safetensors(path, tensors, {METADATA_KEY: about})
        except (OSError, SafetensorError) as error:
            raise InputError(f"The listener's shift cannot be written to {path} ({error}).") from None

    @classmethod
    def load(cls, path: Path) -> "WeightShift":
        """Read what `save` wrote, now or in format 1. Raises InputError for another file and for a damaged one."""
        path = Path(path)
        metadata, tensors = read_safetensors(path, "a listener's shift", "give a file that --save-shift wrote")
        about = _read_metadata(metadata, path)
        grouped: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if value.dtype not in NUMBERS or not value.isfinite().all():
                raise InputError(f"{path.name} holds numbers that are not finite, in {key}.")
            name, _, tensor_name = key.rpartition(".")
            grouped.setdefault(name, {})[tensor_name] = value[None]
        if not grouped or not all(_is_edit(named) for named in grouped.values()):
            raise InputError(f"{path.name} is damaged: its tensors are no weight shifts; save the shift again.")
        shifts = {name: WeightEdit(**named) for name, named in grouped.items()}
        gain = _read_motion_gain(about, path)
        return cls(shifts, *(str(about.get(key, "")) for key in ("weights", "sha256", "listener")), gain)


@torch.no_grad()
def predict_weight_shift(
    editor: WeightEditor, denoiser: Denoiser, style: Tensor, weights: str, sha256: str, listener: str = "personal"
) -> WeightShift:
    """Run the editor once for one style (style,). What an editor of offsets or weights predicts becomes a shift."""
    shifts = editor(style[None])
    if editor.config.predict != "shift":
        parameters = dict(denoiser.named_parameters())
        edited = edited_weights(denoiser, shifts, predict=editor.config.predict)
        shifts = {name: WeightEdit(dense=edit.dense - parameters[name]) for name, edit in edited.items()}
    return WeightShift(shifts, weights, sha256, listener)


def mix_weight_shifts(parts: Sequence[tuple[WeightShift, float]]) -> WeightShift:
    """Sum of shifts, each times its share; ranks add up. Raises InputError if they are for different weights."""
    if not parts:
        raise InputError("There is no listener's shift to mix.")
    first = parts[0][0]
    for shift, _ in parts:
        if shift.weights_sha256 != first.weights_sha256:
            raise InputError(f"Shifts for different weights cannot be mixed: '{first.weights}' and '{shift.weights}'.")
        if shift.shifts.keys() != first.shifts.keys():
            raise InputError("Shifts of different weight matrices cannot be mixed.")
    mixture = {}
    for name in first.shifts:
        edits = [(shift.shifts[name], share) for shift, share in parts]
        if any(edit.dense is not None for edit, _ in edits):
            mixture[name] = WeightEdit(dense=sum(share * _dense(edit) for edit, share in edits))
        else:
            mixture[name] = WeightEdit(
                left=torch.cat([share * edit.left for edit, share in edits], dim=2),
                right=torch.cat([edit.right for edit, _ in edits], dim=1),
            )
    label = " + ".join(f"{share:g} {shift.listener}" for shift, share in parts)
    gain = combined_gains([(shift.motion_gain, share) for shift, share in parts])
    return replace(first, shifts=mixture, listener=label, motion_gain=gain)


def mix(a: WeightShift | None, b: WeightShift | None, share: float) -> WeightShift | None:
    """The listener on the way from one to another: (1 - share) times the shift of `a` and share times that of `b`.

    Shifts are added to weights, so this is a straight line in the generator's weights; factors of the motion gain go
    along it geometrically. A share of 0 gives `a` and 1 gives `b` themselves; None is the generic generator.

    share: 0 … 1. Raises InputError for another share, and for shifts that are for different weights.
    """
    if not 0.0 <= share <= 1.0:
        raise InputError(f"The share of the other listener must lie between 0 and 1; it is {share:g}.")
    if share in (0.0, 1.0):
        return b if share else a
    parts = [(shift, part) for shift, part in ((a, 1.0 - share), (b, share)) if shift is not None]
    return mix_weight_shifts(parts) if parts else None


def is_weight_shift(path: str | Path) -> bool:
    """Whether a file looks like a saved shift (safetensors: a length, then JSON); False where it cannot be read."""
    try:
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError:
        return False
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < LONGEST_HEADER


def _read_metadata(metadata: Mapping[str, str], path: Path) -> dict[str, object]:
    """The metadata of a shift's file, with the field names of today."""
    for metadata_key, file_format, renamed in ((METADATA_KEY, FORMAT, {}), (OLD_METADATA_KEY, OLD_FORMAT, OLD_FIELDS)):
        try:
            about = json.loads(metadata.get(metadata_key, "{}"))
        except (ValueError, RecursionError):
            continue
        if isinstance(about, dict) and about.get("format") == file_format:
            return {renamed.get(key, key): value for key, value in about.items()}
    raise InputError(f"{path.name} holds no listener's shift; expected a file that --save-shift wrote.")


def _read_motion_gain(about: Mapping[str, object], path: Path) -> MotionGain:
    """The motion gain of a file; none in the first files, which had no such field."""
    gain = about.get("motion_gain", {})
    names = {one.name for one in fields(MotionGain)}
    numbers = isinstance(gain, dict) and gain.keys() <= names and all(_is_number(value) for value in gain.values())
    if not numbers or not MotionGain(**gain).is_valid:
        raise InputError(f"{path.name} is damaged: its motion gain is none; save the shift again.")
    return MotionGain(**gain)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST and value == value


def _tensors(shift: WeightEdit) -> dict[str, Tensor]:
    named = {"dense": shift.dense, "left": shift.left, "right": shift.right}
    return {name: value for name, value in named.items() if value is not None}


def _is_edit(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of one shift: a matrix, or two factors of one rank."""
    if any(tensor.ndim != 3 for tensor in tensors.values()):
        return False
    if tensors.keys() == {"dense"}:
        return True
    return tensors.keys() == {"left", "right"} and tensors["left"].shape[2] == tensors["right"].shape[1]


def _dense(shift: WeightEdit) -> Tensor:
    return shift.dense if shift.dense is not None else shift.left @ shift.right


def _low_rank_shape(shift: WeightEdit) -> tuple[int, int]:
    return shift.left.shape[1], shift.right.shape[2]
