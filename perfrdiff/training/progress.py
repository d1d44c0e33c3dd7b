"""Progress of long work, drawn by tqdm on stderr; its lines on stdout stay whole."""

import sys
from collections.abc import Callable, Iterable

from tqdm import tqdm

LOG_SECONDS = 10.0  # between lines where stderr is no terminal


def bar(what: str, steps: Iterable | None = None, *, total: int, done: int = 0, hidden: bool = False) -> tqdm:
    """A progress bar that starts at `done` of `total` steps; it yields those of `steps`."""
    pause = 0.2 if sys.stderr.isatty() else LOG_SECONDS
    return tqdm(steps, total=total, initial=done, desc=what, mininterval=pause, dynamic_ncols=True, disable=hidden)


def progress_bar_callback(what: str) -> Callable[[int, int], None]:
    """A callback (steps done, steps in all) that shows a progress bar."""
    bars: list[tqdm] = []

    def update(done: int, total: int) -> None:
        if not bars:
            bars.append(bar(what, total=total))
        bars[0].update(done - bars[0].n)
        if done >= total:
            bars.pop().close()

    return update


def say(line: str) -> None:
    """Print a line to stdout; on a terminal above the bar, if there is one."""
    if sys.stderr.isatty():
        tqdm.write(line)
        sys.stdout.flush()
    else:
        print(line, flush=True)
