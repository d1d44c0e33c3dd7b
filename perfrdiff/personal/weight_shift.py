"""One listener's weight shift by itself: a file well under a megabyte that can be kept, mixed, scaled, taken off again.

Edits never touch the generator's own weights, so taking a shift off gives the generic generator back bit for bit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite
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
from perfrdiff.personal.motion_gain import Manner, manners_together

FORMAT = "perfrdiff listener shift 1"


@dataclass(frozen=True)
class ListenerShift:
    """What one listener adds to some of the generator's weights."""

    shifts: Mapping[str, WeightEdit]  # parameter -> one listener's shift (P = 1), low-rank or dense
    weights: str  # name of the weights it was made for
    weights_sha256: str  # and what is in them: a shift fits no others
    listener: str = "personal"
    manner: Manner = field(default_factory=Manner)  # what is done to the reactions afterwards

    @property
    def size(self) -> int:
        """Bytes of its numbers."""
        return sum(
            part.numel() * part.element_size() for shift in self.shifts.values() for part in _parts(shift).values()
        )

    def edits(self, denoiser: Denoiser, strength: float = 1.0) -> Edits:
        """Edits for the generator: 0 = generic, 1 = as learnt, up to 2 = exaggerated. The generator stays as it is.

        Raises InputError for a strength outside 0 … 2 and for a generator that lacks the shifted weights.
        """
        if not 0.0 <= strength <= MAX_STRENGTH:
            raise InputError(f"Strength {strength} is outside 0 … 2 (0 = generic, 1 = as learnt).")
        own = dict(denoiser.named_parameters())
        for name, shift in self.shifts.items():
            shape = tuple(_dense(shift).shape[1:]) if shift.dense is not None else _low_rank_shape(shift)
            if name not in own or tuple(own[name].shape) != shape:
                raise InputError(
                    f"This listener's shift is for other weights: {name} of shape {shape} is not in these."
                )
        with torch.no_grad():
            return edited_weights(denoiser, self.shifts, strength)

    def compressed(self, rank: int = 8) -> tuple["ListenerShift", float]:
        """The nearest shift of this rank, and the share of the shift (of its Frobenius norm) that is lost."""
        kept, lost, whole = {}, 0.0, 0.0
        for name, shift in self.shifts.items():
            u, s, v = torch.linalg.svd(_dense(shift)[0].float(), full_matrices=False)
            left, right = u[:, :rank] * s[:rank], v[:rank]
            kept[name] = WeightEdit(left=left[None].contiguous(), right=right[None].contiguous())
            lost += float(s[rank:].square().sum())
            whole += float(s.square().sum())
        return replace(self, shifts=kept), (lost / whole) ** 0.5 if whole else 0.0

    def save(self, path: Path) -> None:
        """Write it to one safetensors file; nothing half-written stays behind. Raises InputError if it cannot be."""
        path = Path(path)
        tensors = {
            f"{name}.{part}": value[0] for name, shift in self.shifts.items() for part, value in _parts(shift).items()
        }
        about = {
            "format": FORMAT, "weights": self.weights, "sha256": self.weights_sha256, "listener": self.listener,
            "manner": asdict(self.manner),
        }  # fmt: skip
        try:
            write_safetensors(path, tensors, {"listener_shift": about})
        except (OSError, SafetensorError) as error:
            raise InputError(f"The listener's shift cannot be written to {path} ({error}).") from None

    @classmethod
    def load(cls, path: Path) -> "ListenerShift":
        """Read what `save` wrote. Raises InputError for a file that is none or cannot be read."""
        path = Path(path)
        metadata, tensors = read_safetensors(path, "a listener's shift", "give a file that --save-shift wrote")
        try:
            about = json.loads(metadata.get("listener_shift", "{}"))
        except ValueError:
            about = None
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise InputError(f"{path.name} holds no listener's shift; expected a file that --save-shift wrote.")
        grouped: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if not value.isfinite().all():
                raise InputError(f"{path.name} holds numbers that are not finite, in {key}.")
            name, _, part = key.rpartition(".")
            grouped.setdefault(name, {})[part] = value[None]
        if not grouped or not all(_is_edit(parts) for parts in grouped.values()):
            raise InputError(f"{path.name} is damaged: its tensors are no weight shifts; save the shift again.")
        shifts = {name: WeightEdit(**parts) for name, parts in grouped.items()}
        manner = _manner_in(about, path)
        return cls(shifts, *(str(about.get(key, "")) for key in ("weights", "sha256", "listener")), manner)


@torch.no_grad()
def listener_shift(
    editor: WeightEditor, denoiser: Denoiser, style: Tensor, weights: str, sha256: str, listener: str = "personal"
) -> ListenerShift:
    """Run the editor once for one style (style,). What an editor of offsets or weights predicts becomes a shift."""
    shifts = editor(style[None])
    if editor.config.predict != "shift":
        own = dict(denoiser.named_parameters())
        edited = edited_weights(denoiser, shifts, predict=editor.config.predict)
        shifts = {name: WeightEdit(dense=edit.dense - own[name]) for name, edit in edited.items()}
    return ListenerShift(shifts, weights, sha256, listener)


def mixed(parts: Sequence[tuple[ListenerShift, float]]) -> ListenerShift:
    """Sum of shifts, each times its weight; ranks add up. Raises InputError if they are for different weights."""
    if not parts:
        raise InputError("There is no listener's shift to mix.")
    first = parts[0][0]
    for shift, _ in parts:
        if shift.weights_sha256 != first.weights_sha256:
            raise InputError(f"Shifts for different weights cannot be mixed: '{first.weights}' and '{shift.weights}'.")
        if shift.shifts.keys() != first.shifts.keys():
            raise InputError("Shifts of different weight matrices cannot be mixed.")
    together = {}
    for name in first.shifts:
        each = [(shift.shifts[name], weight) for shift, weight in parts]
        if any(shift.dense is not None for shift, _ in each):
            together[name] = WeightEdit(dense=sum(weight * _dense(shift) for shift, weight in each))
        else:
            together[name] = WeightEdit(
                left=torch.cat([weight * shift.left for shift, weight in each], dim=2),
                right=torch.cat([shift.right for shift, _ in each], dim=1),
            )
    label = " + ".join(f"{weight:g} {shift.listener}" for shift, weight in parts)
    manner = manners_together([(shift.manner, weight) for shift, weight in parts])
    return replace(first, shifts=together, listener=label, manner=manner)


def _manner_in(about: Mapping[str, object], path: Path) -> Manner:
    """The manner a file says, none in files from before there were any."""
    said = about.get("manner", {})
    known = {one.name for one in fields(Manner)}
    numbers = isinstance(said, dict) and said.keys() <= known and all(isinstance(v, int | float) for v in said.values())
    if not numbers or not all(isfinite(value) for value in said.values()) or not Manner(**said).sound:
        raise InputError(f"{path.name} is damaged: its manner is none; save the shift again.")
    return Manner(**said)


def _parts(shift: WeightEdit) -> dict[str, Tensor]:
    every = {"dense": shift.dense, "left": shift.left, "right": shift.right}
    return {name: value for name, value in every.items() if value is not None}


def _is_edit(parts: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of one shift: a matrix, or two factors of one rank."""
    if any(part.ndim != 3 for part in parts.values()):
        return False
    if parts.keys() == {"dense"}:
        return True
    return parts.keys() == {"left", "right"} and parts["left"].shape[2] == parts["right"].shape[1]


def _dense(shift: WeightEdit) -> Tensor:
    return shift.dense if shift.dense is not None else shift.left @ shift.right


def _low_rank_shape(shift: WeightEdit) -> tuple[int, int]:
    return shift.left.shape[1], shift.right.shape[2]
