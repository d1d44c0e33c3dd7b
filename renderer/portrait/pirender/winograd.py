"""3x3 convolutions on a CPU with a quarter of the multiplications (Lavin and Gray 2016, F(4x4, 3x3)).

Every 6x6 patch of the picture gives a 4x4 patch of the result: both are transformed by fixed small matrices, and
between them stand 36 plain matrix products over the channels. Exact but for rounding, some 1e-6 of the largest value.
Done strip by strip, so that what lies between the transforms stays in the cache.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from renderer.jit import jit

OUTPUT_TILE = 4  # pixels of the result per tile and axis
INPUT_TILE = 6
STRIP_BYTES = 3 << 20  # of transformed picture: with its products a strip fits a core's share of the L3 cache
FILTER_TRANSFORM = (
    np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], np.float64) / 24
)  # the sampling points 0, ±1, ±2 and infinity; the picture's and the result's matrices are in the loops below


def transform_filter(weight: Tensor) -> Tensor:
    """A filter (out, in, 3, 3) as the 36 matrices (36, out, in)."""
    matrix = torch.from_numpy(FILTER_TRANSFORM)
    turned = torch.einsum("ik,ockl,jl->ijoc", matrix, weight.double(), matrix)
    return turned.flatten(0, 1).float().contiguous()


def supports(x: Tensor) -> bool:
    """Whether `convolve_3x3` can take this picture (B, C, H, W)."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.shape[2] % OUTPUT_TILE == 0
        and x.shape[3] % OUTPUT_TILE == 0
    )


def convolve_3x3(x: Tensor, filters: Tensor, bias: Tensor) -> Tensor:
    """The 3x3 convolution of x (B, C, H, W), padded by 1; filters from `transform_filter`, bias (out,)."""
    x = x.contiguous()
    channels, (height, width) = filters.shape[1], x.shape[2:]
    result = torch.empty(len(x), channels, height, width)
    across, down = width // OUTPUT_TILE, height // OUTPUT_TILE
    rows = max(1, min(down, STRIP_BYTES // (4 * INPUT_TILE * INPUT_TILE * x.shape[1] * across)))
    patches = torch.empty(INPUT_TILE * INPUT_TILE * x.shape[1] * rows * across)
    products = torch.empty(INPUT_TILE * INPUT_TILE * channels * rows * across)
    offset = bias.numpy()
    for picture, target in zip(x.numpy(), result.numpy(), strict=True):
        for first in range(0, down, rows):
            count = min(rows, down - first)
            inner = patches[: INPUT_TILE * INPUT_TILE * x.shape[1] * count * across].view(
                INPUT_TILE * INPUT_TILE, x.shape[1], -1
            )
            outer = products[: INPUT_TILE * INPUT_TILE * channels * count * across].view(
                INPUT_TILE * INPUT_TILE, channels, -1
            )
            _run_over_channels(_input_transform, x.shape[1], picture, first, inner.numpy())
            torch.bmm(filters, inner, out=outer)
            _run_over_channels(_output_transform, channels, outer.numpy(), offset, first, target)
    return result


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(64, thread_name_prefix="winograd")  # as many as are ever asked for at once


def _run_over_channels(loop, channels: int, *arguments) -> None:
    """The loop over all channels, shared out over as many threads as torch uses."""
    threads = min(torch.get_num_threads(), channels)
    if threads == 1:
        loop(0, channels, *arguments)
        return
    edges = [channels * k // threads for k in range(threads + 1)]
    for job in [_pool().submit(loop, a, b, *arguments) for a, b in pairwise(edges)]:
        job.result()


@jit
def _input_transform(begin, end, picture, first, patches):
    """picture (C, H, W), from tile row `first` on -> patches (36, C, tiles), channels begin to end."""
    height, width = picture.shape[1], picture.shape[2]
    across = width // OUTPUT_TILE
    two, four, five = np.float32(2.0), np.float32(4.0), np.float32(5.0)
    nothing = np.zeros(width, np.float32)
    lines = np.zeros((INPUT_TILE, width + 2), np.float32)
    for c in range(begin, end):
        for row in range(patches.shape[2] // across):
            top = (first + row) * OUTPUT_TILE - 1
            a = picture[c, top] if top >= 0 else nothing
            b, d, e, f = picture[c, top + 1], picture[c, top + 2], picture[c, top + 3], picture[c, top + 4]
            g = picture[c, top + 5] if top + 5 < height else nothing
            for x in range(width):
                even, odd = f[x] - four * d[x], e[x] - four * b[x]
                half, twice = f[x] - d[x], two * (e[x] - b[x])
                lines[0, x + 1] = four * a[x] - five * d[x] + f[x]
                lines[1, x + 1] = even + odd
                lines[2, x + 1] = even - odd
                lines[3, x + 1] = half + twice
                lines[4, x + 1] = half - twice
                lines[5, x + 1] = four * b[x] - five * e[x] + g[x]
            place = row * across
            for i in range(INPUT_TILE):
                line = lines[i]
                p0, p1, p2 = patches[6 * i, c], patches[6 * i + 1, c], patches[6 * i + 2, c]
                p3, p4, p5 = patches[6 * i + 3, c], patches[6 * i + 4, c], patches[6 * i + 5, c]
                for t in range(across):
                    x = OUTPUT_TILE * t
                    v0, v1, v2, v3, v4, v5 = line[x], line[x + 1], line[x + 2], line[x + 3], line[x + 4], line[x + 5]
                    even, odd = v4 - four * v2, v3 - four * v1
                    half, twice = v4 - v2, two * (v3 - v1)
                    p0[place + t] = four * v0 - five * v2 + v4
                    p1[place + t] = even + odd
                    p2[place + t] = even - odd
                    p3[place + t] = half + twice
                    p4[place + t] = half - twice
                    p5[place + t] = four * v1 - five * v3 + v5


@jit
def _output_transform(begin, end, products, bias, first, result):
    """products (36, C, tiles) -> result (C, H, W) from tile row `first` on, channels begin to end, bias added."""
    across = result.shape[2] // OUTPUT_TILE
    two, four, eight = np.float32(2.0), np.float32(4.0), np.float32(8.0)
    lines = np.empty((OUTPUT_TILE, INPUT_TILE, across), np.float32)
    for c in range(begin, end):
        offset = bias[c]
        for row in range(products.shape[2] // across):
            place = row * across
            for j in range(INPUT_TILE):
                m0, m1, m2 = products[j, c], products[6 + j, c], products[12 + j, c]
                m3, m4, m5 = products[18 + j, c], products[24 + j, c], products[30 + j, c]
                l0, l1, l2, l3 = lines[0, j], lines[1, j], lines[2, j], lines[3, j]
                for t in range(across):
                    p = place + t
                    near, far = m1[p] + m2[p], m3[p] + m4[p]
                    near_odd, far_odd = m1[p] - m2[p], m3[p] - m4[p]
                    l0[t] = m0[p] + near + far
                    l1[t] = near_odd + two * far_odd
                    l2[t] = near + four * far
                    l3[t] = near_odd + eight * far_odd + m5[p]
            for i in range(OUTPUT_TILE):
                line, target = lines[i], result[c, (first + row) * OUTPUT_TILE + i]
                for t in range(across):
                    near, far = line[1, t] + line[2, t], line[3, t] + line[4, t]
                    near_odd, far_odd = line[1, t] - line[2, t], line[3, t] - line[4, t]
                    target[OUTPUT_TILE * t] = line[0, t] + near + far + offset
                    target[OUTPUT_TILE * t + 1] = near_odd + two * far_odd + offset
                    target[OUTPUT_TILE * t + 2] = near + four * far + offset
                    target[OUTPUT_TILE * t + 3] = near_odd + eight * far_odd + line[5, t] + offset
