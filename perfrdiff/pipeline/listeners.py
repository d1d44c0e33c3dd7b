"""Who listens: the weight shift of a request's listener, of a second one, and of the mixture of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from perfrdiff.errors import InputError
from perfrdiff.features.clip import Listener
from perfrdiff.features.media.input import Media, open_input
from perfrdiff.personal.weight_shift import WeightShift, is_weight_shift, mix, mix_weight_shifts
from perfrdiff.pipeline.input_memory import InputMemory
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.reactor import GENERIC, Reactor

OWN = (THIS, OTHER) = ("the listener's own", "the other's own")
"""The styles that are read from a video, in words."""


@dataclass(frozen=True)
class WayOfListening:
    """What one listener adds to the generator's weights, and how it is called."""

    shift: WeightShift | None  # None: the generic generator
    style: str  # in words


def this_listener(reactor: Reactor, listener: Listener, request: ReactRequest) -> WayOfListening:
    """The listener of a request: saved shifts, a named style, or what their own video shows.

    The reactor is left set to them. Raises InputError for an unknown style and for a shift of other weights.
    """
    if request.shift:
        saved = [(WeightShift.load(path), share) for path, share in request.shift]
        is_single = len(saved) == 1 and saved[0][1] == 1
        reactor.set_listener(saved[0][0] if is_single else mix_weight_shifts(saved))
        return WayOfListening(reactor.shift, f"saved: {reactor.listener}")
    if request.style is None and listener.behaviour is not None:
        reactor.set_listener(listener.behaviour)
        return WayOfListening(reactor.shift, THIS)
    name = request.style or (*reactor.styles, GENERIC)[0]
    reactor.set_listener(None if name == GENERIC else name)
    return WayOfListening(reactor.shift, name)


def other_listener(
    reactor: Reactor, inputs: InputMemory, request: ReactRequest, progress: Callable[[float], None] | None = None
) -> WayOfListening | None:
    """The second listener of a request; None where there is none. The reactor is left set to them.

    progress: called with the done share of reading their video, 0 … 1; what it raises ends that.
    Raises InputError: a photo, which shows no way of listening, or what reading the file raises.
    """
    if request.other_style is not None:
        reactor.set_listener(None if request.other_style == GENERIC else request.other_style)
        return WayOfListening(reactor.shift, request.other_style)
    path = request.other_listener
    if path is None:
        return None
    if is_weight_shift(path):
        reactor.set_listener(WeightShift.load(path))
        return WayOfListening(reactor.shift, f"saved: {reactor.listener}")
    with open_input(path) as file:
        check_shows_listening(file)
        behaviour = inputs.listener(file, None, progress).behaviour
    assert behaviour is not None, "videos and features files show one"
    reactor.set_listener(behaviour)
    return WayOfListening(reactor.shift, OTHER)


def check_shows_listening(file: Media) -> None:
    """Raise InputError for a photo of another listener, which shows no way of listening."""
    if file.kind == "image":
        raise InputError(
            f"{file.name} is a photo, which shows no way of listening; give a video of the other listener, or choose a "
            "style for them (other_style)."
        )


def mixture(this: WayOfListening, other: WayOfListening, share: float) -> WayOfListening:
    """The way of listening between two; `share`: of the other, 0 … 1."""
    if share in (0.0, 1.0):
        return other if share else this
    return WayOfListening(mix(this.shift, other.shift, share), f"{this.style} and {share:.0%} of {other.style}")
