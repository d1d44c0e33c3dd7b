"""Single frames for programs that move an avatar while something happens: the Virtual Motion Capture protocol (VMC).

Its messages are OSC; Unity, Unreal and most avatar programs have receivers (https://protocol.vmc.info). Here is what
they carry; perfrdiff/live/osc.py sends them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from renderer.coefficients import UPRIGHT, plausible_coefficients
from renderer.export.live_link import BLENDSHAPES
from renderer.face_model import COEFFICIENT_NAMES

_COLUMNS = [COEFFICIENT_NAMES.index(name[0].lower() + name[1:]) for name in BLENDSHAPES]


@dataclass(frozen=True)
class VmcFrame:
    """What a receiver is told of one frame."""

    blends: dict[str, float]  # the 52 ARKit blend shapes by the names of "perfect sync" (BrowInnerUp …), 0 … 1
    head: tuple[float, float, float, float]  # quaternion x, y, z, w of the bone Head, against an upright head


def vmc_frame(row: np.ndarray) -> VmcFrame:
    """Coefficients (58,) of one frame, clamped as when they are drawn.

    The quaternion is in the axes of the protocol, which are Unity's: x to the avatar's right, y up, z where it looks,
    left-handed. Raises RenderError for another shape, NaN or infinity.
    """
    row = plausible_coefficients(np.asarray(row)[None])[0]
    # Ours are x to the left, y up, z where the head looks, right-handed: x is mirrored.
    x, y, z, w = Rotation.from_euler("xyz", np.asarray(row[-6:-3] - UPRIGHT, np.float64)).as_quat(canonical=True)
    head = float(x), float(-y), float(-z), float(w)
    return VmcFrame(dict(zip(BLENDSHAPES, row[_COLUMNS].astype(float).tolist(), strict=True)), head)
