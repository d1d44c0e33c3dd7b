"""One decorator for the compiled loops. What was compiled once is read from disk by every later process.

numba's own cache has three gaps that are closed here. It looks at the file of a function alone, though the functions
of other files that it calls are inlined into it, so it would go on using what an edit has made old. It does not read
code beside the modules where it may not write there, as in an installation that is read-only. And a disk that is full
would end the work that the code was compiled for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core import caching

FASTMATH_FLAGS = {"contract", "arcp", "nsz", "reassoc"}  # not nnan or ninf: bad numbers must stay visible
OPTIONS = {"nogil": True, "fastmath": FASTMATH_FLAGS, "error_model": "numpy"}
IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+import\s+(\([^)]*\)|[^\n]*)|import\s+([\w.]+))", re.MULTILINE)

_compiled: list[Any] = []


def jit(function: Callable | None = None, **options: Any) -> Any:
    """`function` compiled by numba: releases the GIL, keeps its machine code on disk where that is possible.

    `options` of numba replace `OPTIONS`. The code is kept in `__pycache__` beside the module, or else in the user's
    cache folder; NUMBA_CACHE_DIR names another. No `parallel=True`: two threads entering such a loop at once abort the
    process (docs/method.md 13.14).
    """
    if function is None:
        return lambda function: jit(function, **options)
    compiled = njit(**OPTIONS | options)(function)
    compiled._cache = _Caches(function)
    _compiled.append(compiled)
    return compiled


def jit_inline(function: Callable) -> Callable:
    """For a loop's body: becomes part of its one caller, since handing over a dozen arrays costs more than the sums."""
    return njit(inline="always", **OPTIONS)(function)


def jit_loop(function: Callable) -> Any:
    """As `jit`, for loops that hand arrays to smaller functions for every pixel. They can make no arrays of their own.

    numba counts who holds an array; that takes longer than the sums of a pixel, and is left out here.
    """
    return jit(function, _nrt=False)


def signatures() -> dict[str, set[tuple]]:
    """What this process has compiled or read from disk: full name of a function -> the types it was called with."""
    return {f"{one.py_func.__module__}.{one.py_func.__qualname__}": set(one.signatures) for one in _compiled}


def compilations() -> int:
    """How often this process had to compile, because what it needed was not on disk."""
    return sum(sum(one.stats.cache_misses.values()) for one in _compiled)


@cache
def _own_imports(file: Path, root: Path) -> tuple[str, frozenset[Path]]:
    """The content of a module as a digest, and the files of its own package that it imports."""
    text, package = file.read_text(encoding="utf-8"), file.relative_to(root).parts[0]
    files = set()
    for module, names, plain in IMPORT.findall(text):
        module = module or plain
        if module.split(".")[0] == package:
            parts = [module, *(f"{module}.{name}" for name in re.findall(r"\w+", names))]
            paths = [root.joinpath(*part.split(".")) for part in parts]
            files |= {path.with_suffix(".py") for path in paths} | {path / "__init__.py" for path in paths}
    return hashlib.sha256(text.encode()).hexdigest(), frozenset(path for path in files if path.is_file())


@cache
def _stamp(file: Path, root: Path) -> str:
    """A digest of a module and of all modules of its own package that it imports, directly or not."""
    todo, digests = [file], {}
    while todo:
        one = todo.pop()
        if one not in digests:
            digests[one], imported = _own_imports(one, root)
            todo.extend(imported)
    listed = sorted((str(path.relative_to(root)), digest) for path, digest in digests.items())
    return hashlib.sha256(repr(listed).encode()).hexdigest()


class _Locator:
    """Mixed into numba's locators: another stamp, and no demand that the folder can be written."""

    def __init__(self, function: Callable, file: str) -> None:
        super().__init__(function, file)  # type: ignore[call-arg]
        path = Path(file).resolve()
        self._stamped = path, path.parents[function.__module__.count(".")]

    def get_source_stamp(self) -> str:
        return _stamp(*self._stamped)

    @classmethod
    def from_function(cls, function: Callable, file: str) -> _Locator:
        return cls(function, file)


def _cache_class(locator: type) -> type[caching.FunctionCache]:
    """numba's cache in the place that a locator names."""
    located = type(f"_Located{locator.__name__}", (_Locator, locator), {})
    impl = type(f"_Impl{locator.__name__}", (caching.CompileResultCacheImpl,), {"_locator_classes": [located]})
    return type(f"_Cache{locator.__name__}", (caching.FunctionCache,), {"_impl_class": impl})


_IN_CHOSEN_FOLDER = _cache_class(caching.UserProvidedCacheLocator)
_BESIDE_MODULES = _cache_class(caching.InTreeCacheLocator)
_IN_USERS_FOLDER = _cache_class(caching.UserWideCacheLocator)


class _Caches(caching._Cache):
    """The places where a function's machine code may lie: all are read, the first that can be is written."""

    def __init__(self, function: Callable) -> None:
        places = (_IN_CHOSEN_FOLDER,) if config.CACHE_DIR else (_BESIDE_MODULES, _IN_USERS_FOLDER)
        self._places = [place(function) for place in places]

    @property
    def cache_path(self) -> str:
        return self._places[0].cache_path

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        for place in self._places:
            try:
                found = place.load_overload(sig, target_context)
            except Exception:  # damaged, or not ours to read: compiled again
                with suppress(OSError):
                    place.flush()
                continue
            if found is not None:
                return found
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        for place in self._places:
            try:
                place.save_overload(sig, data)
                return
            except Exception:  # read-only, full, or damaged: no reason to end what the code was compiled for
                continue

    def enable(self) -> None:
        for place in self._places:
            place.enable()

    def disable(self) -> None:
        for place in self._places:
            place.disable()

    def flush(self) -> None:
        for place in self._places:
            place.flush()
