"""Comparisons: one reaction of each of several listeners, at one seed, so that nothing but the listener differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from perfrdiff.coefficients import EXPRESSION
from perfrdiff.personal.weight_shift import WeightShift
from perfrdiff.pipeline.listeners import OWN, WayOfListening, mixture
from perfrdiff.pipeline.request import DEFAULTS, ReactRequest
from perfrdiff.reactor import Reactions, Reactor
from perfrdiff.speaker_streams import SpeakerStreams

STRENGTHS = {0.0: "as anybody would", 1.0: "as learnt", 2.0: "exaggerated"}
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the other listener
MIME, GENERIC_CELL = "Mime", "Generic"
"""A copy of the speaker, as the REACT challenge names this baseline; and the generator without a weight shift."""


@dataclass(frozen=True)
class Cell:
    """One reaction of a comparison."""

    title: str  # who or what it is, in a word or two
    words: str  # what that means, in half a sentence
    shift: WeightShift | None = None  # of the generator; None: none
    strength: float = 1.0
    is_copy: bool = False  # whether it is the speaker's own movement, made by no network


def comparison_cells(request: ReactRequest, this: WayOfListening, other: WayOfListening | None) -> tuple[Cell, ...]:
    """What the request's comparison shows, in its order.

    `this` is the request's listener, unmixed; "strengths" takes the mixture where another listener is given.
    """
    name = request.name if request.name != DEFAULTS["name"] else "This listener"
    if request.compare == "strengths":
        if other is not None:
            this = mixture(this, other, request.other_share)
        return tuple(
            Cell(f"Strength {strength:g}", f"{_plain(this)}, {words}" if strength else words, this.shift, strength)
            for strength, words in STRENGTHS.items()
        )
    if request.compare == "mixtures":
        assert other is not None, "ReactRequest asks for one"
        return tuple(_step(request, name, this, other, share) for share in SHARES)
    people = [(name, this)] if other is None else [(name, this), (request.other_name, other)]
    cells = [
        Cell(title, f"{_plain(way)}, strength {request.strength:g}", way.shift, request.strength)
        for title, way in people
    ]
    cells.append(Cell(GENERIC_CELL, "no weight shift, strength 0"))
    cells.append(Cell(MIME, "copies the speaker, no network", is_copy=True))
    return tuple(cells)


def _plain(way: WayOfListening) -> str:
    """The style in words for a cell, whose title says whose it is."""
    return "own style" if way.style in OWN else way.style


def _step(request: ReactRequest, name: str, this: WayOfListening, other: WayOfListening, share: float) -> Cell:
    """One step of the way from this listener to the other."""
    way = mixture(this, other, share)
    titles = {0.0: name, 1.0: request.other_name}
    words = _plain(way) if share in titles else f"with {share:.0%} {request.other_name}"
    return Cell(titles.get(share, f"{share:.0%}"), words, way.shift, request.strength)


def react_in_cells(
    reactor: Reactor,
    cells: Sequence[Cell],
    speaker: SpeakerStreams,
    progress: Callable[[float], None],
    **options: object,
) -> Reactions:
    """One reaction for each cell, (cells, frames, 58), each from the same noise; `options`: of `Reactor.react`.

    The copy of the speaker is clipped as reactions are. Raises what the reactor raises.
    """
    made: list[np.ndarray] = []
    last: Reactions | None = None
    drawn = [cell for cell in cells if not cell.is_copy]
    for cell in cells:
        if cell.is_copy:
            assert speaker.coefficients is not None, "a speaker that was read has a face"
            copy = np.asarray(speaker.coefficients, np.float32).copy()
            copy[:, EXPRESSION] = np.clip(copy[:, EXPRESSION], 0.0, 1.0)
            made.append(copy)
            continue
        done = drawn.index(cell)
        reactor.set_listener(cell.shift, cell.strength)
        last = reactor.react_to(
            speaker,
            samples=1,
            progress=lambda share, done=done: progress((done + share) / len(drawn)),
            **options,
        )
        made.append(last.coefficients[0])
    assert last is not None, "every comparison has a cell that the network makes"
    return replace(last, coefficients=np.stack(made), attributes=None)
