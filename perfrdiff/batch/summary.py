"""The page of a batch: how many, which not and why, and distributions of what was measured. One file, no requests."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from perfrdiff.batch.journal import DONE, Outcome
from perfrdiff.batch.storage import OutputPlace, scratch
from perfrdiff.files import atomic_write

MOST_THUMBNAILS = 48
MOST_FAILURES = 500
BINS = 24
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1c2430;
  background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem } .big { font-size: 1.3rem }
table { border-collapse: collapse }
td, th { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #dde3ea; vertical-align: top }
.plots, .thumbs { display: flex; flex-wrap: wrap; gap: 1.2rem }
figure { margin: 0 } figcaption { font-size: .8rem; color: #4a5666; max-width: 14rem; overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) {
  body { background: #14181f; color: #e6ebf2 } td, th { border-color: #303a48 } figcaption { color: #aab6c6 }
}"""


def write_summary(path: Path, action: str, outcomes: Sequence[Outcome], count: int, place: OutputPlace) -> Path:
    """Write the page of a batch of `count` items of which these are over; returns its path."""
    states = Counter(outcome.state for outcome in outcomes)
    done = [outcome for outcome in outcomes if outcome.state == DONE]
    seconds = sum(outcome.seconds for outcome in outcomes)
    listed = ", ".join(f"{number} {state}" for state, number in states.most_common()) or "nothing yet"
    parts = [
        f"<h1>perfrdiff batch {html.escape(action)}</h1>",
        f'<p class="big">{len(outcomes)} of {count} items are over: {listed}.</p>',
        f"<p>{seconds / 60:.1f} minutes of work in all processes, {seconds / max(1, len(outcomes)):.1f} s an item.</p>",
        _plots(done),
        _thumbnails(done, place),
        _failures([outcome for outcome in outcomes if outcome.state != DONE]),
    ]
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>perfrdiff batch {html.escape(action)}</title>'
    page += f"<style>{STYLE}</style><main>{''.join(parts)}</main></html>"
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _plots(done: Sequence[Outcome]) -> str:
    """A histogram of every column of numbers."""
    columns: dict[str, list[float]] = {"seconds": [outcome.seconds for outcome in done]}
    for outcome in done:
        for name, value in _numbers(outcome.values).items():
            columns.setdefault(name, []).append(value)
    figures = [_histogram(name, np.array(values)) for name, values in columns.items() if len(values) > 1]
    return f'<h2>What was measured</h2><div class="plots">{"".join(figures)}</div>' if figures else ""


def _numbers(values: Mapping[str, object]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}


def _histogram(name: str, values: np.ndarray) -> str:
    low, high = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, bins=BINS, range=(low, high if high > low else low + 1))
    width, height = 220, 80
    bars = [
        f'<rect x="{index * width / BINS:.1f}" y="{height * (1 - number / counts.max()):.1f}" '
        f'width="{width / BINS - 1:.1f}" height="{height * number / counts.max():.1f}"/>'
        for index, number in enumerate(counts)
    ]
    title = f"{html.escape(name)}: median {np.median(values):.4g}, {low:.4g} to {high:.4g}"
    picture = (
        f'<svg width="{width}" height="{height}" fill="#3b6ea8" role="img" aria-label="{title}">{"".join(bars)}</svg>'
    )
    return f"<figure>{picture}<figcaption>{title}</figcaption></figure>"


def _thumbnails(done: Sequence[Outcome], place: OutputPlace) -> str:
    """A picture of each of the first items that have a video of all reactions."""
    figures: list[str] = []
    with scratch() as folder:
        for outcome in done:
            if len(figures) == MOST_THUMBNAILS:
                break
            video = place.fetch(f"{outcome.id}/side_by_side.mp4", folder / "side_by_side.mp4")
            if video is not None:
                name, data = html.escape(outcome.id), f"data:image/jpeg;base64,{_middle(video)}"
                picture = f'<img alt="{name}" width="176" src="{data}">'
                figures.append(f"<figure>{picture}<figcaption>{name}</figcaption></figure>")
    return f'<h2>Reactions</h2><div class="thumbs">{"".join(figures)}</div>' if figures else ""


def _middle(video: Path) -> str:
    """A frame from the middle of a video, as a small JPEG in base 64."""
    import av

    with av.open(str(video)) as container:
        container.seek((container.duration or 0) // 2)
        picture = next(container.decode(video=0)).to_image()
    picture.thumbnail((352, 352))
    data = BytesIO()
    picture.save(data, "JPEG", quality=80)
    return base64.b64encode(data.getvalue()).decode()


def _failures(failed: Sequence[Outcome]) -> str:
    if not failed:
        return ""
    reasons = Counter(outcome.sentence.replace(Path(outcome.id).name, "…") for outcome in failed)
    common = "".join(
        f"<tr><td>{number}</td><td>{html.escape(text)}</td></tr>" for text, number in reasons.most_common(12)
    )
    rows = "".join(
        f"<tr><td>{html.escape(one.id)}</td><td>{one.state}</td><td>{html.escape(one.sentence)}</td></tr>"
        for one in failed[:MOST_FAILURES]
    )
    more = f"<p>{len(failed) - MOST_FAILURES} more are in results.csv.</p>" if len(failed) > MOST_FAILURES else ""
    return (
        f"<h2>Why {len(failed)} were not done</h2><table>{common}</table>"
        f"<h2>Which</h2><table><tr><th>item<th>state<th>why</tr>{rows}</table>{more}"
    )
