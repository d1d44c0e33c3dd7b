"""Puts every file of a folder into the running page, with headless Chromium, and says what the page makes of it.

    python -m tools.bad_uploads http://127.0.0.1:7860/ ../shared/media/bad

Each file has to end as a result that plays or as one sentence beside the input, within `PATIENCE` seconds for what is
known at once and `RUN_PATIENCE` for a run, and the page has to work on. Exit code 1 where one does not.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from playwright.sync_api import Page, TimeoutError, sync_playwright

PATIENCE = 20.0
RUN_PATIENCE = 90.0  # seconds, for the whole run of one reaction
STILLS = {".jpg", ".png", ".gif", ".webp", ".avif", ".bmp", ".tiff"}
SETTLED = """(role) => {
  const view = document.querySelector(`#${role}-view`);
  if (!view || !view.innerText.trim() || view.querySelector(".looking")) return false;
  return view.querySelector(".trouble") || view.querySelector("img.preview, video.preview") !== null;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="of the running page")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="names of files")
    parser.add_argument("--look", action="store_true", help="only what is said at once, without runs")
    options = parser.parse_args()
    files = [path for path in sorted(options.folder.iterdir()) if path.suffix not in (".csv", ".json")]
    files = [path for path in files if not options.only or path.name in options.only]
    failures = 0
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(options.address)
        page.wait_for_selector("#go")
        page.get_by_role("button", name="A quick look").click()
        for path in files:
            began = time.monotonic()
            role = "listener" if path.suffix.lower() in STILLS else "speaker"
            verdict = _upload(page, role, path, options.look)
            seconds = time.monotonic() - began
            failures += verdict.startswith("FAILED")
            print(f"{path.name:32} {role:8} {seconds:5.1f} s  {verdict}", flush=True)
        browser.close()
    print(f"{len(files)} files, {failures} failed")
    sys.exit(1 if failures else 0)


def _upload(page: Page, role: str, path: Path, look: bool) -> str:
    """What the page made of one file; `look`: without a run."""
    other = "listener" if role == "speaker" else "speaker"
    _clear(page, role)
    page.set_input_files(f"#{role} input[type=file]", str(path))
    try:
        page.wait_for_function(SETTLED, arg=role, timeout=PATIENCE * 1000)
    except TimeoutError:
        return f"FAILED: nothing said within {PATIENCE:.0f} s"
    trouble = page.query_selector(f"#{role}-view .trouble")
    if trouble:
        return f"sentence: {trouble.inner_text()}"
    if look:
        return f"understood: {page.inner_text(f'#{role}-view .facts')}"
    if page.query_selector(f"#{other}-view .preview") is None:
        page.locator(f"#{other}-gallery button").first.click()
        page.wait_for_selector(f"#{other}-view .preview")
    began = time.monotonic()
    page.click("#go")
    try:
        page.wait_for_selector("#status [data-state=working], #status [data-state=failed]", timeout=PATIENCE * 1000)
        page.wait_for_selector("#status [data-state=done], #status [data-state=failed]", timeout=RUN_PATIENCE * 1000)
    except TimeoutError:
        return f"FAILED: the run does not end within {RUN_PATIENCE:.0f} s"
    seconds = time.monotonic() - began
    if page.query_selector("#status [data-state=failed]"):
        beside = page.query_selector(f"#{role}-blame .trouble")
        words = page.inner_text("#status")
        return f"sentence after {seconds:.0f} s: {words}" if beside else f"FAILED: not beside the input: {words}"
    try:
        page.wait_for_function(PLAYS, timeout=PATIENCE * 1000)
    except TimeoutError:
        return "FAILED: the result does not play"
    return f"result after {seconds:.0f} s"


PLAYS = "[...document.querySelectorAll('#results video, #watch video')].some((video) => video.readyState >= 2)"


def _clear(page: Page, role: str) -> None:
    """Take the earlier file of an input away."""
    remove = page.query_selector(f"#{role} button[aria-label='Clear'], #{role} .icon-button-wrapper button")
    if remove:
        remove.click()
        page.wait_for_selector(f"#{role} input[type=file]", state="attached")
        page.wait_for_selector(f"#{role}-view", state="hidden")


if __name__ == "__main__":
    main()
