"""One decorator for the compiled loops, so that a read-only installation still starts."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit

FASTMATH_FLAGS = {"contract", "arcp", "nsz", "reassoc"}  # not nnan or ninf: bad numbers must stay visible


def jit(function: Callable) -> Callable:
    """`function` compiled by numba: releases the GIL, keeps its machine code on disk where that is possible.

    No `parallel=True`: two threads entering such a loop at once abort the process (docs/method.md 13.14).
    """
    options = {"nogil": True, "fastmath": FASTMATH_FLAGS, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither __pycache__ nor the user's cache folder can be written
        return njit(**options)(function)


def jit_inline(function: Callable) -> Callable:
    """For a loop's body: becomes part of its one caller, since handing over a dozen arrays costs more than the sums."""
    return njit(inline="always", nogil=True, fastmath=FASTMATH_FLAGS, error_model="numpy")(function)
