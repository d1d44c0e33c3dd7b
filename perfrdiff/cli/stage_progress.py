"""Progress of a command that goes through stages: a bar on a terminal, elsewhere a line for each stage."""

import sys
from types import TracebackType

from tqdm import tqdm


class StageProgress:
    """Call it with a stage's name and the fraction of the whole that is done, 0 … 1; use it in a `with` statement."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar = tqdm(total=1.0, disable=not sys.stderr.isatty(), bar_format="{percentage:3.0f}% |{bar:30}| {desc}")

    def __call__(self, stage: str, fraction: float) -> None:
        if self._bar.disable:
            if stage != self._stage:
                print(stage, flush=True)
        else:
            self._bar.set_description_str(stage, refresh=False)
            self._bar.update(fraction - self._bar.n)
            self._bar.refresh()
        self._stage = stage

    def __enter__(self) -> "StageProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()
