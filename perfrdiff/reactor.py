"""The object people use: load once, set a listener once, react many times.

reactor = Reactor.load()                      # the demo weights
reactor.set_listener(behaviour)               # (frames, 58) of a tracked listener, or "Warm"
reactions = reactor.react(speaker, samples=3) # reactions.coefficients: (3, frames, 58)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from perfrdiff import checkpoints, sampling
from perfrdiff.coefficients import CHANNEL, EXPRESSION, FPS, TRANSLATION, WIDTH
from perfrdiff.errors import InputError
from perfrdiff.features.attributes import AFFECT_WIDTH, affect_attributes
from perfrdiff.features.audio import MFCC_WIDTH
from perfrdiff.models.layers import Edits
from perfrdiff.models.registry import NETWORKS
from perfrdiff.personal.calibration import SEED, Rehearsal
from perfrdiff.personal.motion_gain import Manner
from perfrdiff.personal.weight_shift import ListenerShift, listener_shift
from perfrdiff.published import inference
from perfrdiff.published.compat import Compat

SHORTEST_STYLE = FPS  # frames; a second of behaviour is the least a style is read from
STYLE_HOP = 250  # frames between the clips a long behaviour is cut into
GENERIC = "Generic"
SLOW_HEAD = [CHANNEL["rotationY"], CHANNEL["rotationZ"], *range(TRANSLATION.start, TRANSLATION.stop)]


@dataclass(frozen=True)
class Reactions:
    """What one call of `react` gives."""

    coefficients: np.ndarray  # (samples, frames, 58) float32 in the FaceVerse convention, expressions 0 … 1
    seed: int
    steps: int
    guidance: float
    strength: float
    listener: str  # "Generic", a style's name, or "personal" for a listener's own behaviour
    weights: str
    weights_sha256: str
    attributes: np.ndarray | None = None  # (samples, frames, 25) where the weights predict these first


class Reactor:
    """A generator of facial reactions in the manner of one listener (paper section 3)."""

    def __init__(self, checkpoint: checkpoints.Checkpoint, device: str | torch.device | None = None):
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        parts = *NETWORKS, "normalizer", *checkpoints.FITTED
        present = {name: getattr(checkpoint, name) for name in parts if getattr(checkpoint, name) is not None}
        self.checkpoint = replace(checkpoint, **{name: part.to(self.device) for name, part in present.items()})
        self._edits: Edits | None = None
        self._shift: ListenerShift | None = None
        self._listener = GENERIC
        self._strength = 0.0

    @classmethod
    def load(cls, weights: str = "demo", device: str | torch.device | None = None) -> "Reactor":
        """Load weights by name (`perfrdiff.checkpoints.available()`); device None: the GPU when there is one.

        Raises InputError when there are no weights of that name.
        """
        return cls(checkpoints.load(weights), device)

    @property
    def styles(self) -> tuple[str, ...]:
        """Named listening styles, for a listener of whom there is only a photo."""
        return tuple(self.checkpoint.styles)

    @property
    def listener(self) -> str:
        """Who is listening: "Generic", a style's name, or "personal"."""
        return self._listener

    @property
    def shift(self) -> ListenerShift | None:
        """What the listener adds to the generator's weights, at strength 1; None for the generic generator.

        It can be saved, mixed with others (perfrdiff.personal.weight_shift) and given to `set_listener` again.
        """
        return self._shift

    def style_of(self, behaviour: np.ndarray) -> Tensor:
        """The style vector (projection,), of length 1 or near it, of a behaviour (frames, 58) at 25 per second.

        The style of a behaviour unlike all that the encoder has seen, as of a real face with the demo weights, is moved
        to what is counted in it (perfrdiff.personal.style_probe).
        A clip longer than the encoder takes is cut into overlapping clips whose styles are averaged. Raises InputError
        for a wrong shape, numbers that are not finite, or less than a second.
        """
        return self._read(behaviour)[0]

    def _read(self, behaviour: np.ndarray) -> tuple[Tensor, np.ndarray | None, bool]:
        """The style of a behaviour, see `style_of`, the habits to expect of the listener, where these are read, and
        whether the style encoder knows such behaviours."""
        behaviour = _checked(behaviour, WIDTH, "listener behaviour")
        if len(behaviour) < SHORTEST_STYLE:
            raise InputError(
                f"The listener's clip has {len(behaviour)} frames; a style needs at least {SHORTEST_STYLE} "
                "(one second). Use a longer video, or a photo with a named style."
            )
        rows = self.checkpoint.normalizer.coefficients(torch.tensor(behaviour, device=self.device))
        longest = self.checkpoint.style_encoder.config.max_frames
        hop = STYLE_HOP // self.checkpoint.normalizer.patch
        starts = [0] if len(rows) <= longest else [*range(0, len(rows) - longest, hop), len(rows) - longest]
        with torch.inference_mode():
            clips = torch.stack([rows[start : start + longest] for start in starts])
            style = self.checkpoint.style_encoder(clips).mean(0)
        style = torch.nn.functional.normalize(style, dim=0)
        reading = self.checkpoint.style_reading
        if reading is None:
            return style, None, True
        known = not reading.unknown(rows)
        expected = reading.expected(style, behaviour, known)[1].double().cpu().numpy()
        return style if known else reading.told(style, behaviour), expected, known

    def _rehearsed(self, style: Tensor, expected: np.ndarray | None, known: bool) -> tuple[Tensor, Manner]:
        """The style and the manner in which reactions have the expected habits (perfrdiff.personal.calibration)."""
        rehearsal, reading = self.checkpoint.rehearsal, self.checkpoint.style_reading
        if rehearsal is None or reading is None or expected is None:
            return style, Manner()
        return rehearsal.settled(style, expected, known, reading, self.rehearse)

    def rehearse(self, style: Tensor, audience: Rehearsal | None = None, seed: int = SEED) -> np.ndarray:
        """Reactions (K, frames, 58) of a style (style,) to K speakers, those of the checkpoint if none are given.

        Raises InputError for weights that have none.
        """
        audience = audience or self.checkpoint.rehearsal
        if audience is None:
            raise InputError(f"The weights '{self.checkpoint.name}' have no audience to rehearse before.")
        streams = {"audio": audience.audio.float(), "coefficients": audience.coefficients.float()}
        options = self.checkpoint.sampling
        denoiser, edits = self.checkpoint.denoiser, self._edited(style, "personal").edits(self.checkpoint.denoiser)
        with torch.inference_mode():
            made = sampling.sample_sequence(denoiser, streams, len(audience.audio), seed, options, edits)
            return _within(self.checkpoint.normalizer.raw_coefficients(made).cpu().numpy())

    def set_listener(self, listener: np.ndarray | str | ListenerShift | None, strength: float = 1.0) -> None:
        """Shift the generator's weights towards one listener; the weight editor runs here, once.

        The generator's own weights are never written to: None gives the generic generator back, bit for bit.

        Args:
            listener: behaviour (frames, 58), a name from `styles`, a shift kept from before, or None for the generic
                generator.
            strength: 0 = generic, 1 = as learnt, up to 2 = exaggerated.

        Raises InputError for an unknown style, a strength outside 0 … 2, a behaviour `style_of` refuses, or a shift
        made for other weights.
        """
        if listener is None:
            self._edits, self._shift, self._listener, self._strength = None, None, GENERIC, 0.0
            return
        made = self._shift_of(listener)
        self._edits = made.edits(self.checkpoint.denoiser, strength)
        self._shift, self._listener, self._strength = made, made.listener, strength

    def _shift_of(self, listener: np.ndarray | str | ListenerShift) -> ListenerShift:
        if isinstance(listener, ListenerShift):
            if listener.weights_sha256 != self.checkpoint.sha256:
                raise InputError(
                    f"This listener's shift was made for the weights '{listener.weights}', and fits no others; these "
                    f"are '{self.checkpoint.name}'."
                )
            moved = {name: shift.to(self.device) for name, shift in listener.shifts.items()}
            return replace(listener, shifts=moved)
        if isinstance(listener, str):
            if listener not in self.checkpoint.styles:
                raise InputError(f"There is no listening style '{listener}'. Present: {', '.join(self.styles)}.")
            return self._edited(self.checkpoint.styles[listener].to(self.device), listener)
        style, manner = self._rehearsed(*self._read(listener))
        return replace(self._edited(style, "personal"), manner=manner)

    def _edited(self, style: Tensor, name: str) -> ListenerShift:
        """What the weight editor makes of a style."""
        networks = self.checkpoint.weight_editor, self.checkpoint.denoiser
        return listener_shift(*networks, style, self.checkpoint.name, self.checkpoint.sha256, name)

    def react(
        self,
        audio: np.ndarray,
        coefficients: np.ndarray,
        *,
        affect: np.ndarray | None = None,
        samples: int = 3,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        compat: str = "corrected",
        progress: Callable[[float], None] | None = None,
    ) -> Reactions:
        """Several reactions of the listener to one speaker.

        Args:
            audio: the speaker's MFCCs (frames, 78), see features.audio.
            coefficients: the speaker's face (frames, 58).
            affect: the speaker's attributes (frames, 25), which the emotion variant of the paper listens to; None: read
                off the face (features.affect).
            samples: how many reactions. Sample i does not depend on how many are asked for.
            seed: the same seed, settings and weights give the same reactions.
            steps: denoising network calls per window, 2 … 1000; None: what the weights were made for.
            guidance: classifier-free guidance scale; None: what the weights were made for.
            compat: "published" repeats the faults of the published code, or the names of some with commas between
                (published.compat), for weights of the paper.
            progress: called with the done share, 0 … 1.

        Raises InputError for shapes, lengths or numbers that do not fit.
        """
        audio = _checked(audio, MFCC_WIDTH, "speaker audio")
        coefficients = _checked(coefficients, WIDTH, "speaker coefficients")
        if len(audio) != len(coefficients):
            raise InputError(
                f"The speaker has {len(audio)} frames of audio but {len(coefficients)} of face coefficients."
            )
        if samples < 1:
            raise InputError(f"{samples} reactions asked for; at least 1 is possible.")
        if seed < 0:
            raise InputError(f"The seed is {seed}; it has to be 0 or more.")
        defaults = self.checkpoint.sampling
        steps = defaults.steps if steps is None else steps
        guidance = defaults.guidance if guidance is None else guidance
        if not 2 <= steps <= sampling.TRAIN_STEPS:
            raise InputError(f"{steps} denoising steps asked for; expected 2 to {sampling.TRAIN_STEPS}.")
        faults = Compat.parse(compat)
        if faults != Compat() and not self.checkpoint.published:
            raise InputError(f"'{self.checkpoint.name}' are not the paper's weights; they know no '{compat}' way.")
        if affect is None:
            affect = affect_attributes(coefficients) if self.checkpoint.published else None
        elif len(_checked(affect, AFFECT_WIDTH, "speaker's affect")) != len(audio):
            raise InputError(f"The speaker has {len(audio)} frames of audio but {len(affect)} of affect.")
        options = replace(defaults, steps=steps, guidance=guidance)
        normalizer = self.checkpoint.normalizer
        with torch.inference_mode():
            sound = normalizer.audio(torch.tensor(audio, device=self.device))
            face = normalizer.speaker(torch.tensor(coefficients, device=self.device))
            attributes = None
            if self.checkpoint.denoiser.config.variant == "emotion" or faults.isolated_windows:
                assert affect is not None, "only weights of the paper come here"
                made = self._isolated(sound, face, affect, samples, seed, options, faults, progress)
                if self.checkpoint.denoiser.config.variant == "emotion":
                    assert self.checkpoint.autoencoder is not None, "emotion weights have one"
                    attributes, made = made.cpu().numpy(), self.checkpoint.autoencoder.regress(made)
            else:
                streams = {"audio": sound, "coefficients": face}
                if defaults.audio_range:
                    heard = sampling.cut(sound, -self.checkpoint.denoiser.config.reaction_delay, len(sound))
                    streams["audio"] = inference.unit_range(sound, heard if faults.audio_range_over_call else sound)
                made = sampling.sample_sequence(
                    self.checkpoint.denoiser, streams, samples, seed, options, self._edits, progress,
                    faults.discard_last_call,
                )  # fmt: skip
            raw = normalizer.raw_coefficients(made)[:, : len(audio)].cpu().numpy()
        if defaults.head_smoothing:
            raw = _steadied(raw, defaults.head_smoothing)
        raw = _within(raw)
        if self._shift is not None:
            raw = self._shift.manner.times(self._strength).applied(raw)
        return Reactions(
            raw,
            seed,
            steps,
            guidance,
            self._strength,
            self._listener,
            self.checkpoint.name,
            self.checkpoint.sha256,
            attributes,
        )

    def _isolated(
        self,
        sound: Tensor,
        face: Tensor,
        affect: np.ndarray,
        samples: int,
        seed: int,
        options: sampling.SamplingOptions,
        faults: Compat,
        progress: Callable[[float], None] | None,
    ) -> Tensor:
        """Windows that do not know of one another, the published way: (samples, frames, features), network units."""
        model = inference.PublishedModel(self.checkpoint.denoiser, self.checkpoint.autoencoder)
        speaker = inference.Speaker(
            sound[None], face[None], torch.tensor(affect, dtype=torch.float32, device=self.device)[None]
        )
        noise = inference.seeded_noise(model, speaker, samples, options, seed)
        return inference.infer(model, speaker, noise, options, self._edits, faults, progress).reactions[0]


def _within(raw: np.ndarray) -> np.ndarray:
    """Reactions (…, frames, 58) whose expressions stay within 0 … 1."""
    out = raw.copy()
    out[..., EXPRESSION] = np.clip(raw[..., EXPRESSION], 0.0, 1.0)
    return out


def _steadied(raw: np.ndarray, frames: float) -> np.ndarray:
    """Reactions (K, T, 58) without a trembling head: turn, tilt and place lose what is quicker than `frames`.

    A generator that is not trained to the end leaves a little of its noise there. Nods are quick themselves, so that
    the pitch is smoothed by a third of it.
    """
    out = raw.copy()
    for columns, width in ((SLOW_HEAD, frames), ([CHANNEL["rotationX"]], frames / 3)):
        out[..., columns] = gaussian_filter1d(raw[..., columns], width, axis=1, mode="nearest")
    return out


def _checked(rows: np.ndarray, width: int, what: str) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise InputError(f"The {what} has shape {rows.shape}; expected (frames, {width}).")
    if not np.isfinite(rows).all():
        bad = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise InputError(f"The {what} holds a number that is not finite, first in frame {bad}.")
    return rows
