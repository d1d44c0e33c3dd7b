"""What was understood of an input, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from page.words import habits_card, trouble

if TYPE_CHECKING:
    from page.understood import Understood

OTHER = "other_listener"  # the third role, beside "speaker" and "listener"
WIDTH, HEIGHT = 600, 36  # of the loudness, units of the drawing


def looking() -> str:
    """While a file is looked at."""
    return '<p class="looking" role="status">Looking at it …</p>'


def listening() -> str:
    """While the style of a listener's video is read."""
    return '<p class="looking" role="status">Watching how this listener listens …</p>'


def view(found: Understood, role: str, player: str = "") -> str:
    """Picture or player, facts, notes and troubles of one input. `player`: the address of a video that plays."""
    parts = []
    if player:
        poster = f' poster="{found.picture}"' if found.picture else ""
        parts.append(
            f'<video class="preview" src="{escape(player)}"{poster} controls playsinline preload="metadata" '
            f'aria-label="The {role}\'s video"></video>'
        )
    elif found.picture:
        many = "the faces have numbers" if found.faces > 1 else "the face is framed"
        what = "a picture of the video" if found.kind == "video" else "the photo"
        parts.append(f'<img class="preview" src="{found.picture}" alt="The {role}, {what}; {many}">')
    if found.facts:
        faces = () if not found.picture else (f"{found.faces} face{'s' if found.faces > 1 else ''} found",)
        parts.append(f'<p class="facts">{" · ".join(map(escape, (*found.facts, *faces)))}</p>')
    parts += [f'<p class="known">{escape(note)}</p>' for note in dict.fromkeys(found.notes)]
    if found.trouble:
        parts.append(trouble(found.trouble))
    return f'<div class="understood">{"".join(parts)}</div>'


def strip(found: Understood, role: str) -> str:
    """Pictures and loudness over the length; what lies outside the chosen part is shaded by the browser."""
    pictures = f'<img src="{found.strip}" alt="Pictures of the {role}\'s video, from its start to its end">'
    bars = ""
    if found.loudness:
        step = WIDTH / len(found.loudness)
        bars = "".join(
            f'<rect x="{index * step:.1f}" y="{HEIGHT * (1 - level):.1f}" width="{0.7 * step:.1f}" '
            f'height="{max(1.0, HEIGHT * level):.1f}"/>'
            for index, level in enumerate(found.loudness)
        )
        bars = (
            f'<svg class="loudness" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
            f'aria-label="Loudness over the length">{bars}</svg>'
        )
    inside = (pictures if found.strip else "") + bars + '<i class="before"></i><i class="after"></i>'
    return f'<div class="strip" data-seconds="{found.seconds:.2f}">{inside}</div>'


def habits(rows: Sequence[tuple[str, str]]) -> str:
    """The style card of a listener's video; nothing without one."""
    return habits_card(tuple(rows))
