"""What a visitor reads about a file before any button: what it is, and whatever is known to be wrong with it."""

from types import SimpleNamespace
from unittest.mock import patch

import av
import gradio as gr
import numpy as np
import pytest

from page.build import build
from page.inputs import InputCard, OtherCard
from page.live import LiveServer
from page.live_heads import LiveHeads
from page.previews import write_preview
from page.understood import Understood, understand
from page.understood_words import strip, view
from perfrdiff.coefficients import neutral
from perfrdiff.features.media.images import read_image
from perfrdiff.features.media.input import Part
from perfrdiff.pipeline import input_memory
from perfrdiff.pipeline.input_memory import InputMemory
from perfrdiff.pipeline.listeners import other_listener
from perfrdiff.pipeline.request import ReactRequest
from tests.support.clips import click, cut, grey, ramp, two_people, write_clip


def last(path, role):
    *_, found = understand(path, role)
    return found


def test_a_speaker_is_measured_heard_and_seen(speaker):
    found = last(speaker, "speaker")
    assert (found.kind, found.faces, found.trouble) == ("video", 1, "")
    assert found.facts == ("2.0 s", "512 x 512", "with sound") and found.seconds == pytest.approx(2.0, abs=0.05)
    assert len(found.loudness) == 120 and max(found.loudness) == 1.0 and min(found.loudness) < 0.5
    words = view(found, "speaker") + strip(found, "speaker")
    assert words.count("data:image/jpeg") == 2 and "1 face found" in words and "Loudness" in words


def test_of_several_faces_the_number_is_known(portrait, tmp_path):
    assert last(two_people(tmp_path / "two.mp4", read_image(portrait)), "speaker").faces == 2
    assert last(portrait, "listener").faces == 1


@pytest.mark.parametrize("name, role, sentence", [
    ("letter.png", "listener", "“letter.png” is damaged, or neither a video nor a picture"),
    ("photo.png", "speaker", "“photo.png” is a picture; a video is needed here."),
    ("photo.png", "listener", "No face was found in “photo.png”; use a picture"),
    ("wall.mp4", "speaker", "No face was found in “wall.mp4”; use a video"),
    ("short.mp4", "speaker", "“short.mp4” lasts 0.4 s; at least 1 s are needed."),
    ("wall.mp4", "listener", "“wall.mp4” lasts 1.6 s; give a listener video of at least 2 s or a photo."),
    ("empty.mp4", "speaker", "“empty.mp4” is empty"),
    ("style.safetensors", "listener", "style.safetensors"),
    ("photo.png", "other_listener", "“photo.png” is a photo, which shows no way of listening"),
    ("letter.png", "other_listener", "“letter.png” is damaged, or neither a video nor a picture"),
    ("short.mp4", "other_listener", "“short.mp4” lasts 0.4 s; at least 1 s are needed."),
    ("wall.mp4", "other_listener", "“wall.mp4” lasts 1.6 s; give a listener video of at least 2 s."),
    ("style.safetensors", "other_listener", "style.safetensors"),
])  # fmt: skip
def test_what_is_wrong_is_said_at_once(tmp_path, name, role, sentence):
    from PIL import Image

    (tmp_path / "letter.png").write_text("this is a letter")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "style.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    Image.fromarray(grey(90, 300, 300)).save(tmp_path / "photo.png")
    write_clip(tmp_path / "wall.mp4", ramp(40), np.arange(40) / 25)
    write_clip(tmp_path / "short.mp4", ramp(10), np.arange(10) / 25)
    found = last(tmp_path / name, role)
    assert not found.kind and sentence in found.trouble and "Traceback" not in found.trouble


def test_a_long_clip_is_no_error_but_a_choice(tmp_path):
    """130 s, at most 120 s: the visitor chooses which, in place of being told of a setting that the page has not."""
    path = write_clip(tmp_path / "long.mp4", (grey(90) for _ in range(260)), np.arange(260) / 2)
    first = next(understand(path, "speaker"))
    assert first.part == Part(0.0, 120.0) and first.seconds == pytest.approx(130, abs=1) and first.kind == "video"
    assert any("130 s, at most 120 s: choose which part" in note for note in first.notes)


def test_of_another_listener_no_part_is_chosen(tmp_path):
    path = write_clip(tmp_path / "long.mp4", (grey(90) for _ in range(260)), np.arange(260) / 2)
    assert last(path, "other_listener").trouble == (
        "“long.mp4” lasts 130 s; of another listener at most 120 s are taken."
    )


def test_another_listener_is_understood_at_once_and_not_watched_twice(listener_video, tmp_path):
    """Face, habits, sentence: as of the listener, and what was read is there for the run."""
    with gr.Blocks():
        card = OtherCard(gr.File())
    clip, memory = cut(listener_video, tmp_path / "other.mp4", 2.4), InputMemory()
    *_, update = card.look(str(clip), tmp_path, memory)
    assert "1 face found" in update[card.view]["value"] and "Nods" in update[card.card]["value"]
    request = ReactRequest(speaker=clip, listener=clip, other_listener=clip, out=tmp_path / "out")
    reactor = SimpleNamespace(set_listener=lambda behaviour: None, shift="theirs")
    with patch.object(input_memory, "read_listener", side_effect=AssertionError("watched twice")):
        assert other_listener(reactor, memory, request).shift == "theirs"
    *_, update = card.look(None, tmp_path, memory)
    assert not any(update[part]["visible"] for part in card.parts)


def test_a_features_file_needs_no_face(tmp_path):
    np.savez(tmp_path / "talk.npz", coefficients=np.repeat(neutral()[None], 75, axis=0))
    assert last(tmp_path / "talk.npz", "speaker") == Understood(
        "table", ("features file", "3.0 s"), seconds=3.0, part=Part()
    )


@pytest.mark.parametrize("name, codec", [("old.avi", "mpeg4"), ("old.wmv", "wmv2"), ("plain.mp4", "libx264")])
def test_what_no_browser_plays_gets_a_copy_that_does(tmp_path, name, codec):
    """Else a visitor sees "Video not playable", or a black picture."""
    sound = [(0.0, click(2, 0.5))] if name.endswith("mp4") else ()
    path = write_clip(tmp_path / name, [grey(90, 642, 360)] * 50, np.arange(50) / 25, codec=codec, audio_tracks=sound)
    shown = write_preview(path, tmp_path / "copies", Part())
    assert (shown == path) == (codec == "libx264")
    with av.open(str(shown)) as video:
        assert video.streams.video[0].codec_context.name == "h264"
        assert video.duration / 1e6 == pytest.approx(2.0, abs=0.1)
        assert max(video.streams.video[0].width, video.streams.video[0].height) <= 642


def test_a_recording_of_a_webcam_gets_a_length(tmp_path):
    """A browser's recorder writes no length; players then show "Infinity"."""
    path = tmp_path / "recorded.webm"
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for picture in ramp(50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    shown = write_preview(path, tmp_path / "copies", Part())
    with av.open(str(shown)) as video:
        assert shown != path and video.duration / 1e6 == pytest.approx(2.0, abs=0.1)


def test_sliders_that_choose_everything_choose_nothing():
    with gr.Blocks():
        card = InputCard("speaker", "Somebody", "Video", "Who?")
    film = {card.about: {"kind": "video", "seconds": 12.4}}
    assert card.part(film, 0, 12.4) == {}
    assert card.part(film, 2, 12.4) == {"speaker_start": 2}
    assert card.part(film, 0, 9.5) == {"speaker_end": 9.5}
    assert card.part({card.about: {"kind": "photo", "seconds": 0.0}}, 3, 4) == {}
    for nonsense in (None, [], {"kind": "video"}, {"kind": 3, "seconds": "x"}):
        assert card.part({card.about: nonsense}, 3, 4) == {}


def test_nothing_of_a_visitor_is_kept_in_a_session_that_gradio_may_forget(tmp_path, weights):
    """A server with many visitors forgets the sessions of the first; the part that was chosen lives in the browser."""
    page = build(weights, tmp_path, LiveServer(lambda: None), LiveHeads())
    assert not [block for block in page.blocks.values() if isinstance(block, gr.State)]
