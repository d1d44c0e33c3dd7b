"""Comparisons on the page, and what a finished run gives to other programs, in a visitor's browser."""

import csv
import shutil

import av
import pytest
from safetensors import safe_open

from tests.support.axe import check_accessible
from tests.support.served_page import served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WITH_WEBGL = (
    "--no-sandbox", "--disable-background-networking", "--use-gl=angle", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--autoplay-policy=document-user-activation-required",
)  # fmt: skip
PATIENCE = 240_000  # ms for a run on two busy cores
WATCH = """() => {
  const watch = document.querySelector(".watch");
  window.wasPending = false;
  const look = () => (window.wasPending ||= watch.classList.contains("pending"));
  new MutationObserver(look).observe(watch, { attributes: true });
}"""
RUN_IS_NEW = "(id) => document.querySelector('.watch').widget.value.id !== id"
CALLED = (
    "(names) => [...document.querySelectorAll('.watch .cells .cell h3')].map((h) => h.textContent).join() === names"
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory, weights, speaker, portrait):
    """A page on which a visitor has chosen a short speaker and a photo, and asks for one mesh."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is in requirements-dev.txt")
    with served(tmp_path_factory.mktemp("kept"), weights) as (address, _), playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(WITH_WEBGL))
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#go", timeout=60_000)
        for role, file in (("speaker", speaker), ("listener", portrait)):
            page.set_input_files(f"#{role} input[type=file]", str(file))
            page.wait_for_selector(f"#{role}-view .preview", timeout=60_000)
        page.get_by_role("button", name="A quick look").click()
        page.wait_for_function("location.search.includes('samples=1')")
        yield page
        browser.close()
        assert page.complaints == [], "the console of a visitor is not empty"


def compare(page, kind, names):
    """Click, and wait until cells of these names are there, before any video is, and then until all is done."""
    page.evaluate(WATCH)
    page.click(f"#compare-{kind}")
    page.wait_for_selector("#compare-listeners:disabled", timeout=60_000)  # one run at a time
    page.wait_for_function(CALLED, arg=names, timeout=PATIENCE)
    finished(page)
    assert page.evaluate("window.wasPending"), "they are there before the videos are"
    views = page.get_by_role("group", name="Show all reactions as")
    views.get_by_role("button", name="3D").click()
    page.wait_for_selector(".watch canvas.heads:not([hidden])", timeout=60_000)
    views.get_by_role("button", name="Mesh").click()


def finished(page):
    page.wait_for_selector(".watch[data-kind='run']:not(.pending) .cells video", timeout=PATIENCE)
    page.wait_for_selector("#status [data-state=done]", timeout=PATIENCE)


def test_one_click_sets_listeners_side_by_side_as_heads_first(page):
    compare(page, "listeners", "This listener,Yuna,Generic,Mime")
    words = page.locator(".watch .cells .what").all_inner_texts()
    assert "Attentive" in words[0] and "Lively" in words[1] and "no network" in words[3]
    assert "nothing but the way of listening differs" in page.inner_text(".watch .note-line")
    rows = page.locator(".watch .explain .row h4").all_inner_texts()
    assert [row.strip() for row in rows] == ["Speaker", "This listener", "Yuna", "Generic", "Mime"]
    page.get_by_text("The same at the shell").click()
    page.wait_for_function("document.querySelector('#as-shell textarea')?.value.includes('--compare listeners')")
    assert "--other-style Lively --other-name Yuna" in page.input_value("#as-shell textarea"), "who stood in"
    check_accessible(page, "lines to copy")
    page.get_by_text("The same at the shell").click()
    check_accessible(page, "compare")


def test_the_strengths_are_a_strip_of_three(page):
    compare(page, "strengths", "Strength 0,Strength 1,Strength 2")
    tops = page.evaluate(
        "[...document.querySelectorAll('.watch .cells .stage')].map((s) => s.getBoundingClientRect().top)"
    )
    assert len({round(top) for top in tops}) == 1, "side by side"
    lefts = page.evaluate("[...document.querySelectorAll('.watch .stage')].map((s) => s.getBoundingClientRect().right)")
    assert max(lefts) <= 1280


def test_a_slider_mixes_another_listener_in(page):
    page.get_by_text("Another listener, to mix in").click()
    box = page.locator("#other_style input")
    box.click()
    page.get_by_role("option", name="Yuna, lively").click()
    page.wait_for_function("location.search.includes('other_style=portrait_yuna.jpg')")
    page.get_by_text("The same at the shell").click()
    page.locator("#recipe-kind").get_by_label("The reactions").check()
    line = "document.querySelector('#as-shell textarea')?.value"
    page.wait_for_function(f"{line}?.includes('--other-style Lively') && !{line}.includes('--compare')")
    page.locator("#other_share input[type=range]").press("ArrowRight")
    page.wait_for_function("location.search.includes('other_share=0.55')")
    check_accessible(page, "another listener")
    before = page.evaluate("document.querySelector('.watch').widget.value.id")
    page.click("#go")
    page.wait_for_function(RUN_IS_NEW, arg=before, timeout=PATIENCE)
    assert "Attentive and 55% of Lively" in page.inner_text(".watch .note-line")
    finished(page)
    page.get_by_role("button", name="Compare listeners").click()
    page.wait_for_function("document.activeElement?.id === 'compare-listeners'")


def test_a_finished_run_is_taken_into_other_programs(page, tmp_path):
    """The files come from the run as it was: the mixture's style is a shift that loads again."""
    page.get_by_text("For other programs").click()
    page.locator("#take-away-kinds label", has_text="style").click()
    page.locator("#take-away-kinds label", has_text="WebM").click()
    check_accessible(page, "exports")
    page.click("#take-away-make")
    page.wait_for_selector("#take-away-files a", timeout=PATIENCE)
    links = page.locator("#take-away-files a")
    names = {link.get_attribute("download") for link in links.all()}
    count = page.locator(".watch .cells .cell").count()
    each = range(1, count + 1)
    assert names == (
        {f"reaction_{one}_live_link.csv" for one in each} | {"style.safetensors"}
        | {f"reaction_{one}_mesh_transparent.webm" for one in each}
    )  # fmt: skip
    saved = {}
    for link in links.all():
        with page.expect_download(timeout=60_000) as waiting:
            link.click()
        saved[link.get_attribute("download")] = waiting.value.path()
    with open(saved["reaction_1_live_link.csv"], newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][0] == "Timecode" and len(rows) == 51 and len(rows[0]) == 63
    with safe_open(saved["style.safetensors"], "pt") as file:
        assert "0.45 Attentive + 0.55 Lively" in file.metadata()["weight_shift"]
    with av.open(str(saved["reaction_1_mesh_transparent.webm"])) as video:
        assert sum(1 for _ in video.decode(video=0)) == 50
    for name in ("Live Link", "WebM", "style"):
        page.locator("#take-away-kinds label", has_text=name).click()
    page.click("#take-away-make")
    page.wait_for_selector("#take-away-state .trouble", timeout=60_000)
    assert "at least one kind" in page.inner_text("#take-away-state")


def test_a_photo_of_another_listener_is_refused_beside_it(page, portrait, tmp_path):
    page.set_input_files("#other_listener input[type=file]", shutil.copy(portrait, tmp_path / "somebody else.jpg"))
    page.wait_for_selector("#other_listener-view .trouble", timeout=60_000)
    assert "shows no way of listening" in page.inner_text("#other_listener-view"), "before any button"
    page.wait_for_function("document.querySelector('#as-shell textarea')?.value.includes('--other-listener')")
    page.click("#go")
    page.wait_for_selector("#other_listener-blame .trouble", timeout=PATIENCE)
    assert "shows no way of listening" in page.inner_text("#other_listener-blame")
    assert page.locator("#listener-blame").is_hidden()
