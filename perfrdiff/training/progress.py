"""Progress of long work, drawn by tqdm on stderr; its lines on stdout stay whole."""

import sys
from collections.abc import Callable, Iterable

from tqdm import tqdm

SELDOM = 10.0  # seconds between lines where no terminal shows one line move


def bar(what: str, steps: Iterable | None = None, *, total: int, done: int = 0, hidden: bool = False) -> tqdm:
    """A bar of `total` steps, of which `done` are behind us; it yields those of `steps`."""
    pause = 0.2 if sys.stderr.isatty() else SELDOM
    return tqdm(steps, total=total, initial=done, desc=what, mininterval=pause, dynamic_ncols=True, disable=hidden)


def shown(what: str) -> Callable[[int, int], None]:
    """A callback for work that tells how much is done, and of how much."""
    bars: list[tqdm] = []

    def show(done: int, of: int) -> None:
        if not bars:
            bars.append(bar(what, total=of))
        bars[0].update(done - bars[0].n)
        if done >= of:
            bars.pop().close()

    return show


def say(line: str) -> None:
    """A line on stdout; on a terminal above the bar, if there is one."""
    if sys.stderr.isatty():
        tqdm.write(line)
        sys.stdout.flush()
    else:
        print(line, flush=True)
