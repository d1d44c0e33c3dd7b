"""A live session in a real browser, measured: python -m tools.live_check FILM [--seconds 120] [--samples 1]

Starts the page, makes the film Chromium's camera and microphone, over and over (or plays it as the tab's own *film as
if live*, --film, which ends with it), and prints the delays, what was shown and left out, and the processor time of the
server and of the browser. Into the folder --out goes a strip of pictures of the page.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tests.support.camera_film import CHROMIUM, FAKE_DEVICES, QUIET, camera_files
from tests.support.served_page import served
from tools.processor import processor_seconds

if TYPE_CHECKING:
    from playwright.sync_api import Page

READ = """() => {
  const widget = document.querySelector("#live .live").widget, figures = widget.figures();
  return {state: widget.state, said: widget.panel.said.textContent, ...figures};
}"""
PICTURES = 6


def check(
    film: Path, seconds: float, samples: int, out: Path, is_film: bool, graphics: bool, shows_photo: bool = False
) -> dict:
    """Run a session and give what was measured; pictures go to `out`."""
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kept = folder / "kept"
        kept.mkdir()
        address, server = stack.enter_context(server_process(kept))
        driver = stack.enter_context(sync_playwright())
        flags = [flag for flag in QUIET if not (graphics and flag == "--disable-gpu")]
        if not is_film:
            flags += [*FAKE_DEVICES, *camera_files(film, folder)]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        stack.callback(browser.close)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.on("pageerror", lambda error: print("page error:", error))
        page.goto(address)
        page.get_by_role("tab", name="Live").click(timeout=120_000)
        page.wait_for_selector("#live .go", timeout=60_000)
        wait_until_still(server)
        if shows_photo:
            _choose_from_the_library(page)
        page.select_option("#live .extras select", str(samples))
        if is_film:
            page.set_input_files("#live input[type=file]", str(film))
        else:
            page.click("#live .go")
        page.wait_for_function(
            "() => document.querySelector('#live .live').widget.state !== 'opening'", timeout=120_000
        )
        began, before = time.monotonic(), (processor_seconds(server), processor_seconds(os.getpid()))
        strip, figures, course = [], page.evaluate(READ), []
        while (passed := time.monotonic() - began) < seconds:
            page.wait_for_timeout(1000)
            now = page.evaluate(READ)
            if now["state"] == "idle":
                print("the session ended:", now["said"] or "the film is over")
                break
            course += [(passed, now["shown"], now["wanted"] / 1000, now["held"] / 1000)]
            figures = now
            if len(strip) < PICTURES and passed > (len(strip) + 0.5) * seconds / PICTURES:
                strip.append(page.locator("#live .players").screenshot())
        passed = time.monotonic() - began
        shares = [
            (processor_seconds(server) - before[0]) / passed,
            (processor_seconds(os.getpid()) - before[1]) / passed,
        ]
    pictures = [cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) for picture in strip]
    if pictures:
        cv2.imwrite(str(out / "strip.png"), np.concatenate(pictures))
    return figures | {
        "course": course,
        "passed": passed,
        "server_share": shares[0],
        "browser_share": shares[1] - shares[0],
    }


def _choose_from_the_library(page: Page) -> None:
    """The first listener there, whose photo the server is to move."""
    page.click("#live-kind label:has-text('From the library')")
    page.click("#live-shelf input")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#live-state .note:has-text('ready.')", timeout=120_000)
    page.select_option("#live .shown", "1")


@contextmanager
def server_process(kept: Path, **environment: str) -> Iterator[tuple[str, int]]:
    """The page in a process of its own: its address and process id."""
    with served(kept, "demo", OMP_NUM_THREADS="1", **environment) as (address, _):
        listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True)
        yield address, next(int(line.split()[0]) for line in listed.stdout.splitlines() if "app.py" in line)


def wait_until_still(server: int) -> None:
    """The page answers before all of it is loaded and compiled; a session is measured afterwards."""
    while True:
        before = processor_seconds(server)
        time.sleep(3)
        if processor_seconds(server) - before < 0.3:
            return


def course_in_words(figures: dict) -> str:
    """Every ten seconds: the median delay of the frames since, and for how long none was there."""
    words, before, held = [], 0, 0.0
    for passed, shown, _, until_now in figures["course"]:
        if passed < 10 * (len(words) + 1) or shown <= before:
            continue
        delays = figures["delays"][before:shown]
        words.append(f"{np.median(delays) / 1000:.2f} ({until_now - held:.1f})")
        before, held = shown, until_now
    return "every ten seconds, the delay in s (held for s): " + ", ".join(words)


def report(figures: dict) -> str:
    """What was measured, in words."""
    delays = np.array(figures["delays"]) / 1000
    counts, edges = np.histogram(delays, np.arange(0, max(2.0, delays.max() + 0.1), 0.1))
    lines = [
        f"{figures['passed']:.0f} s; delay median {np.median(delays):.2f} s, p95 {np.quantile(delays, 0.95):.2f} s",
        *(
            f"  {low:4.1f} s {'#' * round(60 * count / counts.max())} {count}"
            for low, count in zip(edges, counts, strict=False)
            if count
        ),
        course_in_words(figures),
        f"frames of the listener: {figures['frames']} came, {figures['shown']} shown, {figures['skipped']} never; "
        f"{figures['held'] / 1000:.1f} s held for want of one",
        f"pictures drawn {figures['drawn'] / figures['passed']:.0f} a second, animation frames of the page "
        f"{figures['looked'] / figures['passed']:.0f} a second",
        f"camera: {figures['pictures']} pictures, {figures['left']} left out because the tracker was at work, "
        f"{np.median(figures['took']):.0f} ms each; {figures['dropped']} faces left out for the network",
        f"{figures['lost'] / 1000:.1f} s of sound were never recorded by the browser",
        f"sent {figures['sent'] / figures['passed'] / 1000:.0f} kB/s",
        f"processor: server {figures['server_share']:.2f} of a core, browser {figures['browser_share']:.2f}",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("live_check"))
    parser.add_argument("--film", dest="is_film", action="store_true", help="as a film in the page, not as its camera")
    parser.add_argument("--photo", action="store_true", help="the listener's photo in place of a head")
    parser.add_argument("--graphics", action="store_true", help="let Chromium use a graphics card")
    wishes = parser.parse_args()
    figures = check(
        wishes.film, wishes.seconds, wishes.samples, wishes.out, wishes.is_film, wishes.graphics, wishes.photo
    )
    (wishes.out / "figures.json").write_text(json.dumps(figures))
    print(report(figures))


if __name__ == "__main__":
    main()
