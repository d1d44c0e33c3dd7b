"""How many of torch's threads a network is run with."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from perfrdiff.models.denoiser import Denoiser

SMALL_WIDTH = 256  # of a denoiser, up to which one thread is best


@contextmanager
def threads_for(denoiser: Denoiser) -> Iterator[None]:
    """Inside, the calling thread uses one torch thread for a small generator and what belongs to it, all for a large
    one.

    The matrices of the demo weights are too small for a second thread to help. Beside any other work the two spend
    their time waiting for each other: on a busy 2-core machine 8 s of reactions took 112 s with two threads, 20 s with
    one (3.5 s of processor time).
    """
    threads = torch.get_num_threads()
    if denoiser.config.width <= SMALL_WIDTH:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
