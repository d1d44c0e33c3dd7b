"""`perfrdiff features`, `people` and `habits`: what is read from a video. Nothing heavy is imported before one runs."""

import argparse
from pathlib import Path

from perfrdiff.cli.command import Command
from perfrdiff.errors import InputError

LAYOUTS = ("table", "react2024")


def _add_features_arguments(command: argparse.ArgumentParser) -> None:
    _add_video(command)
    _add_face_number(command)
    command.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help=".npz or .csv; with --layout react2024 a folder"
    )
    command.add_argument(
        "--layout",
        choices=LAYOUTS,
        default="table",
        help="react2024: 3D_FV_files, Emotion and Audio_files (default: table)",
    )
    command.add_argument(
        "--match-react",
        action="store_true",
        help="shift and stretch every channel to the mean and spread of the REACT 2024 data, for the paper's weights",
    )
    command.add_argument(
        "--affect-network",
        dest="attribute_network",
        type=Path,
        metavar="FILE.onnx",
        help="reads valence, arousal and expressions in place of the rules (perfrdiff/features/attribute_network.py "
        "says what it must look like; default: checkpoints/affect.onnx where it is there)",
    )


def _add_people_arguments(command: argparse.ArgumentParser) -> None:
    _add_video(command)
    command.add_argument("--out", type=Path, required=True, metavar="PICTURE", help="for example people.png")


def _add_habits_arguments(command: argparse.ArgumentParser) -> None:
    _add_video(command)
    _add_face_number(command)


def _add_video(command: argparse.ArgumentParser) -> None:
    command.add_argument("video", type=Path, metavar="VIDEO", help="a video of 1 to 120 seconds")


def _add_face_number(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--face-number",
        "--person",  # its name in 0.1.0
        type=int,
        metavar="N",
        help="which face to follow, as 'people' numbers them (default: the largest)",
    )


def _features(options: argparse.Namespace) -> int:
    from perfrdiff.features.clip import read_speaker
    from perfrdiff.features.match_react import matched_to_react
    from perfrdiff.features.tables import FeatureTable, write_react_layout, write_table
    from perfrdiff.features.tracking.signals import QUALITIES

    if options.layout == "table" and options.out.suffix not in (".npz", ".csv"):
        raise InputError(f"{options.out.name} ends in neither .npz nor .csv; name the features file with one of them.")
    speaker = read_speaker(options.video, face_number=options.face_number, attribute_network=options.attribute_network)
    coefficients = speaker.coefficients
    if options.match_react:
        coefficients = matched_to_react(coefficients)
    has_audio = speaker.waveform is not None
    table = FeatureTable(
        coefficients, speaker.attributes, speaker.audio, speaker.quality, has_audio, hearing=speaker.hearing
    )
    if options.layout == "react2024":
        paths = write_react_layout(options.out, options.video.stem, table, speaker.waveform)
    else:
        write_table(options.out, table)
        paths = [options.out]
    for note in speaker.notes:
        print(f"Note: {note}")
    shares = [f"{(speaker.quality == index).mean():.0%} {name}" for index, name in enumerate(QUALITIES)]
    print(f"{len(coefficients)} frames ({', '.join(shares)}): {', '.join(str(path) for path in paths)}")
    return 0


def _people(options: argparse.Namespace) -> int:
    from perfrdiff.features.tracking.people import write_preview

    count = write_preview(options.video, options.out)
    print(f"{count} {'person' if count == 1 else 'people'} can be followed; 1 is the default: {options.out}")
    return 0


def _habits(options: argparse.Namespace) -> int:
    from perfrdiff.features.clip import read_listener

    listener = read_listener(options.video, face_number=options.face_number)
    if listener.habits is None:
        raise InputError(f"{options.video.name} is a photo; habits need a video.")
    for note in listener.notes:
        print(f"Note: {note}")
    for name, value in listener.habits.rows():
        print(f"{name:12}{value}")
    return 0


COMMANDS = (
    Command(
        "features",
        "read a video into a file of numbers",
        "Write the 58 coefficients, 25 facial attributes, 78 MFCCs, 8 numbers about what is heard and the quality of "
        "every frame of a video (or of a Live Link Face or OpenFace table). 'react' takes the file in place of the "
        "video.",
        _add_features_arguments,
        _features,
    ),
    Command(
        "people",
        "number the people of a video",
        "Write a picture with a number at each face.",
        _add_people_arguments,
        _people,
    ),
    Command(
        "habits",
        "measure how somebody listens",
        "Nods, smiles, blinks, gaze and pose of a listener's video or features file, where nobody talks.",
        _add_habits_arguments,
        _habits,
    ),
)
