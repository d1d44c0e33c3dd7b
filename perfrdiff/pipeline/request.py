"""The settings of one run. Every one stands here once: name, default, range, one sentence.

Shell, page, API and Python read them here and use these names. Light to import, because the shell's --help needs it.
"""

# ruff: noqa: RUF009 - `_setting` makes a dataclass field, no default that is shared

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from perfrdiff.errors import InputError
from perfrdiff.exports import MADE_WHEN_ASKED
from perfrdiff.features import MAX_SECONDS
from perfrdiff.models import SOLVERS
from perfrdiff.personal import MAX_STRENGTH
from perfrdiff.published.compat import Compat

VIEWS = ("mesh", "photo")
COMPARISONS = ("listeners", "strengths", "mixtures")
LISTENER = "listener"  # whom the mesh shows unless one of the made-up people is asked for
MAX_SHARE = 2.0  # of a saved shift in a mixture; the least is its negative
MAX_NAME_LENGTH = 24
MAX_SEED = 2**63 - 1
FORMER_NAMES = {
    "--speaker-person": "--speaker-face-number", "--listener-person": "--listener-face-number", "--looks": "--views",
    "--mesh-look": "--mesh-style", "--person": "--mesh-identity", "--guidance": "--guidance-scale",
}  # fmt: skip
"""Options of version 0.1.0 -> what they are called now; they are still taken, and a line says so."""
LATEST_SECOND = 86_400.0  # of a file, at which a part may start or end


@dataclass(frozen=True)
class Setting:
    """Type, help and range of one field of `ReactRequest`; it is in the field's metadata."""

    kind: str  # "whole", "number", "text", "flag", "path", "views", "exports" or "shifts"
    help: str  # one sentence part, without the default
    group: str  # "files", "reactions", "pictures" or "run"
    low: float | None = None
    high: float | None = None
    choices: tuple = ()
    optional: bool = False  # whether None is a value; `help` says what it means
    placeholder: str = ""  # for the value in the shell's help


def _setting(kind: str, group: str, help: str, default: object = MISSING, **more) -> Any:
    setting = Setting(kind, help, group, optional=default is None, **more)
    return field(default=default, metadata={"setting": setting})


@dataclass(frozen=True, kw_only=True)
class ReactRequest:
    """One run: a speaker, a listener, and how many reactions in which form.

    Values are converted to the field's type by one rule for all doors: "3" and 3.0 are the whole number 3, 2.5 is none.
    Raises InputError, in one sentence, for a value of another type or out of its range. The files are looked at when
    the run starts.
    """

    speaker: Path = _setting(
        "path", "files", "video of somebody talking, or a features file of one", placeholder="FILE"
    )
    listener: Path = _setting(
        "path", "files", "photo, video or features file of the person who is to react", placeholder="FILE"
    )
    speaker_face_number: int | None = _setting(
        "whole", "files", "which face of the speaker's video to follow, as 'people' numbers them; without it, the "
        "largest that stays", None, low=1, high=99, placeholder="N",
    )  # fmt: skip
    listener_face_number: int | None = _setting(
        "whole", "files", "the same for the listener's video or photo", None, low=1, high=99, placeholder="N"
    )
    speaker_start: float = _setting(
        "number", "files", "second at which the used part of the speaker's video starts", 0.0, low=0.0,
        high=LATEST_SECOND, placeholder="S",
    )  # fmt: skip
    speaker_end: float | None = _setting(
        "number", "files", "second at which it ends; without it, the video's end", None, low=0.0, high=LATEST_SECOND,
        placeholder="S",
    )  # fmt: skip
    listener_start: float = _setting(
        "number", "files", "second at which the used part of the listener's video starts", 0.0, low=0.0,
        high=LATEST_SECOND, placeholder="S",
    )  # fmt: skip
    listener_end: float | None = _setting(
        "number", "files", "second at which it ends; without it, the video's end", None, low=0.0, high=LATEST_SECOND,
        placeholder="S",
    )  # fmt: skip
    out: Path = _setting("path", "files", "folder for the results", placeholder="DIR")
    overwrite: bool = _setting("flag", "files", "allow a folder for the results that is not empty", False)

    samples: int = _setting("whole", "reactions", "number of different reactions", 3, low=1, high=10, placeholder="K")
    seed: int = _setting(
        "whole", "reactions", "the same seed, settings and weights give the same reactions", 0, low=0,
        high=MAX_SEED, placeholder="N",
    )  # fmt: skip
    style: str | None = _setting(
        "text", "reactions", "name of a listening style ('styles' lists them); without it, a listener video's own "
        "style, the first named one for a photo", None, placeholder="NAME",
    )  # fmt: skip
    strength: float = _setting(
        "number", "reactions", "how strong the style is: 0 generic, 1 as learnt, 2 exaggerated", 1.0, low=0.0,
        high=MAX_STRENGTH, placeholder="X",
    )  # fmt: skip
    guidance_scale: float | None = _setting(
        "number", "reactions", "classifier-free guidance scale: how closely the reactions follow the speaker; without "
        "it, what the weights were tuned for", None, low=0.0, high=10.0, placeholder="X",
    )  # fmt: skip
    steps: int | None = _setting(
        "whole", "reactions", "denoising steps; without it, what the weights were tuned for", None, low=2, high=1000,
        placeholder="N",
    )  # fmt: skip
    solver: str | None = _setting(
        "text", "reactions", "how these are taken: ddim, or dpm (DPM-Solver++ 2M), which needs fewer; without it, what "
        "the weights were tuned for", None, choices=SOLVERS,
    )  # fmt: skip
    shift: tuple[tuple[Path, float], ...] = _setting(
        "shifts", "reactions", "file of a listener's weight shift that save_shift kept, and its share (1 without a "
        "number), in place of a style; several are mixed", (), low=-MAX_SHARE, high=MAX_SHARE,
        placeholder="FILE",
    )  # fmt: skip
    other_listener: Path | None = _setting(
        "path", "reactions", "video, features file or saved weight shift of a second person, whose way of listening is "
        "mixed in", None, placeholder="FILE",
    )  # fmt: skip
    other_style: str | None = _setting(
        "text", "reactions", "name of a listening style to mix in, in place of a second person", None,
        placeholder="NAME",
    )  # fmt: skip
    other_share: float = _setting(
        "number", "reactions", "how much of the mixture is the other's: 0 nothing, 1 all", 0.5, low=0.0, high=1.0,
        placeholder="X",
    )  # fmt: skip
    other_name: str = _setting(
        "text", "reactions", "what a comparison calls the other listener", "Another listener", placeholder="NAME"
    )
    compare: str | None = _setting(
        "text", "reactions", "in place of several reactions, one of each at the same seed: 'listeners' (this, the "
        "other, generic, and a copy of the speaker), 'strengths' (0, 1 and 2), or 'mixtures' (steps from this listener "
        "to the other)", None, choices=COMPARISONS,
    )  # fmt: skip
    save_shift: Path | None = _setting(
        "path", "reactions", "file in which to keep what this listener adds to the generator's weights", None,
        placeholder="FILE",
    )  # fmt: skip
    compat: str = _setting(
        "text", "reactions", "'published' repeats the faults of the published code, for the paper's weights; or names "
        "of some of them with commas between ('compat' lists them)", "corrected", placeholder="WAY",
    )  # fmt: skip

    views: tuple[str, ...] = _setting(
        "views", "pictures", "what is drawn: a head as a mesh, the listener's photo set in motion, or both", VIEWS,
        choices=VIEWS,
    )  # fmt: skip
    size: int = _setting(
        "whole", "pictures", "edge of a reaction's picture in pixels; 224 is that of the REACT challenge's videos", 256,
        choices=(256, 512, 224),
    )  # fmt: skip
    mesh_style: str = _setting(
        "text", "pictures", "the mesh lit and coloured, or grey on black as in the REACT challenge's videos", "studio",
        choices=("studio", "grey"),
    )  # fmt: skip
    mesh_identity: str = _setting(
        "text", "pictures", "whom the mesh shows: the listener, or one of the made-up Alex, Mara, Kofi, Yuna, Omar and "
        "Edda", LISTENER, placeholder="NAME",
    )  # fmt: skip
    identity: Path | None = _setting(
        "path", "pictures", "file of the listener's head that save_identity kept, in place of one fitted to the photo",
        None, placeholder="FILE",
    )  # fmt: skip
    save_identity: Path | None = _setting(
        "path", "pictures", "file in which to keep the listener's head; it is a person's face", None,
        placeholder="FILE",
    )  # fmt: skip
    transparent: bool = _setting(
        "flag", "pictures", "also write each mesh without a ground (WebM, VP9 with alpha, silent)", False
    )
    animator: str = _setting(
        "text", "pictures", "what moves the photo: PIRender, the built-in warp, or auto, PIRender where its weights "
        "are present", "auto", choices=("auto", "warp", "pirender"),
    )  # fmt: skip
    name: str = _setting("text", "pictures", "what the captions call the listener", "Listener", placeholder="NAME")
    label: bool = _setting(
        "flag", "pictures", "stamp a small 'AI-generated' on the videos (their metadata says so in any case)", True
    )
    credentials_key: Path | None = _setting(
        "path", "pictures", "private key (PEM) with which content credentials (C2PA) are signed into each MP4; needs "
        "the extra 'credentials'", None, placeholder="FILE",
    )  # fmt: skip
    credentials_certificate: Path | None = _setting(
        "path", "pictures", "its certificate (PEM), followed by those that signed it", None, placeholder="FILE"
    )

    exports: tuple[str, ...] = _setting(
        "exports", "files", "what else to write for other programs ('export' does so later)", (),
        choices=MADE_WHEN_ASKED,
    )  # fmt: skip
    max_seconds: float = _setting(
        "number", "run", "longest speaker video that is taken, in seconds", MAX_SECONDS, low=1.0, high=MAX_SECONDS,
        placeholder="S",
    )  # fmt: skip
    weights: str = _setting("text", "run", "name of the weights", "demo", placeholder="NAME")
    device: str | None = _setting(
        "text", "run", "torch device, cpu or cuda; without it, cuda if there is one", None, placeholder="NAME"
    )

    def __post_init__(self) -> None:
        for name, setting in SETTINGS.items():
            object.__setattr__(self, name, _convert(name, setting, getattr(self, name)))
        Compat.parse(self.compat)
        if self.shift and self.style is not None:
            raise InputError("A style and a saved shift were both given; the listener can have one of them.")
        if self.identity is not None and self.mesh_identity != LISTENER:
            raise InputError(f"A saved head and '{self.mesh_identity}' were both given; the mesh can show one of them.")
        for who in ("speaker", "listener"):
            start, end = getattr(self, f"{who}_start"), getattr(self, f"{who}_end")
            if end is not None and not start < end:
                raise InputError(f"{who}_end must lie after {who}_start; they are {end:g} and {start:g}.")
        if self.other_listener is not None and self.other_style is not None:
            raise InputError("other_listener and other_style were both given; the other can be one of them.")
        if self.compare == "mixtures" and not self.has_other:
            raise InputError("A comparison of mixtures needs a second one: give other_listener or other_style.")
        if (self.credentials_key is None) != (self.credentials_certificate is None):
            raise InputError(
                "Content credentials need both: give the key (credentials_key) and its certificate "
                "(credentials_certificate)."
            )
        for name in ("name", "other_name"):
            if len(getattr(self, name)) > MAX_NAME_LENGTH or not getattr(self, name).isprintable():
                raise InputError(f"{name} must be at most {MAX_NAME_LENGTH} letters on one line.")

    @property
    def has_other(self) -> bool:
        """Whether there is a second listener, to be mixed in or compared."""
        return self.other_listener is not None or self.other_style is not None

    @property
    def count(self) -> int:
        """How many reactions the run makes: `samples`, or the cells of its comparison."""
        cells = {"listeners": 3 + self.has_other, "strengths": 3, "mixtures": 5}
        return self.samples if self.compare is None else cells[self.compare]

    def public(self) -> dict:
        """The settings without anything that names a person's file or folder, as JSON can hold them."""
        private = (
            "speaker", "listener", "out", "weights", "device", "overwrite", "shift", "save_shift", "name", "identity",
            "save_identity", "other_listener", "other_name", "credentials_key", "credentials_certificate",
        )  # fmt: skip
        public = {name: getattr(self, name) for name in SETTINGS if name not in private}
        lists = {"views": list(self.views), "exports": list(self.exports)}
        files = {
            "shares_of_shifts": [share for _, share in self.shift],
            "has_other_listener": bool(self.other_listener),
        }
        return public | lists | files


SETTINGS: Mapping[str, Setting] = {one.name: one.metadata["setting"] for one in fields(ReactRequest)}
DEFAULTS: Mapping[str, object] = {one.name: one.default for one in fields(ReactRequest) if one.default is not MISSING}


def _convert(name: str, setting: Setting, value: object) -> object:
    """A value as its field holds it; InputError for another type or one out of range."""
    if value is None and setting.optional:
        return None
    value = _CONVERTERS[setting.kind](name, value)
    if setting.kind in ("views", "exports"):
        return value
    if setting.choices and value not in setting.choices:
        raise InputError(f"{name} must be {_listed(setting.choices)}; it is {value}.")
    if setting.low is not None and setting.high is not None:
        for what, number in _numbers(name, setting, value):
            if not setting.low <= number <= setting.high:  # also catches NaN
                raise InputError(f"{what} must lie between {setting.low:g} and {setting.high:g}; it is {number:g}.")
    return value


def _numbers(name: str, setting: Setting, value) -> list[tuple[str, float]]:
    """The numbers of a value that have a range, each with what it is called in a sentence."""
    if setting.kind == "shifts":
        return [(f"the share of {path.name}", share) for path, share in value]
    return [(name, value)]


def _number(name: str, value: object) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"{name} must be a number; it is {value}.") from None


def _whole(name: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _number(name, value)
    if not number.is_integer():
        raise InputError(f"{name} must be a whole number; it is {value}.")
    return int(number)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false; it is {value}.")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} must be a text; it is {value}.")
    return value


def _path(name: str, value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise InputError(f"{name} must be a file or folder; it is {value or 'empty'}.")
    return Path(value)


def _views(name: str, value: object) -> tuple[str, ...]:
    chosen = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, tuple | list) else ()
    if not chosen or set(chosen) - set(VIEWS) or len(set(chosen)) < len(chosen):
        words = ", ".join(map(str, chosen)) or "empty"
        raise InputError(f"{name} must name {' or '.join(VIEWS)} or both; it is {words}.")
    return tuple(view for view in VIEWS if view in chosen)


def _exports(name: str, value: object) -> tuple[str, ...]:
    """Names of exports, each once."""
    chosen = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, tuple | list) else (value,)
    unknown = [one for one in chosen if one not in MADE_WHEN_ASKED]
    if unknown:
        raise InputError(f"{name} takes {_listed(MADE_WHEN_ASKED)}; it is {unknown[0] or 'empty'}.")
    return tuple(one for one in MADE_WHEN_ASKED if one in chosen)


def _shifts(name: str, value: object) -> tuple[tuple[Path, float], ...]:
    """Pairs of a file and its share, of entries that are files or such pairs."""
    pairs = []
    for entry in value if isinstance(value, tuple | list) else (value,):
        path, *share = entry if isinstance(entry, tuple | list) and entry else (entry,)
        if len(share) > 1:
            raise InputError(f"{name} takes files, each with one number at most, its share; it is {value}.")
        path = _path(name, path)
        pairs.append((path, _number(f"the share of {path.name}", share[0]) if share else 1.0))
    return tuple(pairs)


_CONVERTERS: Mapping[str, Callable[[str, object], object]] = {
    "whole": _whole, "number": _number, "flag": _flag, "text": _text, "path": _path, "views": _views,
    "exports": _exports, "shifts": _shifts,
}  # fmt: skip


def _listed(values: tuple) -> str:
    """a, b or c."""
    *first, last = map(str, values)
    return f"{', '.join(first)} or {last}" if first else last
