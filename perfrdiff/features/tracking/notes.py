"""What a person should know about how a clip was read, in sentences."""

import numpy as np

from perfrdiff.coefficients import FPS
from perfrdiff.features.media.video import VideoInfo
from perfrdiff.features.tracking.search import CandidateFace
from perfrdiff.features.tracking.signals import COARSE_LIGHT, COARSE_PIXELS, QUALITIES, RawTrack

__all__ = ["notes_on", "times_of"]

SMALL_FACE = COARSE_PIXELS  # below this the numbers are coarse and the notes say so
MOST_SPANS = 4  # spans that a note lists
COARSE_NOTED = 0.1  # share of a clip turned far away, or dark, from which on a note says so


def notes_on(
    info: VideoInfo,
    candidates: list[CandidateFace],
    track: RawTrack,
    quality: np.ndarray,
    followed: int,
    occluded: np.ndarray,
) -> list[str]:
    """Notes on a clip, one sentence each.

    Args:
        quality: (T,) uint8, index into ``QUALITIES``.
        followed: the index of the face that was followed.
        occluded: (T,) bool, something covers the face.
    """
    notes = []
    if info.header_seconds is not None:
        notes.append(
            f"{info.name} promises {info.header_seconds:.1f} s, but only {info.seconds:.1f} s could be read and used."
        )
    if len(candidates) > 1:
        third = min(2, int(candidates[followed].centre[0] / info.width * 3))
        place = ("on the left", "in the middle", "on the right")[third]
        which = "the largest that stays" if followed == 0 else f"number {followed + 1}"
        notes.append(f"{len(candidates)} faces were seen in {info.name}; {which} is followed, {place}.")
    if candidates[followed].size < SMALL_FACE:
        size = candidates[followed].size
        notes.append(f"The face in {info.name} is only {size:.0f} px high; fine movements cannot be read.")
    if occluded.any():
        notes.append(
            f"Something, perhaps a hand, covers the face for {occluded.sum() / FPS:.1f} s of {info.name} "
            f"({times_of(occluded)}); what it does there was filled in."
        )
    filled = (quality == QUALITIES.index("filled")) & ~occluded
    if filled.any():
        notes.append(
            f"The face was out of sight for {filled.sum() / FPS:.1f} s of {info.name} ({times_of(filled)}); "
            "a resting face stands there."
        )
    if candidates[followed].size >= SMALL_FACE:
        coarse, dark = quality == QUALITIES.index("coarse"), np.array(track.lights) < COARSE_LIGHT
        unlit, turned_away = (coarse & dark).mean(), (coarse & ~dark).mean()
        if unlit > COARSE_NOTED:
            notes.append(f"{unlit:.0%} of {info.name} is too dark to read fine movements; more light helps.")
        if turned_away > COARSE_NOTED:
            notes.append(
                f"In {turned_away:.0%} of {info.name} the face is turned far away; its expression is a guess there."
            )
    if track.takes and track.takes[-1]:
        notes.append(f"The face jumped in {info.name} (a scene cut?); each part has its own seat.")
    return notes


def times_of(flags: np.ndarray) -> str:
    """The seconds in which (T,) flags are set, in words; the longest few where there are many."""
    spans = _spans(flags)
    longest = sorted(sorted(spans, key=lambda span: span[0] - span[1])[:MOST_SPANS])
    more = f" and {len(spans) - MOST_SPANS} more" if len(spans) > MOST_SPANS else ""
    return ", ".join(f"{first / FPS:.1f}–{last / FPS:.1f} s" for first, last in longest) + more


def _spans(flags: np.ndarray) -> list[tuple[int, int]]:
    """(T,) bool -> first frame and the frame after the last of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
