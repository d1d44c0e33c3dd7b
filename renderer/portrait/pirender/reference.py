"""PIRender written down as the specification says it, step by step, with everything the published network computes.

The yardstick: the conformance command checks it layer by layer, and `network.py` against it. It is slow on purpose;
faces are drawn with `network.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from renderer.portrait.pirender.architecture import MAPPING_STEPS, Architecture, decoder_stages

LEAKY_SLOPE = 0.1  # of every leaky ReLU
NORM_EPSILON = 1e-5  # of every normalisation


class ReferencePIRender:
    """The network of a checkpoint's tensors, under their own names.

    `outputs(image, driving)`: image (B, 3, H, W) in -1..1 RGB; driving (B, coefficients, L >= 25) raw coefficients.
    """

    def __init__(self, weights: Mapping[str, Tensor], architecture: Architecture) -> None:
        self._w, self._architecture = weights, architecture
        self.activations: dict[str, Tensor] | None = None  # set to {} to keep what every module gave

    @torch.inference_mode()
    def outputs(self, image: Tensor, driving: Tensor) -> dict[str, Tensor]:
        """descriptor (B, D, 1), flow_field (B, 2, H/4, W/4), warp_image and fake_image (B, 3, H, W)."""
        descriptor = self.descriptor(driving)
        flow = self.flow(image, descriptor)
        warped = warp_image(image, sampling_grid(flow))
        return {
            "descriptor": descriptor,
            "flow_field": flow,
            "warp_image": warped,
            "fake_image": self.edited_image(image, warped, descriptor),
        }

    @torch.inference_mode()
    def descriptor(self, driving: Tensor) -> Tensor:
        """(B, coefficients, L) -> (B, D, 1)."""
        x = driving
        if self._architecture.is_react:
            x = self._keep("mapping_net.pre", F.conv1d(x, *self._layer("mapping_net.pre")))
        x = self._keep("mapping_net.first", F.conv1d(x, *self._layer("mapping_net.first.0")))
        for step in range(MAPPING_STEPS):
            name = f"mapping_net.encoder{step}"
            branch = F.conv1d(_leaky(x), *self._layer(f"{name}.1"), dilation=3)
            x = self._keep(name, branch) + x[:, :, 3:-3]
        return self._keep("mapping_net", x.mean(dim=2, keepdim=True))

    def flow(self, image: Tensor, descriptor: Tensor) -> Tensor:
        """(B, 2, H/4, W/4): x, y displacement in low-resolution cells."""
        net = "warpping_net.hourglass"
        name = f"{net}.encoder.input_layer"
        x = self._keep(name, F.conv2d(image, *self._layer(name), padding=3))
        skips = [x]
        for stage in range(len(self._architecture.warping_channels) - 1):
            name = f"{net}.encoder.encoder{stage}"
            y = _leaky(self._adain(f"{name}.norm_0", skips[-1], descriptor))
            y = F.conv2d(y, *self._layer(f"{name}.conv_0"), stride=2, padding=1)
            y = _leaky(self._adain(f"{name}.norm_1", y, descriptor))
            skips.append(self._keep(name, F.conv2d(y, *self._layer(f"{name}.conv_1"), padding=1)))
        x = skips.pop()
        for stage, _, _ in decoder_stages(self._architecture):
            name = f"{net}.decoder.decoder{stage}"
            s = _leaky(self._adain(f"{name}.norm_s", x, descriptor))
            s = F.conv_transpose2d(s, *self._layer(f"{name}.conv_s"), stride=2, padding=1, output_padding=1)
            h = _leaky(self._adain(f"{name}.norm_0", x, descriptor))
            h = F.conv2d(h, *self._layer(f"{name}.conv_0"), padding=1)
            h = _leaky(self._adain(f"{name}.norm_1", h, descriptor))
            h = F.conv_transpose2d(h, *self._layer(f"{name}.conv_1"), stride=2, padding=1, output_padding=1)
            x = torch.cat([self._keep(name, s + h), skips.pop()], dim=1)
        x = self._layer_norm("warpping_net.flow_out.0", self._keep(net, x))
        x = F.conv2d(_leaky(x), *self._layer("warpping_net.flow_out.2"), padding=3)
        return self._keep("warpping_net.flow_out", x)

    @torch.inference_mode()
    def edited_image(self, image: Tensor, warped: Tensor, descriptor: Tensor) -> Tensor:
        """(B, 3, H, W) in -1..1: the warped image, repaired."""
        net = "editing_net"
        x = self._block(f"{net}.encoder.first", torch.cat([image, warped], dim=1), padding=3)
        skips = [x]
        levels = range(len(self._architecture.editing_channels) - 1)
        for level in levels:
            name = f"{net}.encoder.down{level}"
            x = self._keep(name, F.avg_pool2d(self._block(name, x, keep=False), 2))
            skips.append(x)
        x = skips.pop()
        for level in reversed(levels):
            for block in range(self._architecture.residual_blocks):
                name = f"{net}.decoder.res{level}.res{block}"
                # computed and thrown away, as the published network does (docs/method.md 13.9)
                self._adain(f"{name}.norm1", F.conv2d(x, *self._layer(f"{name}.conv1"), padding=1), descriptor)
                y = F.conv2d(x, *self._layer(f"{name}.conv2"), padding=1)
                x = self._keep(name, x + self._adain(f"{name}.norm2", y, descriptor))
            self._keep(f"{net}.decoder.res{level}", x)
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            up = self._block(f"{net}.decoder.up{level}", x)
            x = up + self._block(f"{net}.decoder.jump{level}", skips.pop())
        return torch.tanh(F.conv2d(x, *self._layer(f"{net}.decoder.final.model.0"), padding=3))

    def _layer(self, name: str) -> tuple[Tensor, Tensor]:
        return self._w[f"{name}.weight"], self._w[f"{name}.bias"]

    def _adain(self, name: str, x: Tensor, descriptor: Tensor) -> Tensor:
        a = F.relu(F.linear(descriptor.flatten(1), *self._layer(f"{name}.mlp_shared.0")))
        gamma = F.linear(a, *self._layer(f"{name}.mlp_gamma"))[:, :, None, None]
        beta = F.linear(a, *self._layer(f"{name}.mlp_beta"))[:, :, None, None]
        return self._keep(name, F.instance_norm(x, eps=NORM_EPSILON) * (1 + gamma) + beta)

    def _layer_norm(self, name: str, x: Tensor) -> Tensor:
        scale, shift = self._layer(name)
        return self._keep(name, F.layer_norm(x, x.shape[1:], eps=NORM_EPSILON) * scale + shift)

    def _block(self, name: str, x: Tensor, padding: int = 1, keep: bool = True) -> Tensor:
        x = F.conv2d(x, *self._layer(f"{name}.model.0"), padding=padding)
        x = _leaky(self._layer_norm(f"{name}.model.1", x))
        return self._keep(name, x) if keep else x

    def _keep(self, name: str, value: Tensor) -> Tensor:
        if self.activations is not None:
            self.activations[name] = value
        return value


def sampling_grid(flow: Tensor) -> Tensor:
    """Flow (B, 2, h, w) in cells -> sampling positions (B, h, w, 2), x and y, -1..1 between the first and last cell."""
    height, width = flow.shape[2:]
    reach = torch.tensor([width - 1, height - 1], dtype=flow.dtype, device=flow.device)
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device)
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device)
    cells = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    return 2 * (cells + flow.permute(0, 2, 3, 1)) / reach - 1


def upsample_grid(positions: Tensor, height: int, width: int) -> Tensor:
    """Sampling positions (B, h, w, 2) for the full picture, (B, height, width, 2).

    They were made for corner-aligned sampling and are used for edge-aligned: a zero flow shrinks the picture by 1.8 %
    at 224 pixels. The weights were trained with that, so it stays (docs/method.md 13.8).
    """
    fine = F.interpolate(positions.permute(0, 3, 1, 2), (height, width), mode="bilinear", align_corners=False)
    return fine.permute(0, 2, 3, 1)


def warp_image(image: Tensor, positions: Tensor) -> Tensor:
    """The image (B, 3, H, W) read at sampling positions (B, h, w, 2) of any resolution; 0 outside of it."""
    fine = upsample_grid(positions, *image.shape[2:])
    return F.grid_sample(image, fine, mode="bilinear", padding_mode="zeros", align_corners=False)


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAKY_SLOPE)
