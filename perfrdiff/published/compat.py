"""Where the published code does something that is a defect, each as one named option; False is the corrected way.

The numbers are those of the quirks in docs/method.md 12. Metrics have their own two columns, see
`perfrdiff.metrics.challenge`. Light to import: the shell's --help stands on it.
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
        "back in; corrected: its prediction is the result (quirk 2)."
    )
    audio_range_over_call: bool = _quirk(
        "The render variant scales audio by the extremes of everything in the call, other clips and zero padding "
        "included; corrected: by those of the clip (quirk 15)."
    )
    isolated_windows: bool = _quirk(
        "The render variant is trained with a delay of 8 frames and the listener's own past frames, and tested with a "
        "delay of 25 and no past; corrected: test as trained, each window continues the one before (quirks 9, 10)."
    )
    out_of_range: bool = _quirk(
        "Attributes are clamped to -1 … 1 although action units and probabilities live in 0 … 1; corrected: every "
        "column ends in its own range (quirk 2)."
    )

    @classmethod
    def parse(cls, text: str) -> "Compat":
        """`"corrected"`: no fault, `"published"`: every fault, or the names of some, with commas between.

        Raises InputError for another name.
        """
        names = [quirk.name for quirk in fields(cls)]
        if text == "published":
            return cls(**dict.fromkeys(names, True))
        chosen = [] if text == "corrected" else [name.strip() for name in text.split(",")]
        for name in chosen:
            if name not in names:
                raise InputError(
                    f"compat must be 'corrected', 'published' or some of {', '.join(names)}, with commas between; "
                    f"it is '{text}'."
                )
        return cls(**dict.fromkeys(chosen, True))


def reasons() -> dict[str, str]:
    """Name of every option -> what the published code does, and what the corrected behaviour is."""
    return {quirk.name: quirk.metadata["reason"] for quirk in fields(Compat)}


CORRECTED = Compat()
PUBLISHED = Compat.parse("published")
