"""Puts every file of a folder into the running page, with headless Chromium, and says what the page makes of it.

    python -m tools.bad_uploads http://127.0.0.1:7860/ ../shared/media/bad
    python -m tools.bad_uploads http://127.0.0.1:7860/ ../shared/media/bad --journal verdicts.tsv --server $PID

Every file is given as the speaker and as the listener. Each has to end as a result that plays or as one sentence
beside its own input, within `PATIENCE` seconds for what is known at once and `RUN_PATIENCE` for a run, and the page
has to work on, with nothing on its console. Exit code 1 where one does not. With a journal, files that are in it
already are passed over, so that a long round can be broken off and gone on with. Seconds depend on what else the
machine does; with the server's process id the processor's seconds are told, too.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, TimeoutError, sync_playwright

from tools.processor import processor_seconds

PATIENCE = 20.0
RUN_PATIENCE = 90.0  # seconds, for the whole run of one reaction
ROLES = ("speaker", "listener")
NO_UPLOADS = (".csv", ".json")  # what describes the folder
SETTLED = """(role) => {
  const view = document.querySelector(`#${role}-view`);
  if (!view || !view.innerText.trim() || view.querySelector(".looking")) return false;
  return view.querySelector(".trouble") || view.querySelector("img.preview, video.preview") !== null;
}"""
PLAYS = "[...document.querySelectorAll('#results video, #watch video')].some((video) => video.readyState >= 2)"


class Visitor:
    """Somebody with a page open, who puts in one file after the other."""

    def __init__(self, page: Page, address: str, patience: float, look: bool) -> None:
        """`patience`: how many times the usual one; `look`: nothing is run."""
        self._page, self._patience, self._look = page, patience, look
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#go")
        page.get_by_role("button", name="A quick look").click()
        page.wait_for_function("location.search.includes('samples=1')")

    def try_file(self, role: str, path: Path) -> str:
        """What the page makes of a file: "FAILED …" where it is not what a visitor should see."""
        self.said.clear()
        verdict = self._try(role, path)
        return verdict if not self.said else f"FAILED: on the console: {self.said[0]} ({verdict})"

    def _try(self, role: str, path: Path) -> str:
        page = self._page
        self._clear(role)
        page.set_input_files(f"#{role} input[type=file]", str(path))
        began = time.monotonic()
        if not self._waits_for(SETTLED, PATIENCE, role):
            return f"FAILED: nothing said within {self._patience * PATIENCE:.0f} s"
        seconds = time.monotonic() - began
        if trouble := page.query_selector(f"#{role}-view .trouble"):
            return f"sentence after {seconds:.1f} s: {trouble.inner_text()}"
        known = f"understood after {seconds:.1f} s ({page.inner_text(f'#{role}-view .facts')})"
        return known if self._look else f"{known}, {self._run(role)}"

    def _run(self, role: str) -> str:
        page = self._page
        self._choose_example(ROLES[1 - ROLES.index(role)])
        shown = page.evaluate("document.querySelector('.watch').widget.value.id")
        began = time.monotonic()
        page.click("#go")
        over = "(id) => document.querySelector('#status [data-state=failed]') || (" \
            "document.querySelector('#status [data-state=done]')" \
            " && document.querySelector('.watch').widget.value.id !== id)"  # fmt: skip
        if not self._waits_for(over, RUN_PATIENCE, shown):
            page.click("#cancel", timeout=1000)
            return f"FAILED: the run does not end within {self._patience * RUN_PATIENCE:.0f} s"
        seconds = time.monotonic() - began
        if page.query_selector("#status [data-state=failed]"):
            beside = page.query_selector(f"#{role}-blame .trouble")
            words = page.inner_text("#status")
            return f"sentence after {seconds:.0f} s: {words}" if beside else f"FAILED: not beside the input: {words}"
        return f"result after {seconds:.0f} s" if self._waits_for(PLAYS, PATIENCE) else "FAILED: it does not play"

    def _choose_example(self, role: str) -> None:
        """Somebody of the gallery, unless they are there."""
        if self._page.query_selector(f"#{role}-view .preview") is None:
            self._clear(role)
            self._page.locator(f"#{role}-gallery button").first.click()
            self._page.wait_for_selector(f"#{role}-view .preview")

    def _clear(self, role: str) -> None:
        """Take the earlier file of an input away."""
        remove = self._page.query_selector(f"#{role} button[aria-label='Clear'], #{role} .icon-button-wrapper button")
        if remove:
            remove.click()
            self._page.wait_for_selector(f"#{role} input[type=file]", state="attached")
            self._page.wait_for_selector(f"#{role}-view", state="hidden")

    def _waits_for(self, condition: str, patience: float, argument: str | None = None) -> bool:
        try:
            self._page.wait_for_function(condition, arg=argument, timeout=1000 * self._patience * patience)
        except TimeoutError:
            return False
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="of the running page")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="names of files")
    parser.add_argument("--roles", nargs="*", choices=ROLES, default=ROLES, help="as whom they are given")
    parser.add_argument("--look", action="store_true", help="only what is said at once, without runs")
    parser.add_argument("--journal", type=Path, metavar="FILE", help="keeps the verdicts; those in it are passed over")
    parser.add_argument("--server", type=int, metavar="PID", help="the server's process, for the processor's seconds")
    parser.add_argument("--patience", type=float, default=1.0, metavar="X", help="times as patient, on a busy machine")
    options = parser.parse_args()
    known = _read(options.journal)
    files = [path for path in sorted(options.folder.iterdir()) if path.suffix not in NO_UPLOADS]
    trials = [(role, path) for role in options.roles for path in files if not options.only or path.name in options.only]
    with _page() as page:
        visitor = Visitor(page, options.address, options.patience, options.look)
        for role, path in trials:
            if (role, path.name) in known:
                continue
            before = processor_seconds(options.server) if options.server else 0.0
            verdict = visitor.try_file(role, path)
            used = f"{processor_seconds(options.server) - before:.1f}" if options.server else "-"
            line = "\t".join((role, path.name, used, verdict.replace("\n", " ")))
            print(line, flush=True)
            known[role, path.name] = verdict
            if options.journal:
                with options.journal.open("a", encoding="utf-8") as journal:
                    journal.write(line + "\n")
    failures = sum(verdict.startswith("FAILED") or ", FAILED" in verdict for verdict in known.values())
    print(f"{len(known)} trials, {failures} failed")
    sys.exit(1 if failures else 0)


def _read(journal: Path | None) -> dict[tuple[str, str], str]:
    """(role, file name) -> verdict."""
    if journal is None or not journal.is_file():
        return {}
    lines = [line.split("\t", 3) for line in journal.read_text(encoding="utf-8").splitlines()]
    return {(role, name): verdict for role, name, _, verdict in lines}


@contextmanager
def _page() -> Iterator[Page]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        # Who wants little motion sees the example stand still, which leaves the processor to the server.
        yield browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        browser.close()


if __name__ == "__main__":
    main()
