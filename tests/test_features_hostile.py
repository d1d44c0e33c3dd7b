"""104 broken, hostile and odd files: each is read, or refused in one sentence, in bounded time and memory."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BAD = Path(os.environ.get("PERFRDIFF_MEDIA", ROOT.parent / "shared" / "media")) / "bad"
SECONDS = 60  # per file, on a busy machine

pytestmark = [
    pytest.mark.media,
    pytest.mark.slow,
    pytest.mark.skipif(not BAD.is_dir(), reason=f"{BAD} is not here"),
]


@pytest.fixture(scope="module")
def answers() -> dict[str, dict]:
    """What became of each file: photos as a listener, all others as a speaker."""
    with (BAD / "MANIFEST.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["category"] != "names"]
    jobs = []
    for row in rows:
        is_photo = row["category"] in ("still", "bomb") or row["file"].endswith(".jpg")
        jobs.append("{}\t{}".format("listener" if is_photo else "speaker", BAD / row["file"]))
    worker = subprocess.run(
        [sys.executable, "-m", "tests.support.read_hostile_files"],
        input="\n".join(jobs), capture_output=True, text=True, timeout=SECONDS * 10, check=False,
        cwd=ROOT,
    )  # fmt: skip
    assert worker.returncode == 0, worker.stderr[-2000:]
    found = {answer["file"]: answer for answer in map(json.loads, worker.stdout.splitlines())}
    return {row["file"]: found[row["file"]] | {"wanted": row["reasonable_behaviour"]} for row in rows}


def test_nothing_crashes_hangs_or_takes_much_memory(answers):
    assert len(answers) >= 90
    for name, answer in answers.items():
        assert answer["outcome"] in ("read", "refused"), (name, answer)
        assert answer["seconds"] < SECONDS, name
        assert answer.get("finite", True), name
        assert answer["sockets"] == 0, name
    assert max(answer["peak_mb"] for answer in answers.values()) < 1500


def test_each_file_meets_what_a_person_would_expect(answers):
    for name, answer in answers.items():
        if answer["wanted"].startswith("must work"):
            assert answer["outcome"] == "read", (name, answer)
        if "clear 4xx" in answer["wanted"]:
            assert answer["outcome"] == "refused", (name, answer)
        if answer["wanted"].startswith('clear "no face'):
            assert "No face was found" in answer["sentence"], (name, answer)


def test_refusals_are_one_sentence_that_names_the_file_and_no_folder(answers):
    for name, answer in answers.items():
        if answer["outcome"] == "refused":
            sentence = answer["sentence"]
            assert name in sentence, sentence
            assert "/" not in sentence and "\n" not in sentence and sentence.endswith(".")
            assert len(sentence) < 220, sentence


@pytest.mark.parametrize(
    ("name", "frames"),
    [("variable_frame_rate.mp4", 50), ("fps_1.mp4", 50), ("fps_120.mp4", 50), ("fps_29.97.mp4", 50),
     ("start_time_3600.ts", 50), ("declared_duration_huge.mp4", 50), ("audio_longer.mp4", 50),
     ("audio_shorter.mp4", 50), ("fragmented.mp4", 50), ("vp9_live_no_duration.webm", 50)],
)  # fmt: skip
def test_lengths_are_those_of_the_picture(answers, name, frames):
    assert answers[name]["frames"] == frames


def test_sound_is_found_and_silence_is_noted(answers):
    assert answers["audio_right_channel_only.mp4"]["heard"]
    assert answers["audio_96khz_5.1.mp4"]["heard"]
    assert any("silence" in note for note in answers["silent_track.mp4"]["notes"])
    assert any("no sound" in note for note in answers["no_audio.mp4"]["notes"])


def test_choices_are_stated(answers):
    assert any("2 faces" in note for note in answers["two_faces.mp4"]["notes"])
    assert any("2 faces" in note for note in answers["two_faces_portrait.jpg"]["notes"])


def test_photos_have_their_colours_and_stand_upright(answers):
    natural = answers["progressive.jpg"]["mean"]
    for name in ("cmyk_adobe.jpg", "cmyk_plain.jpg", "rgb_16bit.png", "portrait.webp", "exif_orientation_6.jpg"):
        assert answers[name]["mean"] == pytest.approx(natural, abs=6), name
    for name in ("alpha_rgba.png", "alpha_palette.png"):
        red, green, blue = answers[name]["mean"]
        assert green > 0.8 * max(red, blue), f"{name} shows the magenta under its transparency"
    for name in ("exif_orientation_3.jpg", "exif_orientation_6.jpg", "face_sideways_no_exif.jpg"):
        assert abs(answers[name]["roll"]) < 0.6, name
