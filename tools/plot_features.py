"""A picture of a clip's features over time: head, face, facial attributes, audio and the quality of each frame.

    python -m tools.plot_features VIDEO --out clip.png [--face-number N]

To be looked at beside the video: a smile must show where there is one, a blink as a narrow peak in both lids, a nod in
the pitch. A features file does as well as a video.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from perfrdiff.coefficients import CHANNEL, FPS, ROTATION, TRANSLATION
from perfrdiff.errors import InputError
from perfrdiff.features.attributes import ATTRIBUTE_NAMES, EXPRESSION_LABELS
from perfrdiff.features.clip import Speaker, read_speaker
from perfrdiff.features.media.local_file import display_name
from perfrdiff.features.mouth_activity import speech_frames
from perfrdiff.features.tracking.signals import QUALITIES

PANELS = (
    ("brows", ("browInnerUp", "browOuterUp", "browDown")),
    ("lids and eyes", ("eyeBlink", "eyeSquint", "eyeWide")),
    ("gaze", ("eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeLookDown")),
    ("mouth", ("jawOpen", "mouthSmile", "mouthFrown", "mouthPress", "mouthPucker", "mouthUpperUp")),
    ("cheeks, nose, jaw", ("cheekPuff", "noseSneer", "jawLeft", "jawRight", "mouthRollUpper", "mouthShrugUpper")),
)
SHADES = {"coarse": "#f4e3b2", "bridged": "#cfe0f2", "filled": "#f2c6b9"}


def plot(speaker: Speaker, title: str, out: Path) -> None:
    """Draw every stream of a clip over time into a picture file."""
    rows, time = speaker.coefficients, np.arange(len(speaker.coefficients)) / FPS
    figure, axes = plt.subplots(len(PANELS) + 4, 1, figsize=(14, 20), sharex=True, layout="constrained")
    axes[0].plot(time, np.degrees(rows[:, ROTATION] - [np.pi, 0, 0]), label=["pitch (down +)", "yaw (left +)", "roll"])
    axes[0].set_ylabel("head, degrees")
    axes[1].plot(time, rows[:, TRANSLATION] - rows[:, TRANSLATION].mean(axis=0), label=["x", "y", "z"])
    axes[1].set_ylabel("place, units")
    for axis, (name, channels) in zip(axes[2:], PANELS, strict=False):
        for channel in channels:
            if channel in CHANNEL:
                axis.plot(time, rows[:, CHANNEL[channel]], label=channel)
                continue
            (line,) = axis.plot(time, rows[:, CHANNEL[channel + "Left"]], label=channel)
            axis.plot(time, rows[:, CHANNEL[channel + "Right"]], "--", color=line.get_color(), linewidth=0.9)
        axis.set_ylim(0, 1)
        axis.set_ylabel(name)
    attributes = axes[-2]
    labels = speaker.attributes[:, -len(EXPRESSION_LABELS) :]
    attributes.stackplot(time, labels.T, labels=EXPRESSION_LABELS, alpha=0.5)
    for name, style in (("valence", "k-"), ("arousal", "k--")):
        attributes.plot(time, speaker.attributes[:, ATTRIBUTE_NAMES.index(name)], style, linewidth=1, label=name)
    attributes.set_ylim(-1, 1)
    attributes.set_ylabel("facial attributes")
    axes[-1].plot(time, speaker.audio[:, :2].mean(axis=1), label="log energy")
    axes[-1].fill_between(time, 0, 5 * speech_frames(rows, speaker.audio), alpha=0.2, step="mid", label="talks")
    axes[-1].set_ylabel("audio")
    axes[-1].set_xlabel("seconds (left side of the face solid, right dashed)")
    for axis in axes:
        for index, quality in enumerate(QUALITIES):
            if quality in SHADES and speaker.quality is not None:
                axis.fill_between(
                    time, 0, 1, where=speaker.quality == index, color=SHADES[quality], zorder=0,
                    transform=axis.get_xaxis_transform(),
                )  # fmt: skip
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
        axis.grid(alpha=0.3)
    axes[0].set_title(f"{title}: shaded where " + ", ".join(f"{name}" for name in SHADES))
    figure.savefig(out, dpi=70)
    plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--out", type=Path, required=True, metavar="PICTURE")
    parser.add_argument("--face-number", type=int, metavar="N")
    options = parser.parse_args()
    try:
        speaker = read_speaker(options.video, face_number=options.face_number)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    plot(speaker, display_name(options.video), options.out)
    for note in speaker.notes:
        print(f"Note: {note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
