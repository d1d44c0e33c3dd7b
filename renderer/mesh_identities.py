"""Who the built-in head may show: shape, colours and hair of the ready-made identities."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from renderer.face_model import FaceModel


@dataclass(frozen=True)
class Palette:
    """sRGB colours 0..255 of one identity and of the wall behind it."""

    skin: tuple[int, int, int] = (226, 176, 148)
    blush: tuple[int, int, int] = (214, 128, 108)  # cheeks and the tip of the nose
    lips: tuple[int, int, int] = (190, 110, 102)
    hair: tuple[int, int, int] = (72, 50, 38)
    iris: tuple[int, int, int] = (96, 122, 128)
    cloth: tuple[int, int, int] = (62, 84, 104)
    background: tuple[int, int, int] = (186, 198, 204)
    background_edge: tuple[int, int, int] = (118, 134, 146)  # of the wall, towards the picture's edge


@dataclass(frozen=True)
class MeshIdentity:
    """What a mesh looks like: identity directions by name (see FaceModel.identity_names), colours, hair."""

    identity: dict[str, float] = field(default_factory=dict)
    palette: Palette = Palette()
    hair: bool = True
    haircut: str = "swept"  # a name in renderer.hair.HAIRCUTS
    brow_thickness: float = 1.0  # 1 is slender
    lip_inset: float = 0.0  # model units by which the lip colour ends inside the lips
    beard_density: float = 0.0  # 0 shaven, 0.3 a shadow, 0.8 a short beard

    def identity_coefficients(self, face: FaceModel) -> np.ndarray:
        """(I,) identity coefficients for `face`; names that it does not know count as 0."""
        return np.array([self.identity.get(name, 0.0) for name in face.identity_names], np.float32)


MESH_IDENTITIES: dict[str, MeshIdentity] = {
    "Alex": MeshIdentity(brow_thickness=1.35, lip_inset=0.006),
    "Mara": MeshIdentity(
        {"masculine": -0.9, "caucasian": 0.4, "lipVolume": 0.4, "chinWidth": -0.4, "eyeSize": 0.3},
        Palette(skin=(232, 184, 158), lips=(194, 98, 98), hair=(122, 74, 44), iris=(86, 118, 84), cloth=(122, 74, 84)),
        haircut="long",
        brow_thickness=1.1,
    ),
    "Kofi": MeshIdentity(
        {"masculine": 0.7, "african": 0.8, "squareJaw": 0.3},
        Palette(
            skin=(132, 86, 62), blush=(136, 78, 58), lips=(124, 72, 62), hair=(26, 21, 19), iris=(66, 42, 28),
            cloth=(176, 132, 62),
        ),
        haircut="cropped",
        brow_thickness=1.5,
        lip_inset=0.004,
        beard_density=0.22,
    ),
    "Yuna": MeshIdentity(
        {"masculine": -0.6, "asian": 0.8, "roundHead": 0.3},
        Palette(skin=(229, 185, 154), lips=(196, 110, 102), hair=(30, 26, 27), iris=(60, 42, 32), cloth=(84, 110, 92)),
        haircut="bob",
        lip_inset=0.004,
    ),
    "Omar": MeshIdentity(
        {"masculine": 0.8, "noseHump": 0.6, "noseLength": 0.3, "chinProminence": 0.3, "lipVolume": -0.5},
        Palette(
            skin=(198, 146, 112), blush=(192, 122, 96), lips=(164, 98, 88), hair=(34, 27, 24), iris=(74, 52, 36),
            cloth=(70, 72, 82),
        ),
        brow_thickness=1.8,
        lip_inset=0.012,
        beard_density=0.85,
    ),
    "Edda": MeshIdentity(
        {"masculine": -0.5, "age": 0.9, "cheekVolume": -0.4, "fullness": 0.3, "lipVolume": -0.4},
        Palette(
            skin=(226, 181, 158), lips=(184, 120, 110), hair=(150, 144, 140), iris=(88, 112, 136), cloth=(84, 78, 110),
        ),
        haircut="chin",
        lip_inset=0.006,
    ),
}  # fmt: skip
"""The identities that a listener's mesh may have, for the built-in head."""
