"""Where the published code does something that is a defect, each as one named option; False is the sound behaviour.

The numbers are those of the quirks in docs/method.md 12. Metrics have their own two columns, see
`perfrdiff.metrics`.
"""

from dataclasses import dataclass, field, fields

from perfrdiff.errors import InputError


def _quirk(reason: str) -> bool:
    return field(default=False, metadata={"reason": reason})


@dataclass(frozen=True)
class Compat:
    """Faults of the published inference to reproduce."""

    discard_last_call: bool = _quirk(
        "The last denoising step goes from 0 to 0, so the 50th network call is thrown away and a little noise is mixed "
        "back in; sound: its prediction is the result (quirk 2)."
    )
    audio_range_over_call: bool = _quirk(
        "The render variant scales audio by the extremes of everything in the call, other clips and zero padding "
        "included; sound: by those of the clip (quirk 15)."
    )
    isolated_windows: bool = _quirk(
        "The render variant is trained with a delay of 8 frames and the listener's own past frames, and tested with a "
        "delay of 25 and no past; sound: test as trained, each window continues the one before (quirks 9, 10)."
    )
    out_of_range: bool = _quirk(
        "Attributes are clamped to -1 … 1 although action units and probabilities live in 0 … 1; sound: every column "
        "ends in its own range (quirk 2)."
    )
    run_prior: bool = _quirk(
        "The diffusion prior runs, although its output goes into a condition that is switched off; sound: it does not "
        "run, the result is the same to the bit (quirk 1)."
    )
    zero_query_rows: bool = _quirk(
        "An editor that predicts whole weights for key and value sets the query's rows to zero; sound: they stay as "
        "they are (docs/method.md 7.3)."
    )

    @classmethod
    def named(cls, name: str) -> "Compat":
        """`"published"`: every fault, `"sound"`: none. Raises InputError for another name."""
        if name not in ("published", "sound"):
            raise InputError(f"There is no compatibility '{name}'; it is 'published' or 'sound'.")
        return cls(**{quirk.name: name == "published" for quirk in fields(cls)})


def reasons() -> dict[str, str]:
    """Name of every option -> what the published code does, and what the sound behaviour is."""
    return {quirk.name: quirk.metadata["reason"] for quirk in fields(Compat)}


SOUND = Compat.named("sound")
PUBLISHED = Compat.named("published")
