"""What one run is asked for, and what it hands back. Light to import: the shell's --help stands on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from perfrdiff.errors import InputError
from perfrdiff.published.compat import Compat

LOOKS = ("mesh", "photo")
SIZES = (256, 512, 224)  # the usual one first; 224 is what the REACT challenge's own videos have
MESH_LOOKS = ("studio", "grey")  # lit and coloured; or as in the REACT challenge's videos, flat grey on black
ANIMATORS = ("auto", "warp", "pirender")  # of the photo; auto: PIRender where its weights are present
LONGEST_NAME = 24
MOST_SAMPLES = 10
LONGEST_SECONDS = 120.0  # a speaker clip; two minutes take some minutes to draw on two cores
STRONGEST = 2.0
HIGHEST_GUIDANCE = 10.0
HIGHEST_SHARE = 2.0  # of a saved shift in a mixture, to either side
MOST_STEPS = 1000


@dataclass(frozen=True, kw_only=True)
class ReactRequest:
    """One run: a speaker, a listener, and how many reactions in which form.

    Raises InputError, in one sentence, for a setting out of its range. The files are looked at when the run starts.
    """

    speaker: Path  # a video of somebody talking, or a features file of one
    listener: Path  # a photo, a video or a features file of the person who is to react
    out: Path  # folder for the results
    samples: int = 3  # number of different reactions, 1 … 10
    seed: int = 0  # same seed, settings and weights: same reactions
    speaker_person: int | None = None  # whom of the speaker's video to follow, from 1; None: the largest steady face
    listener_person: int | None = None  # the same for the listener's video
    looks: tuple[str, ...] = LOOKS  # "mesh" (a drawn head), "photo" (the listener's picture moves), or both
    style: str | None = None  # name of a listening style; None: the video's own habits, or the first style for a photo
    strength: float = 1.0  # of the personal style: 0 generic, 1 as learnt, up to 2
    guidance: float | None = None  # classifier-free guidance scale, 0 … 10; None: what the weights were tuned for
    steps: int | None = None  # denoising steps; None: what the weights were tuned for
    compat: str = "corrected"  # "published" or names of faults of the published code (published.compat) to repeat
    shifts: tuple[tuple[Path, float], ...] = ()  # saved listener's shifts and their shares, in place of a style
    save_shift: Path | None = None  # file to keep the listener's shift in
    size: int = 256  # edge of a reaction's square in pixels: 256, 512 or 224
    mesh_look: str = "studio"  # "studio", or "grey" as in the REACT challenge's videos
    person: str = "Alex"  # who the studio mesh shows: a name in renderer.studio.PEOPLE
    transparent: bool = False  # a further mesh video of each reaction without a ground: WebM, VP9 with alpha, silent
    animator: str = "auto"  # of the photo: "warp" (built in), "pirender", or "auto": PIRender if its weights are there
    name: str = "Listener"  # what the captions call the listener; kept nowhere else
    label: bool = True  # stamp a small "AI-generated" on the videos (their metadata says so in any case)
    max_seconds: float = LONGEST_SECONDS  # refuse longer speaker clips, 1 … 120
    weights: str = "demo"  # name of the weights
    device: str | None = None  # torch device; None: a GPU if there is one
    overwrite: bool = False  # allow an out folder that is not empty

    def __post_init__(self) -> None:
        _within("samples", self.samples, 1, MOST_SAMPLES)
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("strength", self.strength, 0, STRONGEST)
        _within("max_seconds", self.max_seconds, 1, LONGEST_SECONDS)
        if self.guidance is not None:
            _within("guidance", self.guidance, 0, HIGHEST_GUIDANCE)
        if self.steps is not None:
            _within("steps", self.steps, 2, MOST_STEPS)
        Compat.parse(self.compat)
        for path, share in self.shifts:
            _within(f"the share of {path.name}", share, -HIGHEST_SHARE, HIGHEST_SHARE)
        if self.shifts and self.style is not None:
            raise InputError("A style and a saved shift were both given; the listener can have one of them.")
        if self.size not in SIZES:
            raise InputError(f"size must be {' or '.join(map(str, SIZES))} pixels; it is {self.size}.")
        for setting, known in (("mesh_look", MESH_LOOKS), ("animator", ANIMATORS)):
            if getattr(self, setting) not in known:
                raise InputError(f"{setting} must be {' or '.join(known)}; it is {getattr(self, setting)}.")
        if len(self.name) > LONGEST_NAME or not self.name.isprintable():
            raise InputError(f"name must be at most {LONGEST_NAME} letters on one line.")
        if not self.looks or set(self.looks) - set(LOOKS) or len(set(self.looks)) < len(self.looks):
            raise InputError(f"looks must name {' or '.join(LOOKS)} or both; it is {', '.join(self.looks) or 'empty'}.")
        object.__setattr__(self, "looks", tuple(look for look in LOOKS if look in self.looks))

    def public(self) -> dict:
        """The settings without anything that names a person's file or folder."""
        hidden = ("speaker", "listener", "out", "weights", "device", "overwrite", "shifts", "save_shift", "name")
        shown = {name: value for name, value in asdict(self).items() if name not in hidden}
        return shown | {"shares_of_saved_shifts": [share for _, share in self.shifts]}


@dataclass(frozen=True)
class Reaction:
    """The files of one reaction."""

    number: int  # 1 … K
    videos: dict[str, Path]  # look -> MP4, square, with the speaker's sound
    csv: Path  # coefficients, one row a frame: time_s and the 58 channels by name
    transparent: Path | None = None  # the mesh without a ground, WebM; only where it was asked for


@dataclass(frozen=True)
class ReactResult:
    """The files of one run, all in one folder, and what a person should know about it."""

    folder: Path
    side_by_side: Path  # MP4: the speaker and all reactions in step, with sound
    reactions: tuple[Reaction, ...]
    coefficients: Path  # .npz: coefficients (K, T, 58) float32, names (58,), fps
    settings: Path  # .json: settings, seed, versions, weights, notes
    archive: Path  # .zip of everything above
    frames: int  # T, at 25 per second
    style: str  # the listening style that was used, in words
    habits: tuple[tuple[str, str], ...] = ()  # what was measured on a listener's video: name and value, in words
    notes: tuple[str, ...] = ()  # what was missing or filled in, one sentence each
    stage_seconds: dict[str, float] = field(default_factory=dict)  # stage -> wall time


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also catches NaN
        raise InputError(f"{name} must lie between {low:g} and {high:g}; it is {value:g}.")
