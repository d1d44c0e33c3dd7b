"""Pictures and audio of any file come out upright, at a steady rate and in step, or it is refused clearly."""

import socket
import threading
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from perfrdiff.errors import InputError
from perfrdiff.features.media import images
from perfrdiff.features.media import video as media
from perfrdiff.features.media.audio_track import Audio
from perfrdiff.features.media.input import Part, open_input
from perfrdiff.features.media.local_file import display_name
from perfrdiff.features.media.prefetch import PREFETCHED, Prefetcher
from tests.support.batch_items import BROKEN
from tests.support.clips import RATE, click, corners, grey, ramp, write_clip


def brightness(path) -> np.ndarray:
    with open_input(path) as video:
        return np.array([frame.mean() for frame in video.frames()])


def probed(path, **limits) -> media.VideoInfo:
    with open_input(path, **limits) as video:
        return video.info


def first_frame(path, **options) -> np.ndarray:
    with open_input(path) as video:
        return next(video.frames(**options))


def audio_of(path) -> Audio | None:
    with open_input(path) as video:
        return video.audio()


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [5, 12.5, 24, 25, 29.97, 30, 60, 120])
def test_any_frame_rate_becomes_25_with_the_right_pictures(tmp_path, rate):
    levels = 20  # the brightness tells a picture's number modulo 20
    count = round(2 * rate)
    times = np.arange(count) / rate
    path = write_clip(tmp_path / "clip.mp4", [grey(30 + 10 * (i % levels)) for i in range(count)], times)
    got = brightness(path)
    assert len(got) == pytest.approx(count / rate * 25, abs=1.01)
    ticks = np.arange(len(got)) / 25
    near = np.round(ticks * rate)
    level = np.round((got - 29) / 10)
    shown = near + (level - near + levels // 2) % levels - levels // 2  # which picture each frame is
    late = ticks - shown / rate
    assert late.max() < 1 / rate + 1e-3, "a picture is held no longer than until the next begins"
    assert late.min() > -0.021, "no picture comes more than half a frame early"
    if rate >= 25:
        assert abs(np.median(late)) < 0.011, "sampled without a lag"


def test_variable_rate_keeps_its_timing(tmp_path):
    times = np.concatenate([np.arange(25) / 25, 1 + np.arange(5) / 5])
    path = write_clip(tmp_path / "clip.mkv", [*ramp(25), *(grey(235 - 30 * i) for i in range(5))], times)
    got = brightness(path)
    assert len(got) == 50
    for start, value in zip(range(25, 50, 5), range(235, 85, -30), strict=True):
        np.testing.assert_allclose(got[start : start + 5], value, atol=6)


def test_a_late_start_is_second_zero(tmp_path):
    path = write_clip(tmp_path / "clip.ts", ramp(50), 3600 + np.arange(50) / 25)
    assert probed(path).seconds == pytest.approx(2, abs=0.05)
    assert len(brightness(path)) == 50


def test_reading_is_streamed(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", ramp(100), np.arange(100) / 25)
    with open_input(path) as video:
        pictures = video.frames()
        assert next(pictures).mean() < 25
        pictures.close()


def test_a_file_cut_short_is_used_as_far_as_it_goes(tmp_path):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(100)]
    full = write_clip(tmp_path / "whole.mkv", noise, np.arange(100) / 25)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(full.read_bytes()[: int(0.6 * full.stat().st_size)])
    seconds = probed(cut).seconds
    assert 1.5 < seconds < 3
    assert len(brightness(cut)) == pytest.approx(25 * seconds, abs=1)


# --- shape ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [0, 90, 180, -90])
def test_rotation_metadata_turns_the_picture_upright(tmp_path, turn):
    upright = corners(96, 64)
    stored = np.ascontiguousarray(np.rot90(upright, -turn // 90))  # a player turns it by ``turn`` counter-clockwise
    path = write_clip(tmp_path / "clip.mp4", [stored] * 30, np.arange(30) / 25, turn=turn)
    info = probed(path)
    assert (info.width, info.height) == (96, 64)
    frame = first_frame(path)
    assert frame.shape == (64, 96, 3)
    np.testing.assert_allclose(frame.astype(int)[8::16, 8::16], upright.astype(int)[8::16, 8::16], atol=25)


def test_pixels_that_are_not_square_are_stretched(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", [corners(64, 96)] * 30, np.arange(30) / 25, aspect=Fraction(2, 1))
    assert first_frame(path).shape == (96, 128, 3)


@pytest.mark.parametrize("turn", [0, 90, 180, -90])
def test_a_region_is_that_part_of_the_full_picture(tmp_path, turn):
    ground = np.linspace(30, 220, 96 * 64).reshape(64, 96)
    picture = np.stack([ground, ground[::-1], ground[:, ::-1]], axis=-1).astype(np.uint8)
    path = write_clip(tmp_path / "clip.mp4", [picture] * 30, np.arange(30) / 25, turn=turn)
    with open_input(path) as video:
        reader = video.frame_reader()
        x, y, width, height = reader.region = (16, 8, 32, 24)
        region = next(iter(reader))
        full = reader.whole(reader.number, 1280)
    assert full.shape == (video.info.height, video.info.width, 3)
    np.testing.assert_allclose(region.astype(int), full[y : y + height, x : x + width].astype(int), atol=6)


def test_prefetched_pictures_have_the_region_requested_always_as_many_pictures_before(tmp_path):
    """Otherwise a clip in which the face wanders would be read a little differently every time."""
    path = write_clip(tmp_path / "clip.mp4", ramp(40), np.arange(40) / 25)
    requested = [(k % 20, 2, 40, 30 + k % 4) for k in range(40)]
    regions, pictures = [], []
    with open_input(path) as video, video.frame_reader() as reader, Prefetcher(reader, requested[0]) as frames:
        for index, frame in enumerate(frames):
            regions.append(frame.region)
            pictures.append(frame.picture)
            assert frame.picture.shape[:2] == frame.region[:1:-1]
            whole = reader.whole(frame.number, 64)
            assert whole.shape == (64, 64, 3), "the full picture is at hand for a search"
            assert abs(whole.mean() - frame.picture.mean()) < 2.7, "and it is the same"
            frames.request_region(requested[index + 1] if index < 39 else requested[0])
    assert regions == [requested[max(0, k - PREFETCHED + 1)] for k in range(40)]
    np.testing.assert_allclose([picture.mean() for picture in pictures], brightness(path), atol=2.7)


def test_prefetching_ends_when_it_is_left_and_passes_errors_on(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", ramp(40), np.arange(40) / 25)
    with open_input(path) as video:
        with pytest.raises(ZeroDivisionError), Prefetcher(video.frame_reader(), (0, 0, 64, 64)) as frames:
            next(iter(frames))
            raise ZeroDivisionError
        assert not [thread for thread in threading.enumerate() if thread.name == "prefetcher"]
        video.max_seconds = 1.0
        with (
            pytest.raises(InputError, match="longer than 1 s"),
            Prefetcher(video.frame_reader(), (0, 0, 64, 64)) as frames,
        ):
            for frame in frames:
                frames.request_region(frame.region)


def test_large_pictures_are_shrunk_while_decoding(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", [corners(640, 320)] * 30, np.arange(30) / 25)
    assert first_frame(path, long_side=160).shape == (80, 160, 3)


# --- audio ------------------------------------------------------------------------------------------------------------


def onset(audio: Audio) -> float:
    return int((np.abs(audio.samples) > 0.2).argmax()) / audio.rate


@pytest.mark.parametrize(("start", "at", "heard"), [(0.0, 0.5, 0.5), (0.7, 0.5, 1.2), (0.4, 0.0, 0.4)])
def test_sound_keeps_its_offset_to_the_picture(tmp_path, start, at, heard):
    path = write_clip(
        tmp_path / "clip.mov", ramp(50), np.arange(50) / 25, audio_tracks=[(start, click(2 - start, at))]
    )  # fmt: skip
    audio = audio_of(path)
    assert onset(audio) == pytest.approx(heard, abs=0.005)
    assert len(audio.samples) == 2 * RATE


def test_sound_before_the_first_picture_is_cut(tmp_path):
    path = write_clip(tmp_path / "clip.mkv", ramp(50), 0.6 + np.arange(50) / 25, audio_tracks=[(0.0, click(2.6, 1.0))])
    assert onset(audio_of(path)) == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize("seconds", [0.8, 5.0])
def test_sound_follows_the_length_of_the_picture(tmp_path, seconds):
    path = write_clip(tmp_path / "clip.mov", ramp(50), np.arange(50) / 25, audio_tracks=[(0.0, click(seconds, 0.5))])
    audio = audio_of(path)
    assert len(audio.samples) == 2 * RATE
    assert onset(audio) == pytest.approx(0.5, abs=0.005)
    if seconds < 2:
        assert not audio.samples[round(0.85 * RATE) :].any()


def test_the_first_of_two_tracks_counts(tmp_path):
    tracks = [(0.0, click(2, 0.3)), (0.0, click(2, 1.3))]
    path = write_clip(tmp_path / "clip.mov", ramp(50), np.arange(50) / 25, audio_tracks=tracks)
    assert onset(audio_of(path)) == pytest.approx(0.3, abs=0.005)


def test_no_sound_is_none_and_silence_says_so(tmp_path):
    mute = write_clip(tmp_path / "mute.mp4", ramp(50), np.arange(50) / 25)
    assert audio_of(mute) is None
    silent = write_clip(tmp_path / "silent.mov", ramp(50), np.arange(50) / 25, audio_tracks=[(0.0, np.zeros(2 * RATE))])
    assert audio_of(silent).is_silent


def test_a_part_is_read_as_if_it_were_the_file(tmp_path):
    """Who trims a clip wants its pictures and its sound in step, from where it is cut, and no others."""
    pictures = [grey(30 + 2 * (i % 90)) for i in range(90)]
    audio = [(0.0, click(3.6, 1.5))]
    path = write_clip(tmp_path / "clip.mp4", pictures, np.arange(90) / 25, audio_tracks=audio)
    whole = brightness(path)
    with open_input(path, max_seconds=2.0, part=Part(1.2, 3.0)) as video:
        assert video.info.seconds == pytest.approx(1.8)
        part = np.array([frame.mean() for frame in video.frames()])
        sound = video.audio().samples
        assert [frame.mean() for _, frame in video.frames_at([10])] == pytest.approx([whole[40]], abs=1)
        assert all(frame.mean() >= whole[30] - 1 for frame in video.sample_frames(0.5, 64))
    assert len(part) == 45 and np.abs(part - whole[30:75]).max() < 1
    assert len(sound) == round(1.8 * RATE)
    assert np.argmax(np.abs(sound) > 0.1) / RATE == pytest.approx(0.3, abs=0.01)
    with open_input(path, part=Part(2.0)) as video:
        assert len(list(video.frames())) == 40
    for part, sentence in (
        (Part(3.0, 3.5), "too short"),
        (Part(9.0), "lasts 3.6 s"),
        (Part(0.5, 3.0), "longer than 2"),
    ):
        with pytest.raises(InputError, match=sentence), open_input(path, max_seconds=2.0, part=part):
            pass


def test_a_part_far_into_a_clip_is_jumped_to(tmp_path, monkeypatch):
    """Else the last seconds of an hour would cost an hour's decoding."""
    pictures = [grey(30 + 2 * (i % 90)) for i in range(700)]  # the encoder sets a key picture every 250
    path = write_clip(tmp_path / "long.mp4", pictures, np.arange(700) / 25)
    decoded = []
    decode = media.decode
    monkeypatch.setattr(media, "decode", lambda *one: [decoded.append(1) or frame for frame in decode(*one)])
    with open_input(path, part=Part(22.0, 24.0)) as video:
        decoded.clear()
        part = np.array([frame.mean() for frame in video.frames()])
    assert len(part) == 50 and np.abs(part - [30 + 2 * (i % 90) for i in range(550, 600)]).max() < 2
    assert len(decoded) < 200


# --- what is refused --------------------------------------------------------------------------------------------------


def test_too_long_and_too_short_name_the_limit(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", ramp(100), np.arange(100) / 25)
    with pytest.raises(InputError, match=r"lasts 4 s; at most 3 s"):
        probed(path, max_seconds=3)
    short = write_clip(tmp_path / "short.mp4", ramp(10), np.arange(10) / 25)
    with pytest.raises(InputError, match=r"lasts 0\.4 s; at least 1 s"):
        probed(short)


def test_a_playlist_named_mp4_reaches_no_other_file_and_no_socket(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        good = write_clip(tmp_path / "good.ts", ramp(50), np.arange(50) / 25)
        for text in (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
            f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{good}\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile {good}\n",
        ):
            path = tmp_path / "list.mp4"
            path.write_text(text)
            with pytest.raises(InputError, match=r"list\.mp4"):
                probed(path)
        with pytest.raises(TimeoutError):
            server.accept()


def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", ramp(30, 128, 96), np.arange(30) / 25)
    monkeypatch.setattr(media, "MOST_PIXELS", 10_000)
    with pytest.raises(InputError, match="128 x 96"):
        probed(path)


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "empty"), (b"hello", "neither a video nor"), (bytes(range(256)) * 16, "neither a video nor")],
)
def test_what_is_no_video_is_refused_in_one_sentence(tmp_path, content, word):
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=word) as caught:
        probed(path)
    assert str(tmp_path) not in str(caught.value), "the folder is nobody's business"


def test_missing_files_folders_and_odd_names_are_refused(tmp_path):
    for path in (tmp_path / "none.mp4", tmp_path, "/dev/zero", "a\0b.mp4", "http:clip.mp4", "x" * 300 + ".mp4"):
        with pytest.raises(InputError):
            probed(path)


def test_names_are_shown_without_folders_and_control_characters():
    assert display_name("/home/someone/new\nline\u202e.mp4") == "“new?line?.mp4”"
    assert len(display_name("a" * 400 + ".mp4")) < 70
    assert display_name("..\\..\\win.ini") == "“win.ini”"


# --- photos -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_turned_photo_stands_upright(tmp_path, orientation):
    upright = Image.fromarray(corners(96, 64))
    stored = upright.rotate({1: 0, 3: 180, 6: 90, 8: 270}[orientation], expand=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    got = images.read_image(tmp_path / "photo.jpg")
    np.testing.assert_allclose(got.astype(int)[8::16, 8::16], corners(96, 64).astype(int)[8::16, 8::16], atol=30)


def test_transparency_lies_on_grey_and_hides_what_is_under_it(tmp_path):
    picture = np.zeros((64, 64, 4), dtype=np.uint8)
    picture[..., 0], picture[..., 2] = 255, 255  # magenta, invisible
    picture[16:48, 16:48] = (10, 200, 10, 255)
    Image.fromarray(picture).save(tmp_path / "cut.png")
    got = images.read_image(tmp_path / "cut.png")
    assert tuple(got[0, 0]) == images.BACKGROUND
    assert tuple(got[32, 32]) == (10, 200, 10)


def test_sixteen_bit_grey_is_not_white(tmp_path):
    ramp16 = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp16).save(tmp_path / "deep.png")
    got = images.read_image(tmp_path / "deep.png")
    np.testing.assert_allclose(got[..., 0], ramp16 / 257, atol=1)


@pytest.mark.parametrize("marker_kept", [True, False])
def test_cmyk_has_natural_colours_with_and_without_adobes_marker(tmp_path, marker_kept):
    print_colours = Image.fromarray(corners(64, 64)).convert("CMYK")
    if not marker_kept:  # Pillow inverts what it writes, as Adobe does; without the marker the values are plain
        print_colours = print_colours.point(lambda value: 255 - value)
    print_colours.save(tmp_path / "print.jpg", quality=95)
    data = (tmp_path / "print.jpg").read_bytes()
    marker = data.index(b"Adobe") - 4
    if not marker_kept:
        data = data[:marker] + data[marker + 2 + int.from_bytes(data[marker + 2 : marker + 4], "big") :]
        (tmp_path / "print.jpg").write_bytes(data)
    got = images.read_image(tmp_path / "print.jpg").astype(int)[8::16, 8::16]
    np.testing.assert_allclose(got, corners(64, 64).astype(int)[8::16, 8::16], atol=40)


def test_an_animation_counts_as_its_first_picture(tmp_path):
    first, second = Image.fromarray(grey(40)), Image.fromarray(grey(200))
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    assert images.read_image(tmp_path / "moving.gif").mean() < 60
    with open_input(tmp_path / "moving.gif") as picture:
        assert picture.kind == "image"
        with pytest.raises(InputError, match=r"“moving\.gif” is a picture; a video is needed here\."):
            picture.audio()


@pytest.mark.slow
def test_a_bomb_is_refused_from_its_header(tmp_path):
    Image.new("1", (30_000, 30_000)).save(tmp_path / "bomb.png")
    with pytest.raises(InputError, match="megapixels"):
        images.read_image(tmp_path / "bomb.png")


def test_damaged_tiny_and_wrong_pictures_are_refused(tmp_path):
    Image.fromarray(corners(256, 256)).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:300])
    Image.fromarray(grey(9, 16, 16)).save(tmp_path / "tiny.png")
    (tmp_path / "page.jpg").write_text("<html></html>")
    for name, word in (("half.png", "damaged"), ("tiny.png", "16 x 16"), ("page.jpg", "not a picture")):
        with pytest.raises(InputError, match=word):
            images.read_image(tmp_path / name)


def test_a_large_photo_is_shrunk(tmp_path):
    Image.new("RGB", (6000, 3000), (80, 120, 160)).save(tmp_path / "large.jpg")
    got = images.read_image(tmp_path / "large.jpg")
    assert got.shape == (1024, 2048, 3)


def test_a_damaged_video_shows_the_same_pictures_each_time(tmp_path):
    """Two threads made other ones of this file in every second reading."""
    path = tmp_path / "flipped.mp4"
    BROKEN["flipped"][0](path, np.random.default_rng(3), 256)
    readings = [np.stack([*frames]) for frames in (open_frames(path) for _ in range(8))]
    assert all(np.array_equal(readings[0], other) for other in readings[1:])


def open_frames(path):
    with open_input(path) as video:
        yield from video.frames()
