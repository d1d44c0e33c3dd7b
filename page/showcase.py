"""The example that the page opens with: its files and settings, the same beforehand and live."""

from __future__ import annotations

SPEAKER, LISTENER = "examples/speaker.mp4", "examples/portrait.jpg"  # below assets
TITLE = "One person talks, one listens, four times over"
NOTE = "An example, made beforehand by this program. Speaker, voice and listener are computer-made; so is every nod."


def settings() -> dict[str, object]:
    """Those settings of `ReactRequest` that are not their defaults."""
    return {"samples": 4, "seed": 0}
