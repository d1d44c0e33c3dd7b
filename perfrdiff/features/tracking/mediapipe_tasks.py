"""MediaPipe's face landmarker, imported without matplotlib, whose import takes longer than all the rest of it.

MediaPipe's package imports its drawing helpers, and these import matplotlib, for a plot that nobody here asks for.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

__all__ = ["BaseOptions", "FaceLandmarker", "FaceLandmarkerOptions", "Image", "ImageFormat", "RunningMode"]


class _LatePyplot(ModuleType):
    """Stands in for matplotlib.pyplot; whoever does plot gets the real one."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module("matplotlib.pyplot"), name)


@contextmanager
def _matplotlib_later() -> Iterator[None]:
    """Inside, `import matplotlib.pyplot` loads nothing, unless it is loaded already."""
    if "matplotlib" in sys.modules:
        yield
        return
    package, pyplot = ModuleType("matplotlib"), _LatePyplot("matplotlib.pyplot")
    # Gradio asks for these two around each call, which may come from another thread just now.
    vars(package).update(pyplot=pyplot, get_backend=lambda: "agg", use=lambda backend: None)
    stand_ins = {"matplotlib": package, "matplotlib.pyplot": pyplot}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


with _matplotlib_later():
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions, RunningMode
