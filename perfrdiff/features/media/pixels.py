"""How large a picture may be before it is refused unread: what each reader can bear, or less where a server says so."""

from __future__ import annotations

__all__ = ["cap_pixels", "most_pixels"]

_cap: int | None = None  # of this process


def cap_pixels(most: int | None) -> None:
    """Let this process read pictures of at most so many pixels from now on; None: what each reader can bear."""
    global _cap
    _cap = most


def most_pixels(bearable: int) -> int:
    """The limit that holds for a reader that can bear `bearable` pixels."""
    return bearable if _cap is None else min(bearable, _cap)
