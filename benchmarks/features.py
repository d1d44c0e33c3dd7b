"""How fast a clip becomes numbers: decode, track, MFCC, affect, and each against the plain way, in one run.

    python -m benchmarks.features [VIDEO]

Without a video, the example speaker is shown at 1280x720. Frames per CPU-second (all threads), which a busy machine
disturbs least; the ratio is against the plain way. The last lines are the whole way, on processor and wall clock.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from perfrdiff.features.affect import affect_attributes
from perfrdiff.features.audio import mfcc
from perfrdiff.features.clip import read_speaker
from perfrdiff.features.landmarker import FaceTracker
from perfrdiff.features.media import RATE, FrameReader, frames, probe, read_audio
from perfrdiff.features.search import look_through, region_around
from perfrdiff.features.units import SHAPE_WIDTH, read_units, shape_of
from renderer.video import VideoWriter

EXAMPLE = Path(__file__).resolve().parents[1] / "assets" / "examples" / "speaker.mp4"


def rate(count: int, work: Callable[[], object], repeats: int = 1) -> float:
    """Frames per CPU-second of the fastest of ``repeats`` runs."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return count / best


def main(path: Path) -> None:
    info = probe(path)
    whole = list(frames(path, info=info, long_side=640))
    count = len(whole)
    sound = read_audio(path, info)
    samples = sound.samples if sound is not None else np.zeros(count * 640, dtype=np.float32)
    samples = np.pad(samples, (0, max(0, count * 640 - len(samples))))[: count * 640]
    person = look_through(path, info)[0]
    region = region_around(np.array(person.centres), person.size, info.width, info.height)

    def decode_region() -> None:
        reader = FrameReader(path, info, long_side=640)
        reader.region = region
        for _ in reader:
            pass

    def track(streaming: bool) -> None:
        with FaceTracker(streaming, faces=2) as tracker:
            for picture in whole:
                tracker.detect(picture)

    def single_mfcc() -> None:
        for index in range(count):
            mfcc(samples[640 * index : 640 * (index + 1)], RATE, 1)

    with FaceTracker(streaming=False, faces=1) as tracker:
        points = tracker.detect(whole[0])[0].landmarks
    shapes, zeros = np.zeros((count, SHAPE_WIDTH)), np.zeros((count, 52))

    mfcc(samples, RATE, count)  # fills the tables
    coefficients = np.random.default_rng(0).uniform(0, 1, (count, 58)).astype(np.float32)
    rows = [
        ("decode, the face's region to RGB", rate(count, decode_region),
         "whole picture, full size", rate(count, lambda: [None for _ in frames(path, info=info, long_side=10_000)])),
        ("track, stream mode", rate(count, lambda: track(True)),
         "picture by picture", rate(count, lambda: track(False))),
        ("units from shapes, one batch", rate(count, lambda: read_units(shapes, zeros, zeros[:, :3], zeros[0])),
         "shape of the landmarks alone", rate(count, lambda: [shape_of(points) for _ in range(count)])),
        ("MFCC, one batch", rate(count, lambda: mfcc(samples, RATE, count), 3),
         "frame by frame", rate(count, single_mfcc)),
        ("affect, one batch", rate(count, lambda: affect_attributes(coefficients), 3),
         "frame by frame", rate(count, lambda: [affect_attributes(row[None]) for row in coefficients])),
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
    print(f"{'read_speaker, wall':36}{count / seconds:10.0f}   {seconds / info.seconds:.2f} x the clip's length")


def enlarged(folder: Path) -> Path:
    """The example speaker in a picture of 1280x720, with its sound."""
    path = folder / "speaker_720p.mp4"
    sound = read_audio(EXAMPLE)
    with VideoWriter(path, (1280, 720), 25, audio=(sound.samples, sound.rate)) as writer:
        for picture in frames(EXAMPLE):
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
