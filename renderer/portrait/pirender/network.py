"""PIRender as it is used: the numbers of `reference.py`, without the work that is unused, repeated or badly arranged.

What is different, each exact up to rounding (docs/method.md 13.12, levels L1 to L4):
* descriptors of a whole sequence in one run of the mapping network; all AdaIN multi-layer perceptrons in one product;
* what only the source picture decides is computed once (`source`); the blocks' overwritten branches are not computed;
* AdaIN and LayerNorm2d are one kernel each (group normalisation with C groups and with one);
* nearest-neighbour doubling and the 3x3 convolution after it are one transposed 4x4 convolution: 4 taps instead of 9;
* the two transposed convolutions whose results are added are one over both inputs;
* 3x3 convolutions on a CPU go through Winograd's transform (winograd.py; not in the specification's table);
* 7x7 convolutions to 2 or 3 channels are a 1x7 one to 7 times the channels, whose rows are then added, so that the
  matrix product is not starved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderer.portrait.pirender.architecture import DILATION, MAPPING_STEPS, WINDOW, Architecture, decoder_stages
from renderer.portrait.pirender.reference import LEAKY_SLOPE, NORM_EPSILON, sampling_grid, warp_image
from renderer.portrait.pirender.winograd import convolve_3x3, supports, transform_filter

HALF_WINDOW = WINDOW // 2  # frames that a window reaches to either side
KERNEL = 7


@dataclass(frozen=True)
class SourceFeatures:
    """What one source picture decides alone, batch 1."""

    image: Tensor  # (1, 3, H, W) in -1..1
    warping_features: Tensor  # (1, C, H, W): the warping network's first layer, normalised
    editing_features: Tensor  # (1, C, H, W): the share of the picture in the editing network's first layer


class Network(nn.Module):
    """PIRender for drawing, on a CPU or a GPU. Weights come from `weights.read`."""

    editing_precision = torch.float32  # or torch.bfloat16: then the editing network runs under autocast

    def __init__(self, weights: Mapping[str, Tensor], architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self._adain_channels: list[int] = []  # channels of every AdaIN, in the order in which they are asked for
        self._adain_names: list[str] = []
        self._filters: dict[str, Tensor] = {}  # of 3x3 layers, for Winograd's way
        self._checkpoint = weights
        if architecture.is_react:
            self._load_layer("pre", "mapping_net.pre")
        self._load_layer("first", "mapping_net.first.0")
        for step in range(MAPPING_STEPS):
            self._load_layer(f"map{step}", f"mapping_net.encoder{step}.1")
        self._load_warping_net()
        self._load_editing_net()
        self._load_modulations()
        del self._checkpoint

    # --- weights, rearranged ---------------------------------------------------------------------------------------

    def _register(self, name: str, weight: Tensor, bias: Tensor | None = None) -> None:
        self.register_buffer(f"{name}_w", weight.detach().float().contiguous(), persistent=False)
        if bias is not None:
            self.register_buffer(f"{name}_b", bias.detach().float().flatten(), persistent=False)

    def _load_layer(self, name: str, source: str) -> None:
        self._register(name, self._checkpoint[f"{source}.weight"], self._checkpoint[f"{source}.bias"])

    def _load_norm(self, name: str, source: str) -> None:
        self._register(name, self._checkpoint[f"{source}.weight"].flatten(), self._checkpoint[f"{source}.bias"])

    def _load_row_kernels(self, name: str, source: str) -> None:
        weight = self._checkpoint[f"{source}.weight"]  # (out, in, 7, 7) -> (7 * out, in, 1, 7)
        self._register(name, weight.permute(2, 0, 1, 3).flatten(0, 1)[:, :, None], self._checkpoint[f"{source}.bias"])

    def _load_warping_net(self) -> None:
        net = "warpping_net.hourglass"
        self._load_layer("input", f"{net}.encoder.input_layer")
        for stage in range(len(self.architecture.warping_channels) - 1):
            name = f"{net}.encoder.encoder{stage}"
            self._load_layer(f"down{stage}_0", f"{name}.conv_0")
            self._load_layer(f"down{stage}_1", f"{name}.conv_1")
            self._adain_names += [f"{name}.norm_0", f"{name}.norm_1"]
        for stage, _, _ in decoder_stages(self.architecture):
            name = f"{net}.decoder.decoder{stage}"
            self._load_layer(f"decoder{stage}_0", f"{name}.conv_0")
            paired_input = [self._checkpoint[f"{name}.{conv}.weight"] for conv in ("conv_s", "conv_1")]
            bias = self._checkpoint[f"{name}.conv_s.bias"] + self._checkpoint[f"{name}.conv_1.bias"]
            self._register(f"decoder{stage}_1", torch.cat(paired_input), bias)
            self._adain_names += [f"{name}.norm_s", f"{name}.norm_0", f"{name}.norm_1"]
        self._load_norm("flow_norm", "warpping_net.flow_out.0")
        self._load_row_kernels("flow", "warpping_net.flow_out.2")

    def _load_editing_net(self) -> None:
        net = "editing_net"
        first = self._checkpoint[f"{net}.encoder.first.model.0.weight"]
        self._register("edit_source", first[:, :3], self._checkpoint[f"{net}.encoder.first.model.0.bias"])
        self._register("edit_warped", first[:, 3:])
        self._load_norm("edit_norm", f"{net}.encoder.first.model.1")
        levels = range(len(self.architecture.editing_channels) - 1)
        for level in levels:
            self._load_layer(f"edit_down{level}", f"{net}.encoder.down{level}.model.0")
            self._load_norm(f"edit_down{level}_norm", f"{net}.encoder.down{level}.model.1")
        for level in reversed(levels):
            for block in range(self.architecture.residual_blocks):
                name = f"{net}.decoder.res{level}.res{block}"
                self._load_layer(f"res{level}_{block}", f"{name}.conv2")
                self._adain_names.append(f"{name}.norm2")
            name = f"{net}.decoder.up{level}.model"
            self._register(
                f"up{level}",
                _upsample_then_conv_kernel(self._checkpoint[f"{name}.0.weight"]),
                self._checkpoint[f"{name}.0.bias"],
            )
            self._load_norm(f"up{level}_norm", f"{name}.1")
            self._load_layer(f"skip{level}", f"{net}.decoder.jump{level}.model.0")
            self._load_norm(f"skip{level}_norm", f"{net}.decoder.jump{level}.model.1")
        self._load_row_kernels("final", f"{net}.decoder.final.model.0")

    def _load_modulations(self) -> None:
        """Every AdaIN's first layer in one matrix; the second layers as (gamma + 1, beta), padded to one width."""
        names, checkpoint = self._adain_names, self._checkpoint
        self._adain_channels = [checkpoint[f"{name}.mlp_gamma.bias"].numel() for name in names]
        widest, hidden = max(self._adain_channels), self.architecture.modulation
        self._register(
            "shared",
            torch.cat([checkpoint[f"{name}.mlp_shared.0.weight"] for name in names]),
            torch.cat([checkpoint[f"{name}.mlp_shared.0.bias"] for name in names]),
        )
        weight = torch.zeros(len(names), 2, widest, hidden)
        bias = torch.zeros(len(names), 2, widest)
        for adain_index, (name, channels) in enumerate(zip(names, self._adain_channels, strict=True)):
            for side, kind in enumerate(("gamma", "beta")):
                weight[adain_index, side, :channels] = checkpoint[f"{name}.mlp_{kind}.weight"]
                bias[adain_index, side, :channels] = checkpoint[f"{name}.mlp_{kind}.bias"] + (
                    1 if kind == "gamma" else 0
                )
        self.register_buffer("style_w", weight.flatten(1, 2), persistent=False)
        self.register_buffer("style_b", bias.flatten(1, 2)[:, None], persistent=False)

    def channels_last(self) -> None:
        """Keep pixels' channels side by side in memory: GPUs want it, CPUs without AVX-512 are faster without."""
        for name, weight in self.named_buffers():
            if weight.dim() == 4:
                setattr(self, name, weight.contiguous(memory_format=torch.channels_last))

    def use_winograd(self) -> None:
        """Let the CPU convolve by Winograd's transform (float32 only): twice as fast, equal within 2e-5."""
        for name, weight in self.named_buffers():
            transposed = name.startswith("decoder") and name.endswith("_1_w")
            if weight.shape[2:] == (3, 3) and not transposed:
                self._filters[name.removesuffix("_w")] = transform_filter(weight)

    # --- running ---------------------------------------------------------------------------------------------------

    def descriptors(self, rows: Tensor) -> Tensor:
        """Descriptors of consecutive frames: (N + 26, coefficients) -> (N, D); row i + 13 is frame i.

        The convolutions are not padded, so one run over the sequence equals one run for every 27-frame window.
        """
        x = rows.T[None]
        if self.architecture.is_react:
            x = F.conv1d(x, self.pre_w, self.pre_b)
        x = F.conv1d(x, self.first_w, self.first_b)
        for step in range(MAPPING_STEPS):
            weight, bias = getattr(self, f"map{step}_w"), getattr(self, f"map{step}_b")
            y = F.conv1d(F.leaky_relu(x, LEAKY_SLOPE), weight, bias, dilation=DILATION)
            x = y + x[:, :, DILATION:-DILATION]
        return F.avg_pool1d(x, x.shape[2] - len(rows) + WINDOW, stride=1)[0].T

    def modulations(self, descriptors: Tensor) -> Tensor:
        """(B, D) -> (B, slots, 2, C): what multiplies and what is added in every AdaIN, padded to the widest."""
        hidden = F.relu(F.linear(descriptors, self.shared_w, self.shared_b))
        hidden = hidden.unflatten(1, (len(self._adain_channels), -1)).transpose(0, 1)  # (slots, B, modulation)
        style = torch.baddbmm(self.style_b, hidden, self.style_w.transpose(1, 2))
        return style.transpose(0, 1).unflatten(2, (2, -1))

    def source(self, image: Tensor) -> SourceFeatures:
        """The part of the work that one picture (1, 3, H, W), -1..1, decides."""
        first = F.conv2d(image, self.input_w, self.input_b, padding=3)
        edit = F.conv2d(image, self.edit_source_w, self.edit_source_b, padding=3)
        return SourceFeatures(image, F.instance_norm(first, eps=NORM_EPSILON), edit)

    def forward(self, source: SourceFeatures, modulations: Tensor) -> Tensor:
        """Frames (B, 3, H, W) in -1..1 of the modulations (B, slots, 2, C)."""
        styles = self.styles(modulations)
        warped = warp_image(source.image.expand(len(modulations), -1, -1, -1), sampling_grid(self.flow(source, styles)))
        editing_dtype = self.editing_precision
        with torch.autocast(warped.device.type, dtype=torch.bfloat16, enabled=editing_dtype == torch.bfloat16):
            return self.edit(source, warped, styles)

    def styles(self, modulations: Tensor) -> AdaINParameters:
        """The modulations (B, slots, 2, C) for one pass, in which `flow` comes before `edit`."""
        return AdaINParameters(modulations, self._adain_channels)

    def flow(self, source: SourceFeatures, styles: AdaINParameters) -> Tensor:
        """(B, 2, H/4, W/4) float32: x, y displacement in cells."""
        x, skips = source.warping_features, []
        for stage in range(len(self.architecture.warping_channels) - 1):
            x = styles.modulate(x) if stage == 0 else styles.adain(x)
            x = F.conv2d(x, getattr(self, f"down{stage}_0_w"), getattr(self, f"down{stage}_0_b"), stride=2, padding=1)
            x = styles.adain(x)
            x = self._convolved(f"down{stage}_1", x)
            skips.append(x)
        x = skips.pop()
        for stage, _, _ in decoder_stages(self.architecture):
            shortcut = styles.adain(x)
            y = self._convolved(f"decoder{stage}_0", styles.adain(x))
            paired_input = torch.cat([shortcut, styles.adain(y)], dim=1)
            x = F.conv_transpose2d(
                paired_input, getattr(self, f"decoder{stage}_1_w"), getattr(self, f"decoder{stage}_1_b"),
                stride=2, padding=1,
                output_padding=1,
            )  # fmt: skip
            x = torch.cat([x, skips.pop()], dim=1)
        x = self._layer_norm("flow_norm", x)
        return self._row_convolution("flow", x, 2).float()

    def edit(self, source: SourceFeatures, warped: Tensor, styles: AdaINParameters) -> Tensor:
        """(B, 3, H, W) float32 in -1..1: the warped pictures, repaired."""
        x = F.conv2d(warped, self.edit_warped_w, padding=3)
        x = x + source.editing_features.to(x.dtype)
        x = self._layer_norm("edit_norm", x)
        skips = [x]
        levels = range(len(self.architecture.editing_channels) - 1)
        for level in levels:
            x = self._convolved(f"edit_down{level}", x)
            x = F.avg_pool2d(self._layer_norm(f"edit_down{level}_norm", x), 2)
            skips.append(x)
        x = skips.pop()
        for level in reversed(levels):
            for block in range(self.architecture.residual_blocks):
                y = self._convolved(f"res{level}_{block}", x)
                x = styles.adain(y, activate=False).add_(x)
            up = F.conv_transpose2d(
                x, getattr(self, f"up{level}_w"), getattr(self, f"up{level}_b"), stride=2, padding=1
            )
            skip = self._convolved(f"skip{level}", skips.pop())
            x = self._layer_norm(f"up{level}_norm", up).add_(self._layer_norm(f"skip{level}_norm", skip))
        return torch.tanh(self._row_convolution("final", x, 3).float())

    def _convolved(self, name: str, x: Tensor) -> Tensor:
        """A 3x3 convolution, padded by 1."""
        bias = getattr(self, f"{name}_b")
        if name in self._filters and supports(x):
            return convolve_3x3(x, self._filters[name], bias)
        return F.conv2d(x, getattr(self, f"{name}_w"), bias, padding=1)

    def _layer_norm(self, name: str, x: Tensor) -> Tensor:
        """LayerNorm2d and leaky ReLU."""
        weight, bias = getattr(self, f"{name}_w"), getattr(self, f"{name}_b")
        return F.leaky_relu_(F.group_norm(x, 1, weight, bias, NORM_EPSILON), LEAKY_SLOPE)

    def _row_convolution(self, name: str, x: Tensor, channels: int) -> Tensor:
        """A 7x7 convolution as 7 row kernels, padded by 3."""
        height = x.shape[2]
        parts = F.conv2d(x, getattr(self, f"{name}_w"), padding=(0, KERNEL // 2)).unflatten(1, (KERNEL, channels))
        total = getattr(self, f"{name}_b")[:, None, None] + parts[:, KERNEL // 2]
        for row in range(KERNEL):
            if shift := row - KERNEL // 2:  # output row i reads input row i + shift
                low, high = max(0, -shift), min(height, height - shift)
                total[:, :, low:high] += parts[:, row, :, low + shift : high + shift]
        return total


class AdaINParameters:
    """Hands out the AdaINs' factors in the order in which `Network` listed them."""

    def __init__(self, modulations: Tensor, channels: list[int]) -> None:
        self._modulations, self._adain_channels, self._next = modulations, channels, 0

    def _next_parameters(self) -> tuple[Tensor, Tensor]:
        adain_index, self._next = self._next, self._next + 1
        factor_and_offset = self._modulations[:, adain_index, :, : self._adain_channels[adain_index]]
        return factor_and_offset[:, 0], factor_and_offset[:, 1]

    def adain(self, x: Tensor, activate: bool = True) -> Tensor:
        """AdaIN and leaky ReLU of x (B, C, H, W)."""
        factor, offset = (part.to(x.dtype) for part in self._next_parameters())
        if len(x) == 1:  # one kernel: the factors of one frame are an ordinary affine
            y = F.group_norm(x, x.shape[1], factor[0].contiguous(), offset[0].contiguous(), NORM_EPSILON)
        else:
            variance, mean = torch.var_mean(x.float(), dim=(2, 3), keepdim=True, unbiased=False)
            factor = factor[:, :, None, None] * torch.rsqrt(variance + NORM_EPSILON)
            y = torch.addcmul(offset[:, :, None, None] - mean * factor, x, factor).to(x.dtype)
        return F.leaky_relu_(y, LEAKY_SLOPE) if activate else y

    def modulate(self, x: Tensor) -> Tensor:
        """The same of an x (1, C, H, W) that is normalised already."""
        factor, offset = self._next_parameters()
        return F.leaky_relu_(torch.addcmul(offset[:, :, None, None], x, factor[:, :, None, None]), LEAKY_SLOPE)


def _upsample_then_conv_kernel(weight: Tensor) -> Tensor:
    """A 3x3 convolution (out, in, 3, 3) after nearest-neighbour doubling, as a transposed 4x4 one (in, out, 4, 4).

    Of the three taps of a doubled picture two fall on the same pixel. Output o of a transposed convolution of stride 2
    and padding 1 takes input i with tap o - 2i + 1: even outputs take taps 3 (i - 1) and 1 (i), odd ones 2 (i) and
    0 (i + 1).
    """

    def folded(taps: Tensor) -> Tensor:  # over the last axis
        before, here, after = taps.unbind(-1)
        return torch.stack([after, here + after, before + here, before], dim=-1)

    return folded(folded(weight).transpose(2, 3)).transpose(2, 3).transpose(0, 1)
