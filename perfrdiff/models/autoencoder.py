"""The window autoencoders of the published models: a window of frames <-> one latent, and a regressor to the other
description of the face (docs/method.md 4.1).

Two are published: attributes (25) -> coefficients (58), and coefficients (58) -> attributes (25). Both diffusion
networks are conditioned on, and the prior predicts, the *last encoder state*, not the mean of the variational code.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of a window autoencoder; the defaults are the published attribute autoencoder."""

    features: int = 25  # width of a frame
    regressed: int = 58  # width of the frame the regressor predicts
    hidden: int = 512  # encoder and decoder state; the latent of a window
    code: int = 512  # variational code between them
    decoder_layers: tuple[int, int] = (128, 128)  # widths of the decoder's output network
    window: int = 50  # frames


@dataclass(frozen=True)
class Reconstruction:
    """What a pass through the autoencoder gives for sequences (B, L, features) of n = L / window windows."""

    frames: Tensor  # (B, L, features)
    regressed: Tensor  # (B, L, regressed), read off the reconstructed frames
    mean: Tensor  # (B * n, code), windows of one sequence together
    log_variance: Tensor  # (B * n, code)


class WindowAutoencoder(nn.Module):
    """GRU encoder, autoregressive GRU decoder, per-frame regressor."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        first, second = config.decoder_layers
        self.encoder = nn.GRU(config.features, config.hidden, batch_first=True)
        self.mean = nn.Linear(config.hidden, config.code)
        self.log_variance = nn.Linear(config.hidden, config.code)
        self.start = nn.Linear(config.code, config.hidden)
        self.decoder = nn.GRUCell(config.hidden + config.features, config.hidden)
        self.output = nn.Sequential(
            nn.Linear(config.hidden, first),
            nn.Tanh(),
            nn.Linear(first, second),
            nn.Tanh(),
            nn.Linear(second, config.features),
        )
        self.regressor = nn.Sequential(
            nn.Linear(config.features, config.hidden), nn.Tanh(), nn.Linear(config.hidden, config.regressed)
        )

    def windows(self, sequence: Tensor) -> Tensor:
        """(B, L, features) -> (B * n, window, features); L has to be a multiple of the window."""
        batch, frames, features = sequence.shape
        window = self.config.window
        if frames == 0 or frames % window:
            raise ValueError(f"sequence of {frames} frames: expected a multiple of the window, {window}")
        return sequence.reshape(batch * (frames // window), window, features)

    def states(self, window: Tensor) -> Tensor:
        """All encoder states (N, window, hidden) of windows (N, window, features)."""
        if window.shape[1] != self.config.window:
            raise ValueError(f"window of {window.shape[1]} frames: this autoencoder takes {self.config.window}")
        return self.encoder(window)[0]

    def encode(self, window: Tensor) -> Tensor:
        """The latent (N, hidden) of windows (N, window, features): the encoder's last state."""
        return self.states(window)[:, -1]

    def decode(self, code: Tensor) -> Tensor:
        """Variational codes (N, code) -> windows (N, window, features), frame after frame from a zero state."""
        start = self.start(code)
        state = torch.zeros(len(code), self.config.hidden, dtype=code.dtype, device=code.device)
        frame = torch.zeros(len(code), self.config.features, dtype=code.dtype, device=code.device)
        frames = []
        for _ in range(self.config.window):
            state = self.decoder(torch.cat([start, frame], dim=-1), state)
            frame = self.output(state)
            frames.append(frame)
        return torch.stack(frames, dim=1)

    def regress(self, frames: Tensor) -> Tensor:
        """Frames (…, features) -> the other description (…, regressed) of the same face."""
        return self.regressor(frames)

    def forward(self, sequence: Tensor, noise: Tensor | None = None) -> Reconstruction:
        """Sequences (B, L, features) there and back; `noise` (B * n, code) standard normal for training, None: none."""
        latent = self.encode(self.windows(sequence))
        mean, log_variance = self.mean(latent), self.log_variance(latent)
        code = mean if noise is None else mean + noise * torch.exp(log_variance / 2)
        frames = self.decode(code).reshape(sequence.shape)
        return Reconstruction(frames, self.regress(frames), mean, log_variance)
