"""All videos of one run: what draws them, which of them can be drawn, and their metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from perfrdiff import __version__, checkpoints
from perfrdiff.errors import InputError
from perfrdiff.features.clip import Listener, Speaker
from perfrdiff.features.media.input import Media
from perfrdiff.pipeline.comparison import Cell
from perfrdiff.pipeline.credentials import DIGITAL_SOURCE_TYPE, Credentials
from perfrdiff.pipeline.folder import OutputFolder
from perfrdiff.pipeline.listener_mesh import ShownHead, head_of
from perfrdiff.pipeline.request import LISTENER, ReactRequest
from perfrdiff.reactor import GENERIC, Reactions
from renderer.face_model import FaceModel, load_face_model
from renderer.faceverse import react_identity
from renderer.identity.identity import Identity
from renderer.mesh import MeshRenderer
from renderer.portrait import portrait_animator
from renderer.video.export import VideoOptions, VideoTrack, export_videos
from renderer.video.layout import AI_LABEL, SideBySideLayout

TITLE = "AI-generated facial reaction (PerFRDiff demo)"
SPEAKER_SIZE = 512  # pixels of a drawn speaker
REACT_FACE = (
    checkpoints.FOLDER / "faceverse.npz"
)  # made by `python -m renderer.faceverse`; its licence forbids shipping it


@lru_cache(maxsize=1)
def built_in_face() -> FaceModel:
    """The face model that every mesh shows unless another is asked for, read once per process."""
    return load_face_model()


class ReactionVideos:
    """Draws the videos of one run; made before any other work, so that a wrong setting is reported at once.

    Raises RenderError for a mesh identity or an animator that is not there, InputError for a key that cannot sign.
    """

    def __init__(self, request: ReactRequest):
        self._request = request
        self._credentials: Credentials | None = None
        if request.credentials_key is not None and request.credentials_certificate is not None:
            self._credentials = Credentials(request.credentials_key, request.credentials_certificate)
        self.head: ShownHead | None = None  # of the mesh; None where none is drawn, and for REACT's face
        is_listener = request.mesh_identity == LISTENER and not _shows_react_face(request)
        self._mesh = None if is_listener else _mesh_renderer(request, request.mesh_identity)
        self._animator = portrait_animator(
            built_in_face(), request.size, request.animator, checkpoints.FOLDER, request.device
        )
        self.views: tuple[str, ...] = request.views

    def set_listener(self, listener: Listener) -> None:
        """Take the listener's photo, before the reactions exist: nobody should wait for them to learn that the face is
        too small. A features file shows nobody, so there is no photo to animate, and a note says so; the mesh becomes
        the listener's head.

        Raises InputError or RenderError where nothing that was asked for can be drawn, or a saved head not be read.
        """
        if listener.photo is None:
            if self._request.views == ("photo",):
                raise InputError(
                    "A features file carries no picture of the listener; ask for the mesh, or give a video."
                )
            if "photo" in self._request.views:
                listener.notes.append("The listener's features file carries no picture; only the mesh is drawn.")
            self.views = tuple(view for view in self._request.views if view != "photo")
        if "photo" in self.views:
            assert listener.photo is not None, "without a photo there is no such view"
            assert listener.landmarks is not None and listener.photo_coefficients is not None
            self._animator.set_portrait(listener.photo, listener.landmarks, listener.photo_coefficients)
        draws_mesh = "mesh" in self.views or self._request.transparent
        if draws_mesh and not _shows_react_face(self._request):
            head = head_of(listener, built_in_face(), self._request)
            listener.notes.extend(head.notes)
            self.head = head
            if self._mesh is None:
                self._mesh = _mesh_renderer(self._request, head.identity)

    @property
    def mesh_identity(self) -> str | None:
        """Whom the mesh shows: LISTENER or a made-up person's name; None where no head is."""
        return self.head.name if self.head is not None else None

    @property
    def animator(self) -> str | None:
        """What moves the photo, "warp" or "pirender"; None where no photo is drawn."""
        return self._animator.name if "photo" in self.views else None

    def write(
        self,
        folder: OutputFolder,
        speaker: Speaker,
        speaker_file: Media | None,
        reactions: Reactions,
        style: str,
        progress: Callable[[float], None],
        cells: Sequence[Cell] = (),
    ) -> None:
        """Draw and write every video of the run into the folder, in one pass.

        `speaker_file`: a video or a features file; None: there is no picture of the speaker. `style`: the listening
        style in words. `cells`: of a comparison, what each reaction is.
        """
        request = self._request
        count, frames, _ = reactions.coefficients.shape
        pictures: dict[str, list[Iterator[np.ndarray]]] = {}  # view -> the frames of every reaction, drawn lazily
        if "mesh" in self.views:
            assert self._mesh is not None, "set_listener made it"
            pictures["mesh"] = [self._mesh.render(rows) for rows in reactions.coefficients]
        if "photo" in self.views:
            pictures["photo"] = self._animator.animate_many(list(reactions.coefficients))
        cards, transparent = [], []
        for index, rows in enumerate(reactions.coefficients):
            files = folder.reaction(index + 1, self.views, request.transparent)
            cards.append([VideoTrack(pictures[view][index], files.videos[view]) for view in self.views])
            if files.transparent is not None:
                assert self._mesh is not None, "set_listener made it"
                transparent.append(VideoTrack(self._mesh.render_transparent(rows), files.transparent))
        label = AI_LABEL if request.label else ""
        kind = "generic" if style == GENERIC or request.strength == 0 else f"{style} · personalised"
        captions = [f"Reaction {number} · {request.name}\n{kind}" for number in range(1, count + 1)]
        if cells:
            captions = [f"{cell.title}\n{cell.words}" for cell in cells]
        grid = SideBySideLayout(
            _speaker_size(speaker_file),
            captions,
            len(self.views),
            request.size,
            note=f"Compared at seed {request.seed}" if cells else f"Listening style: {style}",
            label=label,
        )
        assert grid.speaker_size is not None, "the speaker is always shown"
        export_videos(
            cards,
            _speaker_pictures(speaker, speaker_file, max(grid.speaker_size)),
            grid,
            folder.side_by_side,
            VideoOptions(
                frames,
                request.size,
                audio=(speaker.waveform.samples, speaker.waveform.rate) if speaker.waveform is not None else None,
                metadata=_metadata(request, reactions),
                label=label or None,
            ),
            progress,
            transparent,
        )
        if self._credentials is not None:
            for path in (folder.side_by_side, *(track.path for card in cards for track in card)):
                self._credentials.sign(path)


def _speaker_size(speaker_file: Media | None) -> tuple[int, int]:
    """Width and height of the speaker's pictures."""
    if speaker_file is None or speaker_file.kind == "table":
        return SPEAKER_SIZE, SPEAKER_SIZE
    return speaker_file.info.width, speaker_file.info.height


def _speaker_pictures(speaker: Speaker, speaker_file: Media | None, long_side: int) -> Iterator[np.ndarray]:
    """The frames of the speaker's video; where there is none, a mesh that makes the speaker's movements."""
    if speaker_file is None or speaker_file.kind == "table":
        return MeshRenderer(built_in_face(), SPEAKER_SIZE).render(speaker.coefficients)
    return speaker_file.frames(long_side)


def _shows_react_face(request: ReactRequest) -> bool:
    """The grey style shows REACT's reference person where FaceVerse's model was converted."""
    return request.mesh_style == "grey" and REACT_FACE.is_file()


def _mesh_renderer(request: ReactRequest, identity: str | Identity) -> MeshRenderer:
    """The mesh to draw."""
    if _shows_react_face(request):
        return MeshRenderer(load_face_model(REACT_FACE), request.size, request.mesh_style, react_identity())
    return MeshRenderer(built_in_face(), request.size, request.mesh_style, identity)


def _metadata(request: ReactRequest, reactions: Reactions) -> dict[str, str]:
    """Metadata of a video's container."""
    source = {"seed": request.seed, "version": __version__, "weights": reactions.weights, "source": DIGITAL_SOURCE_TYPE}
    return {"title": TITLE, "comment": json.dumps(source), "description": TITLE}
