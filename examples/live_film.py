"""A film, as if its speaker talked now, and the listener's coefficients as they become known: 25 rows of 58 a second.

python examples/live_film.py talk.mp4        # from here on they can drive any avatar with ARKit blend shapes
"""

import sys

from perfrdiff.coefficients import CHANNEL
from perfrdiff.live.film import react_to_film
from perfrdiff.reactor import Reactor

reactor = Reactor.load()
reactor.set_listener("Warm")
for piece in react_to_film(reactor, sys.argv[1]):
    for number, row in enumerate(piece.reactions[0], start=piece.first_frame):
        smile, pitch = row[CHANNEL["mouthSmileLeft"]], row[CHANNEL["rotationX"]]
        print(f"frame {number}: smile {smile:.2f}, pitch {pitch:.3f} rad")
