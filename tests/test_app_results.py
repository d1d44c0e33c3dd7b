"""The page with a run on it, in a real browser: what a visitor sees at once, first, and at last."""

import shutil

import pytest

from page import showcase
from tests.support.served_page import served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WITH_WEBGL = (
    "--no-sandbox", "--disable-background-networking", "--use-gl=angle", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--autoplay-policy=document-user-activation-required",
)  # fmt: skip
PATIENCE = 240_000  # ms for a run on two busy cores

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
]


def test_the_page_opens_with_moving_reactions_and_a_run_is_first_seen_as_heads(tmp_path, weights, speaker, portrait):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is in requirements-dev.txt")
    kept = tmp_path / "kept"
    kept.mkdir()
    with served(kept, weights) as (address, _), playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(WITH_WEBGL))
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        page.goto(address)
        page.wait_for_selector(".watch[data-kind='example'] .cells video", timeout=60_000)
        play = "[...document.querySelectorAll('.watch video')].every((one) => one.muted && one.currentTime > 0.3)"
        page.wait_for_function(play, timeout=30_000)
        page.get_by_role("button", name="Make it again, live").click()
        page.wait_for_selector("#speaker-view video", timeout=30_000)
        page.wait_for_selector(".stages", timeout=60_000)
        assert page.locator("#samples input[type=range]").input_value() == str(showcase.settings()["samples"])

        page.click("#cancel")
        page.wait_for_selector("#status [data-state=cancelled]", timeout=60_000)
        page.reload()
        page.wait_for_selector("#go", timeout=60_000)
        for role in ("speaker", "listener"):  # a tab that is loaded again has its files
            page.wait_for_selector(f"#{role}-view .preview", timeout=60_000)
            page.locator(f"#{role} .icon-button").click()
            page.wait_for_selector(f"#{role}-view", state="hidden")
        page.set_input_files("#speaker input[type=file]", str(speaker))
        page.wait_for_selector("#speaker-view video", timeout=60_000)
        page.set_input_files("#listener input[type=file]", str(portrait))
        page.wait_for_selector("#listener-view img.preview", timeout=60_000)
        page.click("#go")
        page.wait_for_selector(".watch[data-kind='run']", timeout=PATIENCE)
        assert page.evaluate("document.querySelector('.watch').classList.contains('pending')"), "not before the videos"
        page.wait_for_function("Math.abs(document.querySelector('.watch').getBoundingClientRect().top) < 60")
        page.wait_for_selector(".watch[data-kind='run']:not(.pending) .cells video", timeout=PATIENCE)
        page.wait_for_function(play, timeout=30_000)
        count = page.locator(".watch .cells .cell").count()
        assert page.locator(".watch .earlier").is_hidden()
        page.locator("#samples input[type=range]").first.press("ArrowLeft")
        page.wait_for_selector(".watch .earlier", timeout=20_000)
        assert page.locator(".watch .cells .cell").count() == count, "they stay when inputs change"
        browser.close()
