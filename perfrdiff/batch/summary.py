"""The page of a batch: how many, which not and why, and distributions of what was measured. One file, no requests."""

from __future__ import annotations

import base64
import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from perfrdiff.batch.journal import DONE, Outcome
from perfrdiff.batch.storage import OutputPlace, scratch
from perfrdiff.files import atomic_write

MOST_THUMBNAILS = 48
MOST_NAMES = 500  # of one reason
BINS = 24
NAMES = {
    "seconds": "seconds of work", "face_seen": "part of the frames with a face",
    "speech": "part of the frames with speech",
    "FRDiv": "FRDiv, how much the reactions differ", "FRVar": "FRVar, how much each moves",
    "FRCorr": "FRCorr, likeness to the true reactions", "FRDist": "FRDist, distance from the true reactions",
}  # fmt: skip
"""Columns in words."""
FILE_NAME = re.compile("“[^”]*”")
VARYING = re.compile(r"\d[\d.]*(–[\d.]+)?( x \d+| s\b)")  # lengths and sizes
STYLE = """
:root { --ink: #1c2430; --soft: #566274; --line: #dde3ea; --ground: #fff; --good: #2f7d5b; --bad: #b4533c;
  --bar: #3b6ea8 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf2; --soft: #a3afbf; --line: #303a48; --ground: #14181f;
  --good: #58b78b; --bad: #e08a72; --bar: #7aa9df } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1.25rem;
  color: var(--ink); background: var(--ground) }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem } .soft { color: var(--soft) }
.parts { display: flex; height: .8rem; border-radius: .4rem; overflow: hidden; gap: 2px; margin: 1rem 0 .5rem }
.parts span { min-width: 3px; background: var(--bad) } .parts .done { background: var(--good) }
.parts .left { background: var(--line) }
.plots, .thumbs { display: flex; flex-wrap: wrap; gap: 1.4rem 1.8rem }
figure { margin: 0; width: 220px } figcaption { font-size: .85rem; overflow-wrap: anywhere; margin-bottom: .3rem }
svg { display: block; fill: var(--bar); border-bottom: 1px solid var(--soft) } .thumbs figure { width: 176px }
.ends { display: flex; justify-content: space-between; font-size: .78rem; color: var(--soft) }
details { border-top: 1px solid var(--line); padding: .45rem 0 } summary { cursor: pointer; display: flex; gap: .9rem }
summary::after { content: "which"; margin-left: auto; color: var(--soft); font-size: .8rem; text-decoration: underline }
summary b { min-width: 3ch; text-align: right; font-variant-numeric: tabular-nums }
ul { columns: 16rem; padding-left: 4.4rem; margin: .4rem 0; font-size: .85rem; color: var(--soft) }
li { overflow-wrap: anywhere }"""


def write_summary(path: Path, action: str, outcomes: Sequence[Outcome], count: int, place: OutputPlace) -> Path:
    """Write the page of a batch of `count` items of which these are over; returns its path."""
    states = Counter(outcome.state for outcome in outcomes)
    done = [outcome for outcome in outcomes if outcome.state == DONE]
    seconds = sum(outcome.seconds for outcome in outcomes)
    listed = ", ".join(f"{number} {state}" for state, number in states.most_common()) or "nothing yet"
    notes = [(note, outcome.id) for outcome in done for note in outcome.values.get("notes", ())]
    failed = [(outcome.sentence, outcome.id) for outcome in outcomes if outcome.state != DONE]
    title = f"perfrdiff batch {html.escape(action)}"
    parts = [
        f"<h1>{title}</h1>{_parts(states, count)}<p>{len(outcomes)} of {count} items are over: {listed}. "
        f'<span class="soft">{seconds / 60:.1f} minutes of work in all processes, '
        f"{seconds / max(1, len(outcomes)):.1f} s an item.</span></p>",
        _plots(done),
        _thumbnails(done, place),
        _reasons(f"Why {len(failed)} were not done", failed),
        _reasons("What was noted of those that are done", notes),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    page = f'<!doctype html><html lang="en">{head}<title>{title}</title>'
    page += f"<style>{STYLE}</style><main>{''.join(parts)}</main></html>"
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _parts(states: Mapping[str, int], count: int) -> str:
    """A bar: how many are done, are not, are left."""
    shares = {"done": states.get(DONE, 0), "not": sum(states.values()) - states.get(DONE, 0)}
    shares["left"] = count - sum(shares.values())
    spans = [f'<span class="{name}" style="flex:{number}"></span>' for name, number in shares.items() if number]
    return f'<div class="parts" role="img" aria-label="{shares["done"]} of {count} done">{"".join(spans)}</div>'


def _plots(done: Sequence[Outcome]) -> str:
    """A histogram of every column of numbers."""
    columns: dict[str, list[float]] = {"seconds": [outcome.seconds for outcome in done]}
    for outcome in done:
        for name, value in _numbers(outcome.values).items():
            columns.setdefault(name, []).append(value)
    figures = [
        _histogram(NAMES.get(name, name), np.array(values))
        for name, values in columns.items()
        if len(values) > 1 and min(values) < max(values)
    ]
    return f'<h2>What was measured</h2><div class="plots">{"".join(figures)}</div>' if figures else ""


def _numbers(values: Mapping[str, object]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}


def _histogram(name: str, values: np.ndarray) -> str:
    low, high = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, bins=BINS, range=(low, high))
    width, height = 220, 80
    bars = [
        f'<rect x="{index * width / BINS:.1f}" y="{height * (1 - number / counts.max()):.1f}" '
        f'width="{width / BINS - 1:.1f}" height="{height * number / counts.max():.1f}"/>'
        for index, number in enumerate(counts)
    ]
    middle = f"median {np.median(values):.3g}"
    label = f"{html.escape(name)}, {low:.3g} to {high:.3g}, {middle}"
    picture = f'<svg width="{width}" height="{height}" role="img" aria-label="{label}">{"".join(bars)}</svg>'
    ends = f'<div class="ends"><span>{low:.3g}</span><span>{middle}</span><span>{high:.3g}</span></div>'
    return f"<figure><figcaption>{html.escape(name)}</figcaption>{picture}{ends}</figure>"


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


def _reasons(title: str, sentences: Sequence[tuple[str, str]]) -> str:
    """Sentences, each with the item of which it was said; those that differ in names and lengths alone are one."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for sentence, item in sentences:
        words = FILE_NAME.sub("the file", sentence)
        groups.setdefault(VARYING.sub("…", words), []).append((words, item))
    parts = []
    for common, group in sorted(groups.items(), key=lambda one: -len(one[1])):
        words = common if len({words for words, _ in group}) > 1 else group[0][0]
        names = [html.escape(item) for _, item in group[:MOST_NAMES]]
        names += [f"and {len(group) - MOST_NAMES} more, in results.csv"] if len(group) > MOST_NAMES else []
        listed = "".join(f"<li>{name}</li>" for name in names)
        about = f"<summary><b>{len(group)}</b><span>{html.escape(words[:1].upper() + words[1:])}</span></summary>"
        parts.append(f"<details>{about}<ul>{listed}</ul></details>")
    return f"<h2>{title}</h2>{''.join(parts)}" if parts else ""
