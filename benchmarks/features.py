"""How fast a clip becomes numbers: decode, track, MFCC, facial attributes, and each against the plain way, in one run.

    python -m benchmarks.features [VIDEO]

Without a video, the example speaker is shown at 1280x720. Frames per CPU-second (all threads), which a busy machine
disturbs least; the ratio is against the plain way. The last lines are the whole way, on processor and wall clock, what
two idle cores could reach (the thread that decodes beside the one that tracks: the slower of the two), and the most
memory that a process takes for 10 s and for 120 s of the clip, played over and over.
"""

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from perfrdiff.features.attributes import facial_attributes
from perfrdiff.features.audio import mfcc
from perfrdiff.features.clip import read_speaker
from perfrdiff.features.media.audio_track import RATE
from perfrdiff.features.media.input import Media, open_input
from perfrdiff.features.tracking.face_track import REGION_PIXELS
from perfrdiff.features.tracking.landmarker import FaceTracker
from perfrdiff.features.tracking.search import region_around, survey_faces
from perfrdiff.features.tracking.units import SHAPE_WIDTH, face_shape, read_units
from renderer.resources import asset
from renderer.video.writer import VideoWriter

LENGTHS = (10, 120)  # seconds
EXAMPLE = asset("examples/speaker.mp4")


def rate(count: int, work: Callable[[], object], repeats: int = 1) -> float:
    """Frames per CPU-second of the fastest of ``repeats`` runs."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return count / best


def main(path: Path) -> None:
    with open_input(path) as media:
        measure(path, media)


def measure(path: Path, media: Media) -> None:
    info = media.info
    pictures = list(media.frames(REGION_PIXELS))
    count = len(pictures)
    audio = media.audio()
    samples = audio.samples if audio is not None else np.zeros(count * 640, dtype=np.float32)
    samples = np.pad(samples, (0, max(0, count * 640 - len(samples))))[: count * 640]
    face = survey_faces(media)[0]
    region = region_around(np.array(face.centres), face.size, info.width, info.height)

    def decode_region() -> None:
        reader = media.frame_reader(REGION_PIXELS)
        reader.region = region
        for _ in reader:
            pass

    def track(streaming: bool) -> None:
        with FaceTracker(streaming, faces=2) as tracker:
            for picture in pictures:
                tracker.detect(picture)

    def single_mfcc() -> None:
        for index in range(count):
            mfcc(samples[640 * index : 640 * (index + 1)], RATE, 1)

    with FaceTracker(streaming=False, faces=1) as tracker:
        points = tracker.detect(pictures[0])[0].landmarks
    shapes, zeros = np.zeros((count, SHAPE_WIDTH)), np.zeros((count, 52))

    mfcc(samples, RATE, count)  # fills the tables
    coefficients = np.random.default_rng(0).uniform(0, 1, (count, 58)).astype(np.float32)
    rows = [
        ("decode, the face's region to RGB", decoded := rate(count, decode_region),
         "whole picture, full size", rate(count, lambda: [None for _ in media.frames(10_000)])),
        ("track, stream mode", rate(count, lambda: track(True)),
         "picture by picture", rate(count, lambda: track(False))),
        ("units from shapes, one batch", rate(count, lambda: read_units(shapes, zeros, zeros[:, :3], zeros[0])),
         "shape of the landmarks alone", rate(count, lambda: [face_shape(points) for _ in range(count)])),
        ("MFCC, one batch", rate(count, lambda: mfcc(samples, RATE, count), 3),
         "frame by frame", rate(count, single_mfcc)),
        ("attributes, one batch", rate(count, lambda: facial_attributes(coefficients), 3),
         "frame by frame", rate(count, lambda: [facial_attributes(row[None]) for row in coefficients])),
    ]  # fmt: skip
    print(f"{path.name}: {info.width}x{info.height}, {info.frame_rate:.1f} fps, {info.seconds:.1f} s, {count} frames")
    print(f"{'stage':36}{'frames/s':>10}   {'plain way':26}{'frames/s':>10}{'ratio':>8}")
    for stage, fast, plain_way, plain in rows:
        print(f"{stage:36}{fast:10.0f}   {plain_way:26}{plain:10.0f}{fast / plain:8.1f}")
    start, processor = time.perf_counter(), time.process_time()
    read_speaker(path)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    print(
        f"{'read_speaker, per CPU-second':36}{count / processor:10.0f}   {processor / info.seconds:.2f} CPU-s a second"
    )
    decoding, others = 1e3 / decoded, 1e3 * processor / count - 1e3 / decoded  # milliseconds a frame
    print(
        f"{'two idle cores, at most':36}{1e3 / max(decoding, others):10.0f}   decoding {decoding:.1f} ms a frame, "
        f"the rest {others:.1f} ms beside it"
    )
    print(f"{'read_speaker, wall':36}{count / seconds:10.0f}   {seconds / info.seconds:.2f} x the clip's length")
    with tempfile.TemporaryDirectory() as folder:
        peaks = [peak_memory(looped(path, Path(folder) / f"{length}.mkv", length)) for length in LENGTHS]
    shown = ", ".join(f"{length} s: {peak:.0f} MB" for length, peak in zip(LENGTHS, peaks, strict=True))
    slope = 1000 * (peaks[1] - peaks[0]) / (LENGTHS[1] - LENGTHS[0]) / 25
    print(f"{'read_speaker, peak memory':36}{shown}; {slope:.1f} kB a frame")


def looped(source: Path, target: Path, seconds: int) -> Path:
    """A clip's packets over and over up to a length; no pixel is coded again."""
    with av.open(str(target), "w") as new:
        begin, copies, latest = 0.0, {}, {}
        while begin < seconds:
            with av.open(str(source)) as old:
                streams = [old.streams.video[0], *old.streams.audio[:1]]
                for stream in streams:
                    if stream.index not in copies:
                        copies[stream.index] = new.add_stream_from_template(stream)
                end = begin
                for packet in old.demux(streams):
                    if packet.dts is None or begin + float(packet.pts * packet.time_base) >= seconds:
                        continue
                    shift = round(begin / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    if packet.dts <= latest.get(packet.stream.index, -np.inf):
                        continue  # the audio overlaps by a packet where the clip begins again
                    latest[packet.stream.index] = packet.dts
                    if packet.stream.type == "video":
                        end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                    packet.stream = copies[packet.stream.index]
                    new.mux(packet)
            begin = end
    return target


def peak_memory(path: Path) -> float:
    """MB that a fresh process holds at most while it reads the clip."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_of_reading, (path,))


def _peak_of_reading(path: Path) -> float:
    read_speaker(path)
    status = Path("/proc/self/status").read_text()  # getrusage would count what the parent held when it forked
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def enlarged(folder: Path) -> Path:
    """The example speaker in a picture of 1280x720, with its audio."""
    path = folder / "speaker_720p.mp4"
    with open_input(EXAMPLE) as media:
        pictures, audio = list(media.frames()), media.audio()
    with VideoWriter(path, (1280, 720), 25, audio=(audio.samples, audio.rate)) as writer:
        for picture in pictures:
            wide = np.full((720, 1280, 3), 90, np.uint8)
            wide[104:616, 384:896] = picture
            writer.write(wide)
    return path


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(enlarged(Path(folder)))
