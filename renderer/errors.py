"""The one exception of this room whose text is meant for the person who gave the input."""


class RenderError(ValueError):
    """Bad input to a renderer, in one sentence: what was wrong, with which file, what to do."""
