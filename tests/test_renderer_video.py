"""What a viewer would lose: a video that plays anywhere, in step with its sound, honest about how it was made."""

import json
import os
import re
import subprocess
import sys
import time
from itertools import count, islice

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from renderer.errors import RenderError
from renderer.video.alpha import AlphaVideoWriter
from renderer.video.export import VideoOptions, VideoTrack, export_videos
from renderer.video.layout import MAX_CANVAS_SIZE, SideBySideLayout, stamp_label, stamped_yuv
from renderer.video.writer import VideoWriter
from renderer.yuv420 import to_yuv420


def picture(width, height, shade=120):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([np.full_like(x, shade), x * 255 // width, y * 255 // height], -1).astype(np.uint8)


def plain(*colour):
    return to_yuv420(np.full((256, 256, 3), colour, np.uint8))


def tone(rate, seconds):
    return (0.4 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)).astype(np.float32), rate


def write(path, size=(64, 48), frames=30, audio=None, metadata=None):
    with VideoWriter(path, size, audio=audio, metadata=metadata) as writer:
        for _ in range(frames):
            writer.write(picture(*size))
    return path


def seconds(stream):
    return float(stream.duration * stream.time_base)


def test_every_browser_can_play_it(tmp_path):
    path = write(tmp_path / "a.mp4", frames=30, audio=tone(16_000, 1.2))
    with av.open(str(path)) as video:
        picture_stream, sound = video.streams.video[0], video.streams.audio[0]
        assert (picture_stream.codec.name, picture_stream.pix_fmt) == ("h264", "yuv420p")
        assert picture_stream.average_rate == 25
        assert sum(1 for _ in video.decode(picture_stream)) == 30
        assert sound.codec.name == "aac"
    data = path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat"), "the index must come first, or playing waits for the whole file"


DRIFTING = """
import sys
import cv2, numpy as np
from renderer.video.writer import VideoWriter

spots = np.random.default_rng(0).integers(0, 256, (176, 300, 3), dtype=np.uint8)
spots = cv2.GaussianBlur(spots, (0, 0), 3) * 4
with VideoWriter(sys.argv[1], (216, 176)) as writer:
    for start in range(0, 60, 2):
        writer.write(np.ascontiguousarray(spots[:, start : start + 216]))
"""


def test_what_was_in_memory_before_does_not_show(tmp_path):
    """glibc fills fresh memory with 0 here, and with 254 there."""
    films = []
    for filling in ("0", "1"):
        path = tmp_path / f"{filling}.mp4"
        subprocess.run(
            [sys.executable, "-c", DRIFTING, path], check=True, env=os.environ | {"MALLOC_PERTURB_": filling}
        )
        films.append(path.read_bytes())
    assert films[0] == films[1]


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000, 37_800, 96_000])
@pytest.mark.parametrize("sound_seconds", [0.0, 0.7, 1.52, 4.0])
def test_sound_lasts_exactly_as_long_as_the_pictures(tmp_path, rate, sound_seconds):
    path = write(tmp_path / "a.mp4", frames=38, audio=tone(rate, sound_seconds))
    with av.open(str(path)) as video:
        assert seconds(video.streams.video[0]) == pytest.approx(38 / 25, abs=1e-3)
        assert seconds(video.streams.audio[0]) == pytest.approx(38 / 25, abs=1e-3)


def test_sound_is_in_step_with_the_pictures(tmp_path):
    """A flash and a click at 1.0 s: both must come back within one frame of each other."""
    rate = 16_000
    click = np.zeros(2 * rate, np.float32)
    click[rate : rate + 400] = 0.9
    path = tmp_path / "a.mp4"
    with VideoWriter(path, (64, 64), audio=(click, rate)) as writer:
        for index in range(50):
            writer.write(np.full((64, 64, 3), 255 if index == 25 else 0, np.uint8))
    with av.open(str(path)) as video:
        light = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in video.decode(video=0)]
    heard = next(t + np.argmax(np.abs(f) > 0.2) / rate for t, f in _pieces(path) if np.abs(f).max() > 0.2)
    assert max(light, key=lambda item: item[1])[0] == pytest.approx(1.0, abs=1e-3)
    assert heard == pytest.approx(1.0, abs=0.02)


def _pieces(path):
    with av.open(str(path)) as video:
        for frame in video.decode(audio=0):
            yield frame.time, frame.to_ndarray()[0]


def test_odd_sizes_are_padded_and_colours_are_kept(tmp_path):
    path = tmp_path / "a.mp4"
    skin = np.full((117, 161, 3), (220, 150, 120), np.uint8)
    with VideoWriter(path, (161, 117)) as writer:
        for _ in range(5):
            writer.write(skin)
    with av.open(str(path)) as video:
        frame = next(video.decode(video=0))
        assert (frame.width, frame.height) == (162, 118)
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int)[:117, :161] - skin).max() <= 4


def test_colours_are_those_of_ffmpegs_own_converter():
    plain = [np.full((4, 6, 3), colour, np.uint8) for colour in ((255, 255, 255), (0, 0, 255))]
    for frame in (picture(160, 90), *plain):
        theirs = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        difference = to_yuv420(frame).frame.to_ndarray().astype(int) - theirs.to_ndarray()
        assert np.abs(difference).max() <= 2


def test_the_file_says_that_it_is_generated(tmp_path):
    source = json.dumps({"seed": 7, "weights": "demo", "text": "ünï – 1"})
    path = write(tmp_path / "a.mp4", metadata={"title": "AI-generated facial reaction", "comment": source})
    with av.open(str(path)) as video:
        assert video.metadata["title"] == "AI-generated facial reaction"
        assert json.loads(video.metadata["comment"])["seed"] == 7


def test_broken_sound_numbers_do_not_break_the_video(tmp_path):
    samples = np.array([np.nan, np.inf, -np.inf, 5.0] * 4000, np.float32)
    path = write(tmp_path / "a.mp4", audio=(samples, 16_000))
    decoded = np.concatenate([piece for _, piece in _pieces(path)])
    assert np.isfinite(decoded).all()


def test_nothing_is_left_after_a_failure(tmp_path):
    with pytest.raises(ZeroDivisionError), VideoWriter(tmp_path / "a.mp4", (64, 64), audio=tone(16_000, 1)) as writer:
        writer.write(picture(64, 64))
        _ = 1 / 0
    with pytest.raises(RenderError, match="empty"), VideoWriter(tmp_path / "b.mp4", (64, 64)):
        pass
    with (
        pytest.raises(RenderError, match=r"frame 0 is uint8 \(48, 64, 3\)"),
        VideoWriter(tmp_path / "c.mp4", (64, 64)) as w,
    ):
        w.write(picture(64, 48))
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_survives_a_failed_new_one(tmp_path):
    path = write(tmp_path / "a.mp4")
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, (64, 64)) as writer:
        writer.write(picture(64, 64))
        raise KeyboardInterrupt
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RenderError, match="nowhere"):
        VideoWriter(tmp_path / "nowhere" / "a.mp4", (64, 64))


@pytest.mark.parametrize("size", [224, 256, 512])
def test_the_label_is_visible_but_small(size):
    before = picture(size, size)
    after = stamp_label(before)
    changed = (after != before).any(-1)
    rows, columns = np.nonzero(changed)
    assert rows.min() > size * 0.85 and columns.max() < size * 0.5
    assert 0.005 < changed.mean() < 0.04
    assert (after[changed] > 200).all(-1).sum() > 50, "white letters"
    assert not (before != picture(size, size)).any(), "the frame given is not painted over"


@pytest.mark.parametrize(("width", "height"), [(256, 256), (224, 224), (161, 117), (64, 64)])
def test_a_label_on_the_converted_picture_is_that_of_the_picture_itself(width, height):
    frame = picture(width, height)
    stamped = stamped_yuv(frame, to_yuv420(frame))
    np.testing.assert_array_equal(stamped.frame.to_ndarray(), to_yuv420(stamp_label(frame)).frame.to_ndarray())
    assert width == 64 or (stamped.planes[0] != to_yuv420(frame).planes[0]).any()


@pytest.mark.parametrize("tile_size", [256, 161, 96])
def test_pictures_put_together_as_encoded_look_as_put_together_in_rgb(tile_size):
    """Each of them is where it was in RGB, with the same rounded corners; what is round them is untouched."""
    grid = SideBySideLayout((320, 180), ["Reaction 1", "Reaction 2"], 2, tile_size)
    speaker, squares = picture(320, 180), [picture(256, 256, shade) for shade in (0, 90, 180, 250)]
    pairs = [[to_yuv420(square) for square in squares[k : k + 2]] for k in (0, 2)]
    together = grid.compose(speaker, pairs)
    expected = grid._background().astype(np.float64)
    tiles = [grid._speaker_tile, *(tile for card in grid._reaction_tiles for tile in card)]
    for tile, square in zip(tiles, [speaker, *squares], strict=True):
        shown = cv2.resize(square, (tile.width, tile.height), interpolation=cv2.INTER_AREA).astype(np.float64)
        r, corner = grid._radius, grid._corners[0]
        mask = np.ones(shown.shape[:2])
        mask[:r, :r], mask[:r, -r:], mask[-r:, :r] = corner, corner[:, ::-1], corner[::-1]
        mask[-r:, -r:] = corner[::-1, ::-1]
        area = expected[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        area += (shown - area) * mask[..., None]
    theirs = to_yuv420(expected.round().astype(np.uint8)).frame.to_ndarray().astype(int)
    difference = np.abs(together.frame.to_ndarray() - theirs)
    assert difference.mean() < 1 and np.percentile(difference, 99.9) < 16


@pytest.mark.parametrize("reactions", [1, 3, 5, 6, 7, 10])
@pytest.mark.parametrize("pictures", [1, 2])
@pytest.mark.parametrize("speaker", [(512, 512), (540, 960), (960, 540), (161, 117), None])
def test_the_grid_shows_everyone_whole(reactions, pictures, speaker):
    """Every face is on the canvas, untouched by its neighbours, at an even size no larger than a screen."""
    grid = SideBySideLayout(speaker, [f"Reaction {index + 1}" for index in range(reactions)], pictures, tile_size=256)
    width, height = grid.size
    assert width % 2 == height % 2 == 0 and width <= MAX_CANVAS_SIZE[0] and height <= MAX_CANVAS_SIZE[1]
    shades = iter(range(60, 256, 8))
    cards = [[plain(next(shades)) for _ in range(pictures)] for _ in range(reactions)]
    face = None if speaker is None else np.full((speaker[1], speaker[0], 3), (250, 20, 20), np.uint8)
    canvas = grid.compose(face, cards)
    assert canvas.size == (width, height)
    luma = canvas.planes[0][:, :width]
    for shade in (card.planes[0][0, 0] for row in cards for card in row):
        area = (luma == shade).sum()
        assert area == pytest.approx(grid.tile_size**2, rel=0.02)
    if speaker is not None:
        red = plain(250, 20, 20).planes[2][0, 0]
        rows, columns = np.nonzero(canvas.planes[2][:, : width // 2] == red)
        shape = (np.ptp(columns) + 1) / (np.ptp(rows) + 1)
        assert shape == pytest.approx(speaker[0] / speaker[1], rel=0.02), "no letterbox and no squeeze"


def test_eleven_reactions_are_refused():
    with pytest.raises(RenderError, match="1 to 10 reactions, not for 11"):
        SideBySideLayout((64, 64), ["x"] * 11, 1)


def tracks(folder, reactions, views, frames):
    return [
        [
            VideoTrack((picture(96, 96, 20 * k + t % 20) for t in islice(count(), frames)), folder / f"{k}_{view}.mp4")
            for view in views
        ]
        for k in range(reactions)
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_one_pass_writes_all_videos(tmp_path, workers):
    grid = SideBySideLayout((64, 80), ["Reaction 1", "Reaction 2"], 2, tile_size=96)
    seen = []
    export_videos(
        tracks(tmp_path, 2, ("mesh", "photo"), 31),
        (picture(64, 80) for _ in range(20)),  # a speaker's video that is shorter: its last picture is repeated
        grid,
        tmp_path / "side_by_side.mp4",
        VideoOptions(31, 96, audio=tone(16_000, 1.0), label="AI-generated", workers=workers),
        progress=seen.append,
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "0_mesh.mp4", "0_photo.mp4", "1_mesh.mp4", "1_photo.mp4", "side_by_side.mp4",
    ]  # fmt: skip
    for path in tmp_path.iterdir():
        with av.open(str(path)) as video:
            assert sum(1 for _ in video.decode(video=0)) == 31
            assert seconds(video.streams.audio[0]) == pytest.approx(31 / 25, abs=1e-3)
    assert seen == sorted(seen) and seen[-1] == 1


def test_threads_change_no_byte(tmp_path):
    """Every video is the same, drawn and put together by one thread or by three."""
    files = []
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        folder.mkdir()
        grid = SideBySideLayout((64, 80), ["Reaction 1", "Reaction 2"], 2, tile_size=96)
        cards, options = tracks(folder, 2, ("mesh", "photo"), 26), VideoOptions(26, 96, label="AI", workers=workers)
        export_videos(cards, (picture(64, 80) for _ in range(26)), grid, folder / "side_by_side.mp4", options)
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    one, three = files
    assert one.keys() == three.keys() and len(one) == 5
    assert all(one[name] == three[name] for name in one)


def test_one_broken_reaction_leaves_no_video_at_all(tmp_path):
    grid = SideBySideLayout(None, ["Reaction 1", "Reaction 2"], 1, tile_size=96)
    cards = [*tracks(tmp_path, 1, ("mesh",), 40), [VideoTrack(iter([picture(96, 96)] * 5), tmp_path / "short.mp4")]]
    with pytest.raises(RenderError, match=r"short.mp4 ended 7 frames early"):
        export_videos(cards, None, grid, tmp_path / "side_by_side.mp4", VideoOptions(40, 96))
    assert list(tmp_path.iterdir()) == []


def test_a_label_on_a_transparent_picture_is_seen_and_the_rest_stays():
    before = np.zeros((128, 256, 4), np.uint8)
    after = stamp_label(before)
    assert after[..., 3].max() == 255 and after[0, 0].max() == 0
    opaque = np.full((128, 256, 4), 255, np.uint8)
    np.testing.assert_array_equal(stamp_label(opaque)[..., 3], 255)
    np.testing.assert_allclose(stamp_label(opaque)[..., :3].astype(int), stamp_label(opaque[..., :3]), atol=2)


def test_a_transparent_video_fails_cleanly(tmp_path):
    with pytest.raises(RenderError, match="even"):
        AlphaVideoWriter(tmp_path / "a.webm", (65, 64))
    with pytest.raises(RenderError, match="folder"):
        AlphaVideoWriter(tmp_path / "absent" / "a.webm", (64, 64))
    with pytest.raises(RenderError, match="frame 1"), AlphaVideoWriter(tmp_path / "a.webm", (64, 64)) as writer:
        writer.write(np.zeros((64, 64, 4), np.uint8))
        writer.write(np.zeros((64, 64, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_caption_of_two_lines_makes_room_for_the_second():
    one, two = (SideBySideLayout(None, [text], 1, tile_size=128) for text in ("Reaction 1", "Reaction 1\ngeneric"))
    assert two.size[1] > one.size[1] and two.size[1] % 2 == 0
    picture = np.zeros((128, 128, 3), np.uint8)
    extra = two.compose(None, [[to_yuv420(picture)]]).planes[0][one.size[1] - 30 : one.size[1] - 8, : two.size[0]]
    assert extra.max() > 100


def test_an_error_in_one_track_ends_the_others_within_a_picture(tmp_path):
    drawn = []

    def endless():
        while True:
            drawn.append(1)
            time.sleep(0.002)  # lets the other thread run
            yield np.zeros((128, 128, 3), np.uint8)

    def failing():
        yield np.zeros((128, 128, 3), np.uint8)
        raise RenderError("the face fell off")

    tracks = [
        [
            VideoTrack(endless(), tmp_path / "reaction_1_mesh.mp4"),
            VideoTrack(failing(), tmp_path / "reaction_1_photo.mp4"),
        ]
    ]
    layout = SideBySideLayout(None, ["Reaction 1"], 2, 128)
    options = VideoOptions(2500, 128, workers=2)
    with pytest.raises(RenderError, match="fell off"):
        export_videos(tracks, None, layout, tmp_path / "side_by_side.mp4", options)
    assert len(drawn) <= 12 and list(tmp_path.iterdir()) == []


def test_whoever_follows_the_progress_can_end_the_drawing_within_a_piece(tmp_path):
    def slow():
        while True:
            time.sleep(0.1)
            yield np.zeros((128, 128, 3), np.uint8)

    reports = []

    def report(fraction):
        reports.append(fraction)
        raise InterruptedError

    options = VideoOptions(2500, 128, workers=1)
    layout = SideBySideLayout(None, ["Reaction 1"], 1, 128)
    with pytest.raises(InterruptedError):
        export_videos(
            [[VideoTrack(slow(), tmp_path / "reaction_1_mesh.mp4")]],
            None,
            layout,
            tmp_path / "all.mp4",
            options,
            report,
        )
    assert reports == [0.0], "before the first piece of 1.2 s was drawn"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(tmp_path):
    """A limit on the size of files stands for it: both are an error of the operating system while writing."""
    code = f"""
import numpy as np, resource
from renderer.video.writer import VideoWriter
from renderer.errors import RenderError
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
noise, audio = np.random.default_rng(0), (np.zeros(160_000, np.float32), 16_000)
try:
    with VideoWriter({str(tmp_path / "film.mp4")!r}, (256, 256), audio=audio) as writer:
        for _ in range(100):
            writer.write(noise.integers(0, 255, (256, 256, 3), np.uint8))
except RenderError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(
        r"The video \S+film.mp4 cannot be written \(File too large\): make room on the disk\.\n", done.stdout
    )
    assert list(tmp_path.iterdir()) == []
