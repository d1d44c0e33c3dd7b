"""What the browser is given of a run: the same movements as in the videos, and words that are true."""

import gzip
import json
import struct

import numpy as np
import pytest

from page import showcase
from page.watch import SHOWCASE, RunShown
from page.watch import showcase as showcase_value
from page.watch_data import COEFFICIENTS, CURVES, HEAD, SCALE, curves, describe, loudness, write_watch_files
from perfrdiff.coefficients import CHANNEL, WIDTH, neutral
from perfrdiff.data.simulator.motion import Motion
from perfrdiff.features.clip import Speaker
from perfrdiff.features.media.audio_track import RATE, Audio
from perfrdiff.pipeline.request import SETTINGS
from renderer.coefficients import plausible_coefficients
from renderer.resources import asset

FRAMES = 100


def speaker(waveform=None, frames=FRAMES):
    rows = np.tile(neutral(), (frames, 1))
    return Speaker(np.zeros((frames, 78), np.float32), rows, np.zeros((frames, 25), np.float32), waveform)


@pytest.fixture(scope="module")
def reactions():
    """Two reactions of four seconds: one nods and smiles, one hardly moves."""
    lively, calm = Motion(FRAMES), Motion(FRAMES)
    lively.nod(1.0, 6.0, 2.2, 2.0)
    lively.add("mouthSmile", 0.5 * lively.envelope(2.0, 0.4, 0.8, 0.4))
    calm.blink(2.0, 0.7)
    return np.stack([motion.coefficients() for motion in (lively, calm)]).astype(np.float32)


def test_the_browser_gets_the_movements_that_the_videos_show(tmp_path, reactions):
    path = write_watch_files(tmp_path, reactions, speaker(), style="Warm", head="Alex")
    about = json.loads(path.read_text())
    stored = np.frombuffer((tmp_path / COEFFICIENTS).read_bytes(), "<i2").reshape(about["coefficients"]["shape"])
    drawn = np.stack([plausible_coefficients(rows) for rows in reactions])
    np.testing.assert_allclose(stored * about["coefficients"]["scale"], drawn, atol=0.51 / SCALE)
    head = gzip.decompress((tmp_path / HEAD).read_bytes())
    assert head[:4] == b"glTF" and struct.unpack("<I", head[8:12])[0] == len(head)
    assert about["head"]["focal"] > 1 and about["frames"] == FRAMES


def test_places_as_far_away_as_a_camera_holds_can_be_stored():
    farthest = plausible_coefficients(np.full((1, WIDTH), 99.0, np.float32))
    assert np.abs(farthest).max() * SCALE < 2**15


def test_the_description_tells_what_each_reaction_did(reactions):
    about = describe(reactions, speaker(), "Warm", [("Nods", "8 a minute")])
    first, second = about["reactions"]
    assert [event["kind"] for event in first["events"]] == ["nod", "smile"]
    assert first["events"][0]["words"] == "Nod, 5°" and first["events"][0]["cue"] is None
    assert [event["kind"] for event in second["events"]] == ["blink"]
    assert [len(one) for one in first["curves"]] == [FRAMES] * len(CURVES)
    assert first["card"]["Nods"].startswith("15 a minute") and second["card"]["Nods"].startswith("0 a minute")
    assert about["listener"]["habits"] == {"Nods": "8 a minute"}
    assert "two of these reactions are" in about["differ"]
    assert describe(reactions[:1], speaker(), "Warm")["differ"] == "", "one reaction differs from none"


def test_curves_have_the_sign_that_their_label_says(reactions):
    rows = np.tile(neutral(), (50, 1))
    rows[20:30, CHANNEL["rotationX"]] += np.radians(10)  # chin down
    rows[20:30, [CHANNEL["eyeLookOutLeft"], CHANNEL["eyeLookInRight"]]] = 0.5
    rows[20:30, CHANNEL["browInnerUp"]] = 0.4
    shown = curves(rows)
    assert list(shown) == [name for name, _, _ in CURVES]
    assert shown["nod"][25] == pytest.approx(10, abs=1e-3) and shown["nod"][0] == 0
    assert shown["gaze"][25] == pytest.approx(17.5, abs=0.1)
    assert shown["brows"][25] == pytest.approx(0.4)


def test_a_clip_too_short_for_movements_is_described_without_them():
    about = describe(np.tile(neutral(), (2, 5, 1)), speaker(frames=5), "Warm")
    assert all(one["events"] == [] and one["card"] == {} for one in about["reactions"])


def test_loudness_follows_the_sound():
    samples = np.zeros(RATE)
    samples[RATE // 2 :] = 0.5 * np.sin(np.arange(RATE // 2))
    level = loudness(samples, RATE, 25)
    assert level[:12].max() == 0 and level[13:].min() > 0.95
    silent = describe(np.tile(neutral(), (1, 25, 1)), speaker(Audio(np.zeros(RATE, np.float32)), 25), "Warm")
    assert silent["speaker"]["phrases"] == [] and max(silent["speaker"]["loudness"]) == 0


def test_the_page_opens_with_an_example_whose_files_are_all_there():
    """Made by tools/make_showcase.py; its movements are those of the videos, frame for frame."""
    value = json.loads(showcase_value())
    count = showcase.settings()["samples"]
    assert value["kind"] == "example" and list(value["videos"]) == [str(number) for number in range(1, count + 1)]
    names = [address.rpartition("/")[2] for views in value["videos"].values() for address in views.values()]
    assert len(names) == 2 * count and all((SHOWCASE / name).is_file() for name in names)
    assert sum(file.stat().st_size for file in SHOWCASE.glob("*.mp4")) < 3_000_000
    about = json.loads((SHOWCASE / "watch.json").read_text())
    assert about["coefficients"]["shape"] == [count, about["frames"], WIDTH]
    assert (SHOWCASE / COEFFICIENTS).stat().st_size == 2 * count * about["frames"] * WIDTH
    assert (SHOWCASE / about["head"]["file"]).is_file() and about["speaker"]["phrases"]
    assert set(showcase.settings()) <= set(SETTINGS) and asset(showcase.SPEAKER).is_file()


def test_a_run_is_first_seen_without_videos(tmp_path):
    shown = RunShown(tmp_path / "run-1-watch", tmp_path / "a talk.mp4", 2.5)
    value = json.loads(shown.first_seen("Warm"))
    assert value["pending"] and value["videos"] == {} and value["start"] == 2.5 and value["id"] == "run-1-watch"
    assert value["speaker"].endswith("a%20talk.mp4"), "names of people's files may hold anything"
    left = json.loads(shown.unfinished("Warm"))
    assert not left["pending"] and "ended before" in left["note"], "nobody waits for videos that do not come"
