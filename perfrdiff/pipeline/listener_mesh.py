"""Whom the mesh shows: the listener, fitted to their photo or read from a file, or one of the made-up people."""

from __future__ import annotations

from dataclasses import dataclass

from perfrdiff.errors import InputError
from perfrdiff.features.clip import Listener
from perfrdiff.pipeline.request import LISTENER, ReactRequest
from renderer.errors import RenderError
from renderer.face_model import FaceModel
from renderer.identity.files import load_identity
from renderer.identity.fit import fit_identity
from renderer.identity.identity import Identity
from renderer.identity.photo import FacePhoto
from renderer.mesh_identities import MESH_IDENTITIES

STAND_IN = next(iter(MESH_IDENTITIES))
"""Who is shown where the listener's own head cannot be made."""


@dataclass(frozen=True)
class ShownHead:
    """Whom the mesh shows: an `Identity` of the listener, or the name of a made-up person."""

    identity: Identity | str
    notes: tuple[str, ...] = ()  # sentences for the listener's person

    @property
    def name(self) -> str:
        """LISTENER, or the made-up person's name."""
        return self.identity if isinstance(self.identity, str) else LISTENER


def head_of(listener: Listener, face: FaceModel, request: ReactRequest) -> ShownHead:
    """Whom the mesh of this request shows. A head that cannot be made is replaced by STAND_IN, and a note says why.

    Raises RenderError for a saved head that cannot be read, InputError where a head was to be saved and there is none.
    """
    if request.mesh_identity != LISTENER:
        shown = ShownHead(request.mesh_identity)
    elif request.identity is not None:
        shown = ShownHead(load_identity(request.identity))
    else:
        shown = fitted_head(listener, face)
    if request.save_identity is not None:
        if isinstance(shown.identity, str):
            raise InputError(f"There is no head of the listener to save. {' '.join(shown.notes)}".rstrip())
        shown.identity.save(request.save_identity)
    return shown


def fitted_head(listener: Listener, face: FaceModel) -> ShownHead:
    """The listener's own head, or STAND_IN with a note on why it cannot be made."""
    if listener.photo is None or listener.landmarks is None or listener.photo_coefficients is None:
        return _stand_in("A features file shows nobody.")
    try:
        views = [FacePhoto(one.picture, one.landmarks, one.coefficients) for one in listener.head_views]
        identity = fit_identity(face, listener.photo, listener.landmarks, listener.photo_coefficients, views)
    except RenderError as error:
        return _stand_in(str(error))
    return ShownHead(identity, tuple(f"The listener's mesh: {note[:1].lower()}{note[1:]}" for note in identity.notes))


def _stand_in(reason: str) -> ShownHead:
    return ShownHead(STAND_IN, (f"The mesh shows {STAND_IN}, a made-up person, in the listener's place: {reason}",))
