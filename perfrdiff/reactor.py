"""The object people use: load once, set a listener once, react many times.

reactor = Reactor.load()                      # the demo weights
reactor.set_listener(behaviour)               # (frames, 58) of a tracked listener, or "Warm"
reactions = reactor.react_to(speaker, samples=3)  # of read_speaker; reactions.coefficients: (3, frames, 58)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from perfrdiff import checkpoints, sampling
from perfrdiff.behaviour.event_features import SHORTEST_CLIP, event_features
from perfrdiff.coefficients import CHANNEL, EXPRESSION, FPS, TRANSLATION, WIDTH
from perfrdiff.errors import InputError
from perfrdiff.models import SOLVERS
from perfrdiff.models.layers import Edits
from perfrdiff.models.registry import NETWORKS
from perfrdiff.models.threads import threads_for
from perfrdiff.personal.calibration import CALIBRATION_SEED, CalibrationSpeakers, ExpectedEvents
from perfrdiff.personal.event_probe import told_by_clips
from perfrdiff.personal.motion_gain import MotionGain
from perfrdiff.personal.weight_shift import WeightShift, predict_weight_shift
from perfrdiff.published import inference
from perfrdiff.published.compat import Compat
from perfrdiff.reaction_stream import ReactionStream
from perfrdiff.speaker_streams import GivenSpeaker, SpeakerStreams, checked_rows
from perfrdiff.weights import GENERIC

SHORTEST_STYLE = FPS  # frames; a second of behaviour is the least a style is read from
STYLE_HOP = 250  # frames between the starts of the clips that a long behaviour is cut into
SLOW_HEAD_COLUMNS = [CHANNEL["rotationY"], CHANNEL["rotationZ"], *range(TRANSLATION.start, TRANSLATION.stop)]


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
    solver: str = "ddim"


@dataclass(frozen=True)
class _ReadListener:
    """What is read from a listener's clip."""

    style: Tensor  # (style,)
    expected_habits: np.ndarray | None = None  # (H,) for calibration; None for weights without a style probe
    in_distribution: bool = True  # whether the style encoder was trained on such clips
    expected_events: ExpectedEvents | None = None


class Reactor:
    """A generator of one listener's facial reactions (paper section 3)."""

    def __init__(self, checkpoint: checkpoints.Checkpoint, device: str | torch.device | None = None):
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        names = *NETWORKS, "normalizer", *checkpoints.FITTED
        modules = {name: getattr(checkpoint, name) for name in names if getattr(checkpoint, name) is not None}
        self.checkpoint = replace(checkpoint, **{name: module.to(self.device) for name, module in modules.items()})
        self._edits: Edits | None = None
        self._shift: WeightShift | None = None
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
    def strength(self) -> float:
        """Of the listener: 0 = generic, 1 = as learnt, up to 2 = exaggerated."""
        return self._strength

    @property
    def shift(self) -> WeightShift | None:
        """What the listener adds to the generator's weights, at strength 1; None for the generic generator.

        It can be saved, mixed with others (perfrdiff.personal.weight_shift) and given to `set_listener` again.
        """
        return self._shift

    def style_of(self, behaviour: np.ndarray) -> Tensor:
        """The style vector (projection,), of length 1 or near it, of a behaviour (frames, 58) at 25 per second.

        Where a style probe says that a behaviour is outside the encoder's training distribution, its style is moved to
        the habits counted in it (perfrdiff.personal.style_probe). A clip longer than the encoder takes is cut into
        overlapping clips whose styles are averaged. Raises InputError for a wrong shape, numbers that are not finite,
        or less than a second.
        """
        with threads_for(self.checkpoint.denoiser):
            return self._read_listener(behaviour).style

    def _read_listener(self, behaviour: np.ndarray) -> _ReadListener:
        """See `style_of`."""
        behaviour = checked_rows(behaviour, WIDTH, "listener behaviour")
        if len(behaviour) < SHORTEST_STYLE:
            raise InputError(
                f"The listener's clip has {len(behaviour)} frames; a style needs at least {SHORTEST_STYLE} "
                "(one second). Use a longer video, or a photo with a named style."
            )
        rows = self.checkpoint.normalizer.coefficients(torch.tensor(behaviour, device=self.device))
        longest = self.checkpoint.style_encoder.config.max_tokens
        hop = STYLE_HOP // self.checkpoint.normalizer.patch
        starts = [0] if len(rows) <= longest else [*range(0, len(rows) - longest, hop), len(rows) - longest]
        with torch.inference_mode():
            clips = torch.stack([rows[start : start + longest] for start in starts])
            parts = self._parts_of(behaviour, starts, clips.shape[1])
            events = self._events_of(parts)
            style = self.checkpoint.style_encoder(clips, events).mean(0)
        style = torch.nn.functional.normalize(style, dim=0)
        probe = self.checkpoint.style_probe
        if probe is None:
            return _ReadListener(style)
        in_distribution = not probe.is_out_of_distribution(rows)
        expected = probe.expected_habits(style, behaviour, in_distribution)[1].double().cpu().numpy()
        expected_events = None
        if (event_probe := self.checkpoint.event_probe) is not None and events is not None:
            seconds = len(behaviour) / FPS
            told = told_by_clips(events, parts)
            expected_events = ExpectedEvents(event_probe.expected(style, told, seconds), event_probe)
        if not in_distribution:
            style = probe.corrected_style(style, behaviour)
        return _ReadListener(style, expected, in_distribution, expected_events)

    def _parts_of(self, behaviour: np.ndarray, starts: list[int], tokens: int) -> list[np.ndarray]:
        """The parts of a behaviour that begin at tokens `starts`, long enough for event features."""
        patch = self.checkpoint.normalizer.patch
        parts = [behaviour[start * patch : (start + tokens) * patch] for start in starts]
        return [np.pad(part, ((0, max(0, SHORTEST_CLIP - len(part))), (0, 0)), mode="reflect") for part in parts]

    def _events_of(self, parts: list[np.ndarray]) -> Tensor | None:
        """Event features (parts, events) of clips; None for an encoder that does without."""
        if not self.checkpoint.style_encoder.config.events:
            return None
        rows = np.array([event_features(part) for part in parts])
        return torch.tensor(rows, dtype=torch.float32, device=self.device)

    def _calibrate(self, read: _ReadListener) -> tuple[Tensor, MotionGain]:
        """The style and the motion gain with which reactions show the expected habits."""
        calibration, probe = self.checkpoint.calibration, self.checkpoint.style_probe
        if calibration is None or probe is None or read.expected_habits is None:
            return read.style, MotionGain()
        react = self.react_to_calibration_speakers
        return calibration.calibrate(
            read.style, read.expected_habits, read.in_distribution, probe, react, read.expected_events
        )

    def react_to_calibration_speakers(
        self, style: Tensor, speakers: CalibrationSpeakers | None = None, seed: int = CALIBRATION_SEED
    ) -> np.ndarray:
        """Reactions (K, frames, 58) of a style (style,) to K speakers; None: to those of the checkpoint.

        Raises InputError for weights that have none.
        """
        speakers = speakers or self.checkpoint.calibration
        if speakers is None:
            raise InputError(f"The weights '{self.checkpoint.name}' have no calibration speakers.")
        streams = {"audio": speakers.audio.float(), "coefficients": speakers.coefficients.float()}
        denoiser, options = self.checkpoint.denoiser, self.checkpoint.sampling
        edits = self._predict_shift(style, "personal").edits(denoiser)
        with threads_for(denoiser), torch.inference_mode():
            tokens = sampling.sample_sequence(denoiser, streams, len(speakers.audio), seed, options, edits)
            return _clip_expressions(self.checkpoint.normalizer.raw_coefficients(tokens).cpu().numpy())

    def set_listener(
        self, listener: np.ndarray | str | WeightShift | None, strength: float = 1.0, *, calibrate: bool = True
    ) -> None:
        """Shift the generator's weights towards one listener; the weight editor runs here, once.

        The generator's own weights are never written to: None gives the generic generator back, bit for bit.

        Args:
            listener: behaviour (frames, 58), a name from `styles`, a saved weight shift, or None for the generic
                generator.
            strength: 0 = generic, 1 = as learnt, up to 2 = exaggerated.
            calibrate: bring reactions to the habits counted in the behaviour (perfrdiff.personal.calibration); without,
                the listener is what the weights make of the style.

        Raises InputError for an unknown style, a strength outside 0 … 2, a behaviour `style_of` refuses, or a shift
        made for other weights.
        """
        if listener is None:
            self._edits, self._shift, self._listener, self._strength = None, None, GENERIC, 0.0
            return
        with threads_for(self.checkpoint.denoiser):
            shift = self._shift_of(listener, calibrate)
            self._edits = shift.edits(self.checkpoint.denoiser, strength)
        self._shift, self._listener, self._strength = shift, shift.listener, strength

    def _shift_of(self, listener: np.ndarray | str | WeightShift, calibrate: bool) -> WeightShift:
        if isinstance(listener, WeightShift):
            if listener.weights_sha256 != self.checkpoint.sha256:
                raise InputError(
                    f"This listener's shift was made for the weights '{listener.weights}', and fits no others; these "
                    f"are '{self.checkpoint.name}'."
                )
            return replace(listener, shifts={name: shift.to(self.device) for name, shift in listener.shifts.items()})
        if isinstance(listener, str):
            if listener not in self.checkpoint.styles:
                raise InputError(f"There is no listening style '{listener}'. Present: {', '.join(self.styles)}.")
            return self._predict_shift(self.checkpoint.styles[listener].to(self.device), listener)
        read = self._read_listener(listener)
        style, gain = self._calibrate(read) if calibrate else (read.style, MotionGain())
        return replace(self._predict_shift(style, "personal"), motion_gain=gain)

    def _predict_shift(self, style: Tensor, name: str) -> WeightShift:
        """What the weight editor predicts for a style (style,)."""
        networks = self.checkpoint.weight_editor, self.checkpoint.denoiser
        return predict_weight_shift(*networks, style, self.checkpoint.name, self.checkpoint.sha256, name)

    def react(
        self,
        audio: np.ndarray | None,
        coefficients: np.ndarray | None,
        *,
        attributes: np.ndarray | None = None,
        hearing: np.ndarray | None = None,
        face_seen: np.ndarray | None = None,
        samples: int = 3,
        seed: int = 0,
        steps: int | None = None,
        solver: str | None = None,
        guidance: float | None = None,
        compat: str = "corrected",
        progress: Callable[[float], None] | None = None,
    ) -> Reactions:
        """Several reactions of the listener to one speaker.

        Args:
            audio: the speaker's MFCCs (frames, 78), see features.audio; None for weights that do not listen to them.
            coefficients: the speaker's face (frames, 58); None where only a voice is there.
            attributes: the speaker's facial attributes (frames, 25), which the emotion variant of the paper listens to;
                None: read off the face (features.attributes).
            hearing: what is heard of the speaker (frames, 8), see features.hearing; None where there is no sound, and
                for weights that listen to MFCCs.
            face_seen: (frames,) bool, where the speaker's face was seen; None: everywhere. Weights that know of no
                hidden face take the coefficients as they are.
            samples: how many reactions. Sample i does not depend on how many are asked for.
            seed: the same seed, settings and weights give the same reactions.
            steps: denoising network calls per window, 2 … 1000; None: what the weights were made for.
            solver: "ddim" or "dpm" (DPM-Solver++ 2M); None: what the weights were made for.
            guidance: classifier-free guidance scale; None: what the weights were made for.
            compat: "published" repeats the faults of the published code, or the names of some with commas between
                (published.compat), for weights of the paper.
            progress: called with the done share, 0 … 1.

        Raises InputError for shapes, lengths or numbers that do not fit.
        """
        given = GivenSpeaker.checked(audio, coefficients, attributes, hearing, face_seen)
        with threads_for(self.checkpoint.denoiser), torch.inference_mode():
            speaker = given.for_networks(self.checkpoint, self.device)
        if samples < 1:
            raise InputError(f"{samples} reactions asked for; at least 1 is possible.")
        if seed < 0:
            raise InputError(f"The seed is {seed}; it has to be 0 or more.")
        options, faults = self._sampling_options(steps, solver, guidance, compat)
        with threads_for(self.checkpoint.denoiser), torch.inference_mode():
            rows, predicted_attributes = self._sample(speaker, samples, seed, options, faults, progress)
            reactions = self.checkpoint.normalizer.raw_coefficients(rows)[:, : given.frames].cpu().numpy()
        if options.head_smoothing:
            reactions = _smooth_head(reactions, options.head_smoothing)
        reactions = _clip_expressions(reactions)
        reactions = self._gain.apply(reactions)
        return Reactions(
            reactions,
            seed,
            options.steps,
            options.guidance,
            self._strength,
            self._listener,
            self.checkpoint.name,
            self.checkpoint.sha256,
            predicted_attributes,
            options.solver,
        )

    def react_to(self, speaker: SpeakerStreams, **options: Any) -> Reactions:
        """`react` to all that is known of a speaker, as `read_speaker` and the simulator give it; with its options."""
        return self.react(
            speaker.audio,
            speaker.coefficients,
            attributes=speaker.attributes,
            hearing=speaker.hearing,
            face_seen=speaker.face_seen,
            **options,
        )

    def stream(
        self,
        *,
        samples: int = 1,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        frames: int | None = None,
    ) -> ReactionStream:
        """Reactions of the listener to somebody who is still talking, piece by piece; for the options see `react`.

        frames: of the whole clip, where it is known; the reactions are then those of `react`, but for the size of nods
            (see ReactionStream).

        Raises InputError for weights that need a whole clip.
        """
        options, _ = self._sampling_options(steps, None, guidance, "corrected")
        return ReactionStream(self.checkpoint, options, self._edits, self._gain, samples, seed, frames)

    def continue_stream(self, stream: ReactionStream) -> None:
        """Let the present listener of this reactor go on in a stream of the same weights."""
        stream.change_listener(self._edits, self._gain)

    @property
    def _gain(self) -> MotionGain:
        """The listener's motion gain at the present strength."""
        return MotionGain() if self._shift is None else self._shift.motion_gain.scaled(self._strength)

    def _sampling_options(
        self, steps: int | None, solver: str | None, guidance: float | None, compat: str
    ) -> tuple[sampling.SamplingOptions, Compat]:
        """Those of the weights with what `react` was asked for, and the published faults to repeat."""
        options = self.checkpoint.sampling
        if steps is not None:
            options = replace(options, steps=steps)
        if solver is not None:
            options = replace(options, solver=solver)
        if guidance is not None:
            options = replace(options, guidance=guidance)
        if options.solver not in SOLVERS:
            raise InputError(f"There is no solver '{options.solver}'; expected {' or '.join(SOLVERS)}.")
        if not 2 <= options.steps <= sampling.TRAIN_STEPS:
            raise InputError(f"{options.steps} denoising steps asked for; expected 2 to {sampling.TRAIN_STEPS}.")
        faults = Compat.parse(compat)
        if faults != Compat() and not self.checkpoint.published:
            raise InputError(f"'{self.checkpoint.name}' are not the paper's weights; they know no '{compat}' way.")
        return replace(options, discard_last_call=faults.discard_last_call), faults

    def _sample(
        self,
        speaker: inference.SpeakerClips,
        samples: int,
        seed: int,
        options: sampling.SamplingOptions,
        faults: Compat,
        progress: Callable[[float], None] | None,
    ) -> tuple[Tensor, np.ndarray | None]:
        """Reactions (samples, frames, coefficients) in network units, and the attributes they were made from, if any.

        The emotion variant, and the published way of windows that do not know of one another, run as published.
        """
        denoiser, autoencoder = self.checkpoint.denoiser, self.checkpoint.autoencoder
        is_emotion = denoiser.config.variant == "emotion"
        if is_emotion or faults.isolated_windows:
            model = inference.PublishedModel(denoiser, autoencoder)
            noise = inference.seeded_noise(model, speaker, samples, options, seed)
            rows = inference.infer(model, speaker, noise, options, self._edits, faults, progress).reactions[0]
            if not is_emotion:
                return rows, None
            assert autoencoder is not None, "emotion weights have one"
            return autoencoder.regress(rows), rows.cpu().numpy()
        audio = speaker.audio[0]
        if self.checkpoint.sampling.audio_range:
            delayed = sampling.padded_slice(audio, -denoiser.config.reaction_delay, len(audio))
            audio = inference.scale_to_unit_range(audio, delayed if faults.audio_range_over_call else audio)
        streams = {"audio": audio, "coefficients": speaker.coefficients[0]}
        return sampling.sample_sequence(denoiser, streams, samples, seed, options, self._edits, progress), None


def _clip_expressions(reactions: np.ndarray) -> np.ndarray:
    """Reactions (…, frames, 58) with expressions clipped to 0 … 1."""
    out = reactions.copy()
    out[..., EXPRESSION] = np.clip(reactions[..., EXPRESSION], 0.0, 1.0)
    return out


def _smooth_head(reactions: np.ndarray, sigma: float) -> np.ndarray:
    """Reactions (K, T, 58) with turn, tilt and place of the head smoothed by a Gaussian of `sigma` frames.

    A generator that is not trained to the end leaves a little of its noise there. Nods are quick themselves, so the
    pitch is smoothed by a third of it.
    """
    out = reactions.copy()
    for columns, width in ((SLOW_HEAD_COLUMNS, sigma), ([CHANNEL["rotationX"]], sigma / 3)):
        out[..., columns] = gaussian_filter1d(reactions[..., columns], width, axis=1, mode="nearest")
    return out
