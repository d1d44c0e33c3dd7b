"""A webcam, and a listener whose ARKit blend shapes any engine can take: printed here, or sent over OSC.

python examples/live_webcam.py 0               # the first webcam; a film in its place is taken as it plays
python examples/live_webcam.py 0 127.0.0.1     # and to a VMC receiver on that machine: Unity, Unreal, VSeeFace …
"""

import sys
from contextlib import nullcontext

from perfrdiff.live.camera import react_to_camera
from perfrdiff.live.film import react_to_film
from perfrdiff.live.osc import OscOutput
from perfrdiff.reactor import Reactor

source, host = sys.argv[1], "".join(sys.argv[2:])
reactor = Reactor.load()
reactor.set_listener("Warm")
is_camera = source.isdecimal()
pieces = react_to_camera(reactor, int(source)) if is_camera else react_to_film(reactor, source, in_time=True)
with OscOutput(host) if host else nullcontext() as output:
    for piece in pieces:
        if output:
            output.push(piece)
        for number, row in enumerate(piece.reactions[0], start=piece.first_frame):
            print(f"frame {number}: {row.round(2).tolist()}")
