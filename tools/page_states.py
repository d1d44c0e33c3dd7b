"""Pictures of every state of the running page, by headless Chromium: wide and narrow, light and dark, to be looked at.

Every state is checked by axe-core (WCAG 2.2 AA) in both sizes and themes, and how soon the page could be seen and used
is printed for each visitor.

    python -m tools.page_states http://127.0.0.1:7860/ pictures            # with the page running (make run)
    python -m tools.page_states http://127.0.0.1:7860/ pictures --speaker talk.mp4 --listener me.jpg --only done compare

One visitor walks through all states in the order of `STATES`, and a second one waits behind them. Exit code 1 where a
state was not reached, something sticks out of the page sideways, axe finds a fault, or the console had something to
say.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Error, Page, sync_playwright

from renderer.resources import asset
from tests.support.axe import violations

FLAGS = (
    "--no-sandbox", "--hide-scrollbars", "--disable-background-networking", "--use-gl=angle", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--autoplay-policy=document-user-activation-required",
)  # fmt: skip
SIZES = {"wide": (1280, 900), "narrow": (390, 844)}
SCHEMES = ("light", "dark")
PATIENCE = 600_000  # ms for a run on a busy machine
SECONDS = 1.5  # from a change of size or theme to the picture: the heads are drawn by the processor
MOMENT = 4.6  # seconds into the example, at which the speaker raises the brows
NOT_OURS = ("GL Driver Message",)  # of a machine without a GPU
QUIET = 2000  # ms without a long task, after which the page counts as usable
WATCH_LOADING = """
    window.lastBusy = 0;
    new PerformanceObserver((list) => {
        const ends = list.getEntries().map((task) => task.startTime + task.duration);
        window.lastBusy = Math.max(window.lastBusy, ...ends);
    }).observe({ type: 'longtask', buffered: true });
    const look = () => {
        if (document.querySelector('#go:not([disabled])')) window.buttonSeen = performance.now();
        else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
"""


class Walk:
    """One visitor who goes from state to state, and what was wrong on the way."""

    def __init__(self, browser: Browser, address: str, speaker: Path, listener: Path) -> None:
        self._browser, self._address, self._files = browser, address, {"speaker": speaker, "listener": listener}
        self.said: list[str] = []
        self.page = self._visitor()

    def _visitor(self) -> Page:
        page = self._browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        page.on("console", lambda message: self.said.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.add_init_script(WATCH_LOADING)
        page.goto(self._address)
        page.wait_for_selector("#go")
        page.wait_for_selector(".watch[data-kind='example'] .cells video")
        print(_loading(page), flush=True)
        self._seek(page)  # a film that plays takes the processor from the server
        return page

    def empty(self) -> Page:
        """What a new visitor sees."""
        self.page.wait_for_function("[...document.querySelectorAll('.watch video')].every((v) => v.readyState >= 2)")
        self._seek(self.page)
        return self.page

    def error(self) -> Page:
        """A file that cannot be used, and a run without a listener."""
        readme = asset("page/page.css")
        self.page.set_input_files("#listener input[type=file]", str(readme))
        self.page.wait_for_selector("#listener-view .trouble")
        self.page.click("#go")
        self.page.wait_for_selector("#status .trouble")
        return self.page

    def understood(self) -> Page:
        """Both files, before any button."""
        remove = self.page.query_selector("#listener .icon-button")
        if remove:
            remove.click()
            self.page.wait_for_selector("#listener-view", state="hidden")
        self._choose(self.page)
        return self.page

    def working(self) -> Page:
        """A run that goes on."""
        self.page.click("#go")
        self.page.wait_for_selector("#status [role=progressbar]", timeout=PATIENCE)
        return self.page

    def queue(self) -> Page:
        """A second visitor waits for the first, who compares listeners."""
        second = self._visitor()
        self._choose(second)
        self._before = self._shown()
        self.page.click("#compare-listeners")
        self.page.wait_for_selector("#status [data-state=working]", timeout=PATIENCE)
        second.click("#go")
        second.wait_for_selector("#status [data-state=waiting]", timeout=PATIENCE)
        self._second = second
        return second

    def cancelled(self) -> Page:
        """The second visitor has had enough."""
        self._second.click("#cancel")
        self._second.wait_for_selector("#status [data-state=cancelled]", timeout=PATIENCE)
        return self._second

    def first_head(self) -> Page:
        """The reactions as heads, while the videos are being drawn."""
        self.page.wait_for_selector(".watch[data-kind='run']", timeout=PATIENCE)
        self.page.wait_for_function("document.querySelector('.watch').widget.heads?.ready", timeout=60_000)
        return self.page

    def done(self) -> Page:
        """The videos are there."""
        self._finished(self.page)
        return self.page

    def enlarged(self) -> Page:
        """One reaction beside the speaker, with everything folded open that belongs to a result."""
        self.page.locator(".watch .cells .cell").nth(1).locator(".enlarge").click(force=True)
        self.page.get_by_text("For other programs").click()
        self.page.click("#take-away-make")
        self.page.wait_for_selector("#take-away-files a", timeout=PATIENCE)
        return self.page

    def compare(self) -> Page:
        """This listener, another, generic, Mime."""
        self.page.get_by_text("Another listener, to mix in").click()
        return self._compared(self._before)

    def strengths(self) -> Page:
        """The strip of three."""
        before = self._shown()
        self.page.click("#compare-strengths")
        return self._compared(before)

    def _shown(self) -> str:
        return self.page.evaluate("document.querySelector('.watch').widget.value.id")

    def _compared(self, before: str) -> Page:
        self.page.wait_for_function(
            "(id) => document.querySelector('.watch').widget.value.id !== id", arg=before, timeout=PATIENCE
        )
        self._finished(self.page)
        return self.page

    def _choose(self, page: Page) -> None:
        for role, file in self._files.items():
            page.set_input_files(f"#{role} input[type=file]", str(file))
            page.wait_for_selector(f"#{role}-view .preview", timeout=PATIENCE)

    def _finished(self, page: Page) -> None:
        page.wait_for_selector(".watch[data-kind='run']:not(.pending) .cells video", timeout=PATIENCE)
        page.wait_for_selector("#status [data-state=done]", timeout=PATIENCE)
        page.wait_for_function("[...document.querySelectorAll('.watch video')].every((v) => v.readyState >= 2)")
        self._seek(page)

    def _seek(self, page: Page) -> None:
        page.evaluate(
            "(t) => { const { transport } = document.querySelector('.watch').widget; transport.pause();"
            " transport.seek(Math.min(t, transport.duration / 2)); }",
            MOMENT,
        )


def _loading(page: Page) -> str:
    """How soon a page could be seen, and used: its button is there, and no task lasts 50 ms any more."""
    page.wait_for_function("(quiet) => performance.now() - window.lastBusy > quiet", arg=QUIET)
    paint, button, idle = page.evaluate(
        "[performance.getEntriesByName('first-contentful-paint')[0].startTime, window.buttonSeen, window.lastBusy]"
    )
    return (
        f"first contentful paint after {paint / 1000:.2f} s, its button after {button / 1000:.2f} s, no task of 50 ms "
        f"any more after {idle / 1000:.2f} s"
    )


STATES: dict[str, Callable[[Walk], Page]] = {
    "empty": Walk.empty, "error": Walk.error, "understood": Walk.understood, "working": Walk.working,
    "first_head": Walk.first_head, "done": Walk.done, "enlarged": Walk.enlarged, "queue": Walk.queue,
    "cancelled": Walk.cancelled, "compare": Walk.compare, "strengths": Walk.strengths,
}  # fmt: skip
NEEDED = {
    "working": "understood", "first_head": "working", "done": "working", "enlarged": "done", "queue": "done",
    "cancelled": "queue", "compare": "queue", "strengths": "done",
}  # fmt: skip
"""State -> the one before it."""


def main() -> None:
    examples = asset("examples")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="of the running page")
    parser.add_argument("folder", type=Path, help="for the pictures, NAME_SIZE_SCHEME.png")
    parser.add_argument("--speaker", type=Path, default=examples / "speaker.mp4", metavar="FILE")
    parser.add_argument("--listener", type=Path, default=examples / "portrait.jpg", metavar="FILE")
    parser.add_argument("--only", nargs="*", choices=STATES, default=[], metavar="STATE", help=", ".join(STATES))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    wanted = options.only or list(STATES)
    with chromium() as browser:
        walk = Walk(browser, options.address, options.speaker, options.listener)
        missing = _walk(walk, wanted, options.folder)
    said = [line for line in walk.said if not any(words in line for words in NOT_OURS)]
    for line in [*missing, *said]:
        print(line)
    print(f"{len(wanted)} states, {len(missing)} faults, {len(said)} lines on the console")
    sys.exit(1 if missing or said else 0)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium, with WebGL by the processor."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        yield browser
        browser.close()


def _walk(walk: Walk, wanted: list[str], folder: Path) -> list[str]:
    """Go through the states and take the pictures; what was wrong, a sentence each."""
    on_the_way = set(wanted)
    for name in reversed(STATES):  # the one before may need one itself
        if name in on_the_way and name in NEEDED:
            on_the_way.add(NEEDED[name])
    faults = []
    for name, reach in STATES.items():
        if name not in on_the_way:
            continue
        try:
            page = reach(walk)
        except Error as error:
            faults.append(f"{name}: not reached ({str(error).splitlines()[0]})")
            continue
        if name in wanted:
            faults += _take(page, name, folder)
            print(f"{name}: taken", flush=True)
    return faults


def _take(page: Page, name: str, folder: Path) -> list[str]:
    """Four pictures of a page as it is."""
    faults = []
    for size, (width, height) in SIZES.items():
        for scheme in SCHEMES:
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme=scheme)
            page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", scheme == "dark")
            page.evaluate("document.querySelector('.watch .cells .large')?.scrollIntoView({ inline: 'center' })")
            page.evaluate("scrollTo(0, 0)")
            page.mouse.move(2, 2)
            page.wait_for_timeout(SECONDS * 1000)
            page.screenshot(path=folder / f"{name}_{size}_{scheme}.png", full_page=True)
            sticks_out = page.evaluate("document.documentElement.scrollWidth") - width
            if sticks_out > 0:
                faults.append(f"{name}, {size}: {sticks_out} pixels stick out")
            faults += [f"{name}, {size}, {scheme}: axe: {fault}" for fault in violations(page)]
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme="light")
    page.evaluate("document.body.classList.remove('dark')")
    return faults


if __name__ == "__main__":
    main()
