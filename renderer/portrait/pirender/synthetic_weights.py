"""Weights that anybody can make again: the hash rule of docs/method.md 13.13, for checks and benchmarks."""

from __future__ import annotations

from math import prod
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from renderer.portrait.pirender.architecture import Architecture, expected_shapes

SCALE_BY_ENDING = {"mlp_gamma.weight": 1.5, "mlp_beta.weight": 1.5, "warpping_net.flow_out.2.weight": 2.0}


def synthetic_weights(architecture: Architecture) -> dict[str, Tensor]:
    """Every tensor of a checkpoint of this architecture, float32: bit for bit the same on every machine."""
    return {name: synthetic_tensor(name, shape) for name, shape in expected_shapes(architecture).items()}


def synthetic_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """One tensor, from its name and shape alone."""
    h = np.arange(prod(shape), dtype=np.uint32) * np.uint32(2654435761) + np.uint32(crc32(name.encode("ascii")))
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    u = h / 2**32 * 2 - 1
    if name.endswith(".bias"):
        values = 0.1 * u
    elif shape[1:] == (1, 1):
        values = 1 + 0.2 * u
    else:
        values = u * np.sqrt(3 * shape[0] / prod(shape))
        values *= next((factor for ending, factor in SCALE_BY_ENDING.items() if name.endswith(ending)), 1.0)
    return torch.from_numpy(values.astype(np.float32).reshape(shape))
