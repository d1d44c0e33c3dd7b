"""Reactions while the speaker still talks: features go in piece by piece, frames come out in time order.

What comes out is what `Reactor.react` makes of the whole clip with the same noise, to the last bits of float32: the
generator and its codec hear no future, so nothing has to be guessed and nothing is taken back (docs/method.md 16.8).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from perfrdiff.checkpoints import Checkpoint
from perfrdiff.coefficients import EXPRESSION, FPS, WIDTH
from perfrdiff.errors import InputError
from perfrdiff.features.hearing import HEARING_WIDTH
from perfrdiff.features.speaker_face import FACE_WIDTH, RunningFace
from perfrdiff.models.causal_window import CausalWindow
from perfrdiff.models.layers import Edits
from perfrdiff.models.listening_codec import ListeningCodec
from perfrdiff.models.threads import threads_for
from perfrdiff.personal.motion_gain import MotionGain
from perfrdiff.sampling import SamplingOptions, start_noise, window_starts
from perfrdiff.speaker_streams import GivenSpeaker

NOISE_SECONDS = 120  # of a reaction for which noise is drawn at a time
BLOCK_SEED = 7_919  # between the seeds of two such blocks
DECODER_REACH = 3  # tokens before a frame's own on which it depends
DECODER_LAG = 7  # frames before the end of the last token that the next tokens still change (ListeningCodec)


class ReactionStream:
    """K reactions of one listener to one speaker who is still talking; `Reactor.stream` makes it.

    Of the listener's motion gain everything is applied but the size of nods: that looks at whole nods, and half a
    second ahead.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        options: SamplingOptions,
        edits: Edits | None,
        gain: MotionGain,
        samples: int,
        seed: int,
        frames: int | None = None,
    ) -> None:
        """frames: as many as `Reactor.react` would be given, to draw the same noise; None: no end is known.

        Raises InputError for weights that cannot react before they have heard the end.
        """
        if not isinstance(checkpoint.normalizer, ListeningCodec) or checkpoint.denoiser.config.variant != "render":
            raise InputError(f"The weights '{checkpoint.name}' need a whole clip; only the demo's can react live.")
        self._codec, self._denoiser, self.options, self._edits = (
            checkpoint.normalizer,
            checkpoint.denoiser,
            options,
            edits,
        )
        self._gain, self.samples, self.seed = replace(gain, nods=1.0), samples, seed
        self._slow_noise = options.slow_noise, options.slow_frames
        self._device = self._denoiser.embed.weight.device
        self._noise_tokens = self._noise_length(frames if frames else NOISE_SECONDS * FPS)
        self._noise: dict[int, Tensor] = {}  # number of the present block -> (K, tokens, features)
        self._face = RunningFace()
        self._latest = torch.zeros(0, HEARING_WIDTH + FACE_WIDTH + 1, device=self._device)  # the last `patch` frames
        self._frames = 0  # of the speaker, so far
        self._speaker = _Tail(torch.zeros(1, 0, sum(self._speaker_widths), device=self._device))
        self._tokens = _Tail(torch.zeros(samples, 0, self._denoiser.config.features, device=self._device))
        self._window: CausalWindow | None = None
        self._window_start = 0  # token
        self._given = 0  # frames that were handed out

    def change_listener(self, edits: Edits | None, gain: MotionGain) -> None:
        """From the next token on, another listener reacts; the movement goes on from where it is."""
        self._edits, self._gain = edits, replace(gain, nods=1.0)
        self._window = None

    def push(
        self, hearing: np.ndarray | None, coefficients: np.ndarray | None, face_seen: np.ndarray | None = None
    ) -> np.ndarray:
        """The speaker's next frames -> the reactions' frames that they make final, (K, m, 58) float32; m may be 0.

        Args:
            hearing: (n, 8), columns features.hearing.HEARING_NAMES; None: these frames were not heard.
            coefficients: (n, 58), from a tracker that knows no future; None: nobody was seen.
            face_seen: (n,) bool, the frames in which the face was seen; None: in all.

        Raises InputError for shapes that do not fit, numbers that are not finite, and where nothing is given.
        """
        given = GivenSpeaker.checked(None, coefficients, hearing=hearing, face_seen=face_seen)
        final = [np.zeros((self.samples, 0, WIDTH), np.float32)]
        with threads_for(self._denoiser), torch.inference_mode():
            for row in self._watched_and_heard(given):
                self._latest = torch.cat([self._latest, row[None]])[-self._codec.patch :]
                if self._frames % self._codec.patch == 0:  # see causal_patches
                    self._next_token()
                    final.append(self._decoded(DECODER_LAG))
                self._frames += 1
        return np.concatenate(final, axis=1)

    def finish(self) -> np.ndarray:
        """The frames that are left, (K, m, 58): as many are given in all as were pushed. Nothing can be pushed
        afterwards."""
        given = self._given
        with threads_for(self._denoiser), torch.inference_mode():
            return self._decoded(0)[:, : self._frames - given]

    def _noise_length(self, frames: int) -> int:
        """Tokens of noise that `sample_sequence` draws for so many frames."""
        window = self._denoiser.config.window
        return window_starts(-(-frames // self._codec.patch), window, self.options.slide)[-1] + window

    def _watched_and_heard(self, given: GivenSpeaker) -> Tensor:
        """(n, 8 + 13 + 1): what was heard, the face about its own usual one, and 1 where there was sound to hear."""
        count = given.frames
        seen = np.full(count, given.coefficients is not None)
        if given.face_seen is not None:
            seen &= given.face_seen
        face = np.zeros((count, WIDTH), np.float32) if given.coefficients is None else given.coefficients
        heard = np.zeros((count, HEARING_WIDTH), np.float32) if given.hearing is None else given.hearing
        has_sound = np.full((count, 1), given.hearing is not None, np.float32)
        rows = np.concatenate([heard, self._face.push(face, seen), has_sound], axis=1)
        return torch.as_tensor(rows, device=self._device)

    @property
    def _speaker_widths(self) -> tuple[int, int]:
        widths = self._codec.widths
        return widths["audio"], widths["coefficients"]

    def _next_token(self) -> None:
        """Denoise the listener's token whose time has come."""
        self._speaker.append(self._speaker_token()[None])
        config, slide = self._denoiser.config, self.options.slide
        token = self._tokens.end
        if self._window is None or token == self._window_start + config.window:
            self._window_start = max(token - (config.window - slide), 0)  # the last tokens of the one before are shared
            self._window = self._new_window()
        else:
            self._window.push(self._named(self._speaker.take(token, token + 1)[0]))
        self._tokens.append(self._denoise(token, token + 1, None))

    def _speaker_token(self) -> Tensor:
        """(1, widths of what is heard and of the face), as the codec makes them of whole clips."""
        frames = self._latest
        first = frames[:1].expand(self._codec.patch - len(frames) + 1, -1)  # before the beginning, and one more
        rows = torch.cat([first, frames])
        heard, face, has_sound = rows.split([HEARING_WIDTH, FACE_WIDTH, 1], dim=1)
        audio = self._codec.audio(heard)[1:] * has_sound.prod()
        return torch.cat([audio, self._codec.speaker(face)[1:]], dim=1)

    def _new_window(self) -> CausalWindow:
        """The window that begins at `_window_start`, with the tokens that it shares with the one before."""
        config, start, end = self._denoiser.config, self._window_start, self._tokens.end
        past = self._tokens.take(max(start - config.window, 0), start)
        past = torch.nn.functional.pad(past, (0, 0, config.window - past.shape[1], 0))
        options = self.options
        window = CausalWindow(self._denoiser, past, options.guidance, self._edits, options.guidance_over)
        first = start - config.reaction_delay
        speaker = self._speaker.take(max(first, 0), self._speaker.end)[0]
        window.push(self._named(torch.nn.functional.pad(speaker, (0, 0, max(-first, 0), 0))))
        if end > start:
            self._window = window
            self._denoise(start, end, self._tokens.take(start, end))
        return window

    def _denoise(self, start: int, end: int, known: Tensor | None) -> Tensor:
        """Tokens start … end of the window, (K, n, features)."""
        assert self._window is not None
        predict = self._window.predictor(start - self._window_start, end - start)
        noise = torch.cat([self._noise_of(token) for token in range(start, end)], dim=1)
        return self.options.denoise_window(predict, noise, known)

    def _noise_of(self, token: int) -> Tensor:
        """(K, 1, features). The first block is that of `sample_sequence`; each further one has a seed of its own."""
        block, index = divmod(token, self._noise_tokens)
        if block not in self._noise:
            shape = (self._noise_tokens, self._denoiser.config.features)
            noise = start_noise(self.seed + block * BLOCK_SEED, self.samples, shape, *self._slow_noise)
            self._noise = {block: noise.to(self._device)}
        return self._noise[block][:, index : index + 1]

    def _named(self, tokens: Tensor) -> dict[str, Tensor]:
        """A speaker's tokens (n, widths) by condition."""
        audio, face = tokens.split(list(self._speaker_widths), dim=-1)
        return {"audio": audio, "coefficients": face}

    def _decoded(self, lag: int) -> np.ndarray:
        """The frames that were not given yet and that tokens to come will not change, (K, m, 58); `lag`: how many
        frames before the last token's end may still change."""
        patch, end = self._codec.patch, self._tokens.end
        final = max(end * patch - lag, self._given)
        if final == self._given:
            return np.zeros((self.samples, 0, WIDTH), np.float32)
        first = max(self._given // patch - DECODER_REACH, 0)
        rows = self._codec.raw_coefficients(self._tokens.take(first, end))
        rows = rows[:, self._given - first * patch : final - first * patch].cpu().numpy().astype(np.float32)
        self._given = final
        rows[..., EXPRESSION] = np.clip(rows[..., EXPRESSION], 0.0, 1.0)
        return self._gain.apply(rows)


class _Tail:
    """The end of a growing table (N, tokens, width) of which older tokens are no longer asked for."""

    KEPT = 96  # tokens; a window looks back two windows

    def __init__(self, empty: Tensor) -> None:
        self._values, self._start = empty, 0

    @property
    def end(self) -> int:
        return self._start + self._values.shape[1]

    def append(self, values: Tensor) -> None:
        dropped = max(0, self._values.shape[1] - self.KEPT)
        self._start += dropped
        self._values = torch.cat([self._values[:, dropped:], values], dim=1)

    def take(self, start: int, end: int) -> Tensor:
        """Tokens start … end."""
        assert start >= self._start, "these tokens are forgotten"
        return self._values[:, start - self._start : end - self._start]
