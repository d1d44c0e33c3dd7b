"""The channel counts of a PIRender network, and the name and shape of every tensor that its checkpoint holds.

Source: docs/method.md 13.6 to 13.9. The names, misspelt `warpping_net` included, are the published checkpoints' own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

WINDOW = 27  # frames that one descriptor is read from: 13 before, the frame itself, 13 after
REACT_WIDTH = 58  # 52 expressions, 3 angles, 3 translations, as everywhere in this program
ORIGINAL_WIDTH = 73  # Deep3DFaceRecon: 64 expressions, 3 angles, 3 translations, 3 of the crop
MAPPING_KERNEL, MAPPING_STEPS, DILATION = 7, 3, 3


@dataclass(frozen=True)
class Architecture:
    """Channel counts of one network; the defaults are those of all published weights."""

    coefficients: int = REACT_WIDTH  # 58: the REACT variant, with one more layer in front; 73: the original
    hidden: int = ORIGINAL_WIDTH  # what the mapping network's first temporal convolution reads
    descriptor: int = 256
    modulation: int = 128  # hidden width of every AdaIN's MLP
    warping_channels: tuple[int, ...] = (32, 64, 128, 256, 256, 256)  # full resolution, then each stage down
    decoder_channels: tuple[int, ...] = (256, 256, 128)  # outputs of the warping decoder, lowest resolution first
    editing_channels: tuple[int, ...] = (64, 128, 256, 256)  # full resolution, then each stage down
    residual_blocks: int = 2  # blocks at each level of the editing decoder

    @property
    def is_react(self) -> bool:
        """Whether this is the variant that reads the 58 coefficients of the REACT data."""
        return self.coefficients == REACT_WIDTH

    @property
    def size_multiple(self) -> int:
        """Height and width of a source image must be multiples of this (32 for the published sizes)."""
        return 2 ** (len(self.warping_channels) - 1)


def expected_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor, in the published order."""
    return dict(_tensors(architecture))


def _tensors(s: Architecture) -> Iterator[tuple[str, tuple[int, ...]]]:
    if s.is_react:
        yield from _layer("mapping_net.pre", (s.hidden, s.coefficients, 1))
    yield from _layer("mapping_net.first.0", (s.descriptor, s.hidden, MAPPING_KERNEL))
    for step in range(MAPPING_STEPS):
        yield from _layer(f"mapping_net.encoder{step}.1", (s.descriptor, s.descriptor, 3))

    net = "warpping_net.hourglass"
    yield from _layer(f"{net}.encoder.input_layer", (s.warping_channels[0], 3, 7, 7))
    for stage, (in_channels, out_channels) in enumerate(pairwise(s.warping_channels)):
        name = f"{net}.encoder.encoder{stage}"
        yield from _layer(f"{name}.conv_0", (out_channels, in_channels, 4, 4))
        yield from _layer(f"{name}.conv_1", (out_channels, out_channels, 3, 3))
        yield from _adain(s, f"{name}.norm_0", in_channels)
        yield from _adain(s, f"{name}.norm_1", out_channels)
    for stage, in_channels, out_channels in decoder_stages(s):
        name = f"{net}.decoder.decoder{stage}"
        yield from _layer(f"{name}.conv_0", (out_channels, in_channels, 3, 3))
        yield from _layer(f"{name}.conv_1", (out_channels, out_channels, 3, 3))  # transposed: (in, out, 3, 3)
        yield from _layer(f"{name}.conv_s", (in_channels, out_channels, 3, 3), out_channels)  # transposed
        yield from _adain(s, f"{name}.norm_0", in_channels)
        yield from _adain(s, f"{name}.norm_1", out_channels)
        yield from _adain(s, f"{name}.norm_s", in_channels)
    top = s.decoder_channels[-1] + s.warping_channels[-1 - len(s.decoder_channels)]
    yield from _norm("warpping_net.flow_out.0", top)
    yield from _layer("warpping_net.flow_out.2", (2, top, 7, 7))

    net = "editing_net"
    yield from _block(f"{net}.encoder.first.model", (s.editing_channels[0], 6, 7, 7))
    for level, (in_channels, out_channels) in enumerate(pairwise(s.editing_channels)):
        yield from _block(f"{net}.encoder.down{level}.model", (out_channels, in_channels, 3, 3))
    for level in reversed(range(len(s.editing_channels) - 1)):
        width, out_channels = s.editing_channels[level + 1], s.editing_channels[level]
        for block in range(s.residual_blocks):
            name = f"{net}.decoder.res{level}.res{block}"
            yield from _layer(f"{name}.conv1", (width, width, 3, 3))  # unused: computed and overwritten, see network.py
            yield from _layer(f"{name}.conv2", (width, width, 3, 3))
            yield from _adain(s, f"{name}.norm1", width)  # unused likewise
            yield from _adain(s, f"{name}.norm2", width)
        yield from _block(f"{net}.decoder.up{level}.model", (out_channels, width, 3, 3))
        yield from _block(f"{net}.decoder.jump{level}.model", (out_channels, out_channels, 3, 3))
    yield from _layer(f"{net}.decoder.final.model.0", (3, s.editing_channels[0], 7, 7))


def decoder_stages(s: Architecture) -> list[tuple[int, int, int]]:
    """(number, input channels, output channels) of the warping decoder's blocks, in the order they run."""
    deepest = len(s.warping_channels) - 2
    in_channels, stages = s.warping_channels[-1], []
    for step, out_channels in enumerate(s.decoder_channels):
        stages.append((deepest - step, in_channels, out_channels))
        in_channels = out_channels + s.warping_channels[deepest - step]
    return stages


def is_unused(name: str) -> bool:
    """Whether a tensor exists in every checkpoint but never reaches the picture (docs/method.md 13.9)."""
    return ".decoder.res" in name and (".conv1." in name or ".norm1." in name)


def read_architecture(tensor_shapes: Mapping[str, tuple[int, ...]]) -> Architecture | None:
    """The architecture of a checkpoint with these tensors; None where those that show it are missing."""
    try:
        first = tensor_shapes["mapping_net.first.0.weight"]
        hourglass = "warpping_net.hourglass"
        warping_channels = [tensor_shapes[f"{hourglass}.encoder.input_layer.weight"][0]]
        while (name := f"{hourglass}.encoder.encoder{len(warping_channels) - 1}.conv_0.weight") in tensor_shapes:
            warping_channels.append(tensor_shapes[name][0])
        decoder_channels: list[int] = []
        while (
            name := f"{hourglass}.decoder.decoder{len(warping_channels) - 2 - len(decoder_channels)}.conv_0.weight"
        ) in tensor_shapes:
            decoder_channels.append(tensor_shapes[name][0])
        editing_channels = [tensor_shapes["editing_net.encoder.first.model.0.weight"][0]]
        while (name := f"editing_net.encoder.down{len(editing_channels) - 1}.model.0.weight") in tensor_shapes:
            editing_channels.append(tensor_shapes[name][0])
        residual_blocks = 0
        while f"editing_net.decoder.res0.res{residual_blocks}.conv2.weight" in tensor_shapes:
            residual_blocks += 1
        input_layer = tensor_shapes.get("mapping_net.pre.weight")
        modulation = tensor_shapes[f"{hourglass}.encoder.encoder0.norm_0.mlp_shared.0.weight"][0]
        return Architecture(
            coefficients=input_layer[1] if input_layer else first[1],
            hidden=first[1],
            descriptor=first[0],
            modulation=modulation,
            warping_channels=tuple(warping_channels),
            decoder_channels=tuple(decoder_channels),
            editing_channels=tuple(editing_channels),
            residual_blocks=residual_blocks,
        )
    except (KeyError, IndexError):
        return None


def _layer(
    name: str, weight: tuple[int, ...], out_channels: int | None = None
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", weight
    yield f"{name}.bias", (weight[0] if out_channels is None else out_channels,)


def _adain(s: Architecture, name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _layer(f"{name}.mlp_shared.0", (s.modulation, s.descriptor))
    yield from _layer(f"{name}.mlp_gamma", (channels, s.modulation))
    yield from _layer(f"{name}.mlp_beta", (channels, s.modulation))


def _norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (channels, 1, 1)
    yield f"{name}.bias", (channels, 1, 1)


def _block(name: str, weight: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Convolution, then LayerNorm2d."""
    yield from _layer(f"{name}.0", weight)
    yield from _norm(f"{name}.1", weight[0])
