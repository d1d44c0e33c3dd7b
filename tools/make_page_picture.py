"""Makes docs/page.png: the page after a run on the project's own examples, seen by headless Chromium.

python -m tools.make_page_picture http://127.0.0.1:7860/     # with the page running (make run)
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "page.png"
TALLEST = 1820  # pixels: reactions and curves
MOMENT = 4.6  # seconds into the clip: the speaker raises the brows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="of the running page")
    address = parser.parse_args().address
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        )
        page = browser.new_page(viewport={"width": 1240, "height": 1820}, color_scheme="light")
        page.goto(address)
        page.wait_for_selector("#go")
        page.locator("#speaker-gallery button").first.click()
        page.locator("#listener-gallery button").first.click()
        page.wait_for_selector("#speaker-view video")
        page.wait_for_selector("#listener-view .preview")
        page.click("#go")
        page.wait_for_selector(".watch[data-kind='run']:not(.pending) .cells video", timeout=1_200_000)
        page.wait_for_function(
            "[...document.querySelectorAll('.watch video')].every((v) => v.readyState >= 2)", timeout=120_000
        )
        page.evaluate(
            "(t) => { const { transport } = document.querySelector('.watch').widget; transport.pause();"
            " transport.seek(t); scrollTo(0, 0); }",
            MOMENT,
        )
        page.locator(".watch button").get_by_text("Both", exact=True).last.click()
        page.evaluate("scrollTo(0, 0)")
        page.mouse.move(2, 2)
        page.wait_for_timeout(4_000)
        shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
        shot = shot.crop((0, 0, shot.width, min(shot.height, TALLEST)))
        browser.close()
    PICTURE.parent.mkdir(exist_ok=True)
    shot.resize((shot.width * 3 // 4, shot.height * 3 // 4), Image.Resampling.LANCZOS).save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
